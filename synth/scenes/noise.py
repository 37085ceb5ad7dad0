"""Periodic noise tiles for terrain, clouds, waves and texture.

A tile is an ``(N, N)`` or ``(N, N, C)`` float32 array, N a power of two, that repeats in both
directions without a seam. The size of tiles does not depend on the size of the picture, so a
small picture shows the same landscape as a large one. All functions are pure.
"""

from __future__ import annotations

import numpy as np

SIZE = 512


def standardise(field: np.ndarray) -> np.ndarray:
    """Shifts and scales an array to mean 0 and standard deviation 1, as float32."""
    return ((field - field.mean()) / field.std()).astype(np.float32)


def smoothstep(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Hermite step: 0 up to ``low``, 1 from ``high`` on; reversed if low > high."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def frequencies(size: int = SIZE) -> np.ndarray:
    """-> (N, N/2+1) float64: cycles per tile of every coefficient of ``rfft2``."""
    fy, fx = np.fft.fftfreq(size, 1 / size), np.fft.rfftfreq(size, 1 / size)
    return np.hypot(fy[:, None], fx[None, :])


def spectrum(rng: np.random.Generator, size: int = SIZE) -> np.ndarray:
    """-> (N, N/2+1) complex128: the spectrum of white noise."""
    return np.fft.rfft2(rng.standard_normal((size, size)))


def fractal(
    rng: np.random.Generator, slope: float, lowest: float = 1.0, size: int = SIZE
) -> np.ndarray:
    """-> (N, N) float32 noise of standard deviation 1 with amplitude ~ frequency^-slope.

    Below ``lowest`` cycles per tile the spectrum is flat, so that no single bump dominates.
    """
    f = np.maximum(frequencies(size), lowest)
    return standardise(np.fft.irfft2(spectrum(rng, size) * f**-slope, s=(size, size)))


def ridges(rng: np.random.Generator, lowest: float = 2.0, octaves: int = 7) -> np.ndarray:
    """-> (N, N) float32: mountain relief, from 0 (valleys) to 1 (highest summit).

    Each octave is folded noise (1 - |noise|) multiplied by the coarser octaves, so that ridges are
    rough and valleys smooth, as after erosion.
    """
    f, white = frequencies(), spectrum(rng)
    relief, gate, gain = np.zeros((SIZE, SIZE)), np.ones((SIZE, SIZE)), 1.0
    for octave in range(octaves):
        band = np.exp(-(np.log2(np.maximum(f, 0.5) / (lowest * 2**octave)) ** 2) * 2)
        wave = np.fft.irfft2(white * band, s=(SIZE, SIZE))
        crest = np.clip(1 - np.abs(wave / wave.std()) * 0.7, 0, 1) ** 1.5
        relief += gain * gate * crest
        gate = np.clip(gate * crest * 2, 0, 1) * 0.75 + 0.25 * gate
        gain *= 0.5
    relief -= relief.min()
    return (relief / relief.max()).astype(np.float32)


def terrace(relief: np.ndarray, steps: int = 5) -> np.ndarray:
    """(N, N) relief in 0 to 1 -> flat steps with cliffs between them, as in layered rock."""
    whole = np.floor(relief * steps)
    part = relief * steps - whole
    cliff = smoothstep(part, 0.62, 0.87)
    return ((whole + 0.2 * part + 0.8 * cliff) / steps).astype(np.float32)


def dunes(rng: np.random.Generator, crests: int = 6) -> np.ndarray:
    """-> (N, N) float32 in 0 to 1: long dune crests with a gentle and a steep side."""
    bend, size = fractal(rng, 2.2, 2), fractal(rng, 2.0, 2)
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    phase = (3 * y + crests * x + 0.35 * bend) % 1.0
    wave = np.where(phase < 0.72, np.sin(phase / 0.72 * np.pi / 2), (1 - phase) / 0.28)
    relief = wave * np.clip(0.6 + 0.35 * size, 0.08, None) + 0.12 * size
    relief -= relief.min()
    return (relief / relief.max()).astype(np.float32)


def waves(rng: np.random.Generator, slope: float = 1.4) -> np.ndarray:
    """-> (N, N, 2) float32: slopes in x and y of waves with crests along x.

    The slope in y has standard deviation 1.
    """
    f = np.maximum(frequencies(), 4.0)
    fy, fx = np.fft.fftfreq(SIZE, 1 / SIZE)[:, None], np.fft.rfftfreq(SIZE, 1 / SIZE)[None, :]
    swell = spectrum(rng) * f**-slope * (0.06 + (fy / f) ** 4) * 1j
    along_x = np.fft.irfft2(swell * fx, s=(SIZE, SIZE))
    along_y = np.fft.irfft2(swell * fy, s=(SIZE, SIZE))
    return (np.stack([along_x, along_y], -1) / along_y.std()).astype(np.float32)


def cones(rng: np.random.Generator, count: int, radius: float) -> np.ndarray:
    """-> (N, N) float32 up to 1: tops of ``count`` trees, cones of about ``radius`` cells."""
    reach = int(np.ceil(radius * 1.3))
    grid = np.arange(-reach, reach + 1)
    centres, tall = rng.random((count, 2)) * SIZE, rng.uniform(0.55, 1.0, count)
    corners = centres.astype(int)
    rows, cols = np.moveaxis(corners[..., None] + grid - centres[..., None], 1, 0)
    away, height = np.hypot(rows[:, :, None], cols[:, None, :]), tall[:, None, None]
    trees = (height * (1 - away / (radius * (0.6 + 0.6 * height)))).astype(np.float32)
    stand = np.zeros((SIZE + 2 * reach, SIZE + 2 * reach), np.float32)
    for (row, col), tree in zip(corners.tolist(), trees, strict=True):
        place = stand[row : row + grid.size, col : col + grid.size]
        np.maximum(place, tree, out=place)
    for _ in range(2):  # what extends beyond a side continues at the opposite side
        np.maximum(stand[reach : 2 * reach], stand[-reach:], out=stand[reach : 2 * reach])
        np.maximum(stand[-2 * reach : -reach], stand[:reach], out=stand[-2 * reach : -reach])
        stand = stand[reach:-reach].T
    return np.ascontiguousarray(stand)


def gradient(tile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, N) tile -> its derivatives per cell along x and along y."""
    along_x = (np.roll(tile, -1, 1) - np.roll(tile, 1, 1)) / 2
    along_y = (np.roll(tile, -1, 0) - np.roll(tile, 1, 0)) / 2
    return along_x, along_y


def sample(tile: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear values of a tile at columns ``u`` and rows ``v`` of shape S -> S or (\\*S, C)."""
    size = len(tile)
    u0, v0 = np.floor(u), np.floor(v)
    fu, fv = (u - u0).astype(np.float32), (v - v0).astype(np.float32)
    i, j = u0.astype(np.int64) & (size - 1), v0.astype(np.int64) & (size - 1)
    right, below = (i + 1) & (size - 1), ((j + 1) & (size - 1)) * size
    j *= size
    flat = tile.reshape(size * size, *tile.shape[2:])
    if tile.ndim == 3:
        fu, fv = fu[..., None], fv[..., None]
    top = flat[j + i]
    top += fu * (flat[j + right] - top)
    low = flat[below + i]
    low += fu * (flat[below + right] - low)
    low -= top
    low *= fv
    low += top
    return low


def zoom(tile: np.ndarray, u: np.ndarray, v: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Samples a tile so that one of its cells is about ``cell`` units of u and v wide.

    Two neighbouring powers of two are blended. If ``cell`` is the size that one pixel covers, the
    noise has detail of one pixel at every distance.
    """
    level = np.log2(np.maximum(cell, 1e-6))
    floor = np.floor(level)
    blend = (level - floor).astype(np.float32)
    scale = np.exp2(-floor)
    u, v = u * scale, v * scale
    shift = 0.37 * len(tile) * floor
    keep = np.sqrt(1 - 2 * blend + 2 * blend * blend)
    near, far = (1 - blend) / keep, blend / keep
    if tile.ndim == 3:
        near, far = near[..., None], far[..., None]
    return near * sample(tile, u + shift, v) + far * sample(
        tile, u / 2 + shift + 0.37 * len(tile), v / 2
    )
