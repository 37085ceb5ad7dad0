"""Evidence per pixel to a score for every centre: votes along circles and squares, by FFT.

Source: votes for the centre of a shape, Ballard (1981).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

ARCS = 8  # directions from inside to outside: right, right-down, down, ... 45 degrees apart
SIDES = 4  # of a square: right, down, left, up
PLANES = (slice(0, ARCS), slice(ARCS, ARCS + SIDES))  # of evidence, for a circle and a square
KINDS = ARCS + SIDES
TURNS = (*range(ARCS), *range(0, ARCS, ARCS // SIDES))  # directions of all kinds, in arcs
Outline = tuple[np.ndarray, np.ndarray, np.ndarray]


def circle(r: float, dx: float = 0.0, dy: float = 0.0) -> Outline:
    """Radius, px -> (n,) rows and (n,) columns of the last pixels inside, (n, ARCS) their weights.

    Rows and columns count from the pixel beside the centre, which lies (dx, dy) px from it.
    A pixel's weights say which direction is outward there; they sum to 1.
    """
    v = np.arange(math.ceil(dy - r), math.floor(dy + r) + 1)
    half = np.sqrt(np.maximum(0, r * r - (v - dy) ** 2))
    left, right = np.ceil(dx - half).astype(int), np.floor(dx + half).astype(int)
    # A pixel is the last inside where the row above or below, or its own, ends before it.
    nothing = np.array([10**6])
    above, below = np.concatenate([nothing, left[:-1]]), np.concatenate([left[1:], nothing])
    ends = np.minimum(np.maximum(left, np.maximum(above, below) - 1), right)
    above, below = np.concatenate([-nothing, right[:-1]]), np.concatenate([right[1:], -nothing])
    begins = np.maximum(np.minimum(right, np.minimum(above, below) + 1), ends + 1)
    rows, cols = _runs([(v, left, ends), (v, begins, right)])
    turn = np.arctan2(rows - dy, cols - dx) / (2 * math.pi / ARCS)
    weights = np.zeros((len(rows), ARCS), np.float32)
    for kind in (np.floor(turn), np.ceil(turn)):  # it lies between two directions
        weights[np.arange(len(rows)), kind.astype(int) % ARCS] = 1 - np.abs(turn - kind)
    return rows, cols, weights


def _runs(
    spans: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Rows, first and last columns (none where the last is before the first) -> all pixels."""
    rows, first, last = (np.concatenate(each) for each in zip(*spans, strict=True))
    count = np.maximum(0, last - first + 1)
    along = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(rows, count), np.repeat(first, count) + along


def square(r: float, dx: float = 0.0, dy: float = 0.0) -> Outline:
    """As :func:`circle`, for a square of half side r px: weights are (n, SIDES)."""
    left, right = math.ceil(dx - r), math.floor(dx + r)
    top, bottom = math.ceil(dy - r), math.floor(dy + r)
    across, along = np.arange(left, right + 1), np.arange(top, bottom + 1)
    rows = np.concatenate([along, np.full_like(across, bottom), along, np.full_like(across, top)])
    cols = np.concatenate([np.full_like(along, right), across, np.full_like(along, left), across])
    counts = [len(along), len(across), len(along), len(across)]
    return rows, cols, np.repeat(np.eye(SIDES, dtype=np.float32), counts, axis=0)


SHAPES: tuple[Callable[..., Outline], ...] = (circle, square)


def spokes(number: int, r: float, dx: float = 0.0, dy: float = 0.0) -> tuple[np.ndarray, ...]:
    """A shape's number, as :func:`circle` -> its votes: kinds (rising), rows, columns, weights."""
    rows, cols, weights = SHAPES[number](r, dx, dy)
    kind, along = np.nonzero(weights.T)
    return kind + PLANES[number].start, rows[along], cols[along], weights[along, kind]


def voters(
    r: float, sizes: tuple[int, int], together: int, device: torch.device
) -> Iterator[tuple[int, slice, Tensor]]:
    """Radius, px, H and W -> shape's number, n kinds of edges, (n, H, W // 2 + 1): who votes.

    The transform of where the votes for a centre come from; at most ``together`` kinds at a time.
    """
    for number, (shape, planes) in enumerate(zip(SHAPES, PLANES, strict=True)):
        rows, cols, weights = shape(r)
        for first in range(planes.start, planes.stop, together):
            kinds = slice(first, min(first + together, planes.stop))
            counted = weights.T[kinds.start - planes.start : kinds.stop - planes.start]
            plane, along = np.nonzero(counted)  # what lies before 0 wraps, as transforms do
            at = (plane * sizes[0] + rows[along] % sizes[0]) * sizes[1] + cols[along] % sizes[1]
            kernel = torch.zeros(len(counted) * sizes[0] * sizes[1], device=device)
            count = torch.from_numpy(counted[plane, along]).to(kernel)
            kernel[torch.from_numpy(at).to(device)] = count
            yield number, kinds, torch.fft.rfft2(kernel.view(-1, *sizes)).conj()


def counts(
    spectrum: Tensor, r: float, sizes: tuple[int, int], together: int = KINDS
) -> Iterator[tuple[int, Tensor]]:
    """(..., KINDS, H, W // 2 + 1) transform of evidence -> shape's number and (..., n, H, W) sums.

    Each sum runs along one arc of the circle or one side of the square of radius r px around
    every pixel. They mean nothing where the region leaves the image; ``sizes`` are H and W,
    each at least 2 r + 3. At most ``together`` arcs come at a time, which bounds the memory.
    """
    for number, kinds, kernel in voters(r, sizes, together, spectrum.device):
        yield number, torch.fft.irfft2(spectrum[..., kinds, :, :] * kernel, sizes)
