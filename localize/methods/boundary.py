"""`boundary`: a matched filter for the region's edge, without training; it is told r and the ratio.

A natural edge may have any height, the anomaly's has one: inside = ratio x outside. So each
pair of pixels across a candidate edge says, by a likelihood ratio, whether that step or no
step explains it better, and the score of a centre is the sum along its boundary.

Source: likelihood-ratio test, Neyman and Pearson (1933); Student-t noise for robustness,
Lange, Little and Taylor (1989); a boundary's votes for its centre, Ballard (1981).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import get_args

import numpy as np

from localize.localizer import Finding, Told
from localize.methods.matched_filter import MatchedFilter
from synth.anomaly import Shape

# JPEG keeps luminance sharp and smears chroma over five pixels: wrapped ("neon") pixels,
# whose colour gives them away, are compared further apart and all others by luminance.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
GAPS = (1, 3, 5)  # px between the pixels of a pair, the edge in the middle
NEON_GAP = 7
NU = 3.0  # degrees of freedom of Student's t: heavy tails, no pair counts for much
FLOOR = 2.0  # code values: noise of a pair in a flat region, mostly JPEG's
DOUBT = 0.5  # of the step: rounding and coding wear faint steps down
NEON_NOISE = 30.0  # code values, beside wrapped pixels
NEON_FROM = 252.0  # products that may have wrapped, as coding moves them by a few
SPAN, HALF = 4, 2  # texture: mean of SPAN steps along and 2 HALF + 1 across the direction
MARGIN = max(GAPS) + SPAN  # px that the evidence looks to either side
STRIP = 1 << 20  # px whose evidence is computed at a time, which bounds the memory
PEAKS = 20  # candidates that are placed to a fraction of a pixel
OFFSETS = sorted(product((-0.5, -0.25, 0.0, 0.25, 0.5), repeat=2), key=lambda o: math.hypot(*o))
PRIOR = 1e-3  # nats between centre and corner: settles ties, no more

Pair = tuple[np.ndarray, np.ndarray]


def _mean(a: np.ndarray, n: int, axis: int) -> np.ndarray:
    """(..., L, ...) -> (..., L - n + 1, ...): sliding mean of n values."""
    a = np.moveaxis(a, axis, 0)
    length = len(a) - n + 1
    total = a[:length].copy()
    for k in range(1, n):
        total += a[k : k + length]
    total /= n
    return np.moveaxis(total, 0, axis)


def _surprise(squares: np.ndarray) -> np.ndarray:
    """Squared residuals over their variance -> nats under Student's t, 0 for none."""
    return (NU + 1) / 2 * np.log1p(squares / NU)


def _at(a: np.ndarray, k: int, width: int) -> np.ndarray:
    """(H + 2 HALF, W + 2 MARGIN, ...) -> (H, W, ...): each pixel's neighbour k columns on."""
    return a[HALF : len(a) - HALF, MARGIN + k : MARGIN + k + width]


def _sides(gap: int) -> Iterator[tuple[int, int]]:
    """Columns of the inside and the outside pixel, counted from the edge; left inside first."""
    left, right = -(gap // 2), gap - gap // 2
    yield left, right
    yield right, left


def _step_evidence(luma: np.ndarray, changed: np.ndarray, width: int) -> Pair:
    """Padded luminance, before and after the change -> two (H, W) float32, nats."""
    shape = (len(luma) - 2 * HALF, width)
    pair = (np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    for gap in GAPS:
        # Measured on either side of the pair: across it, the step would inflate its own noise.
        size = _mean(_mean(np.abs(luma[:, gap:] - luma[:, :-gap]), SPAN, 1), 2 * HALF + 1, 0)
        texture = math.pi / 2 * size**2  # the variance, if it were Gaussian
        before, after = MARGIN + 1 - gap - SPAN, MARGIN + 1
        noise = (texture[:, before:][:, :width] + texture[:, after:][:, :width]) / 2 + FLOOR**2
        for total, (inside, outside) in zip(pair, _sides(gap), strict=True):
            seen, same = _at(luma, inside, width), _at(luma, outside, width)
            expected = _at(changed, outside, width)
            doubt = (DOUBT * (expected - same)) ** 2
            total += _surprise((seen - same) ** 2 / noise)
            total -= _surprise((seen - expected) ** 2 / (noise + doubt))
    return pair


def _neon_evidence(rgb: np.ndarray, products: np.ndarray, width: int) -> Pair:
    """Padded colours, before and after the change -> two (H, W) float32, nats; -inf: no wrap."""
    over = products >= NEON_FROM
    wrapped = np.where(over, products - 256, products)
    maps = []
    for inside, outside in _sides(NEON_GAP):
        seen, before = _at(rgb, inside, width), _at(rgb, outside, width)
        same = ((seen - before) ** 2).mean(axis=2) / NEON_NOISE**2
        neon = ((seen - _at(wrapped, outside, width)) ** 2).mean(axis=2) / NEON_NOISE**2
        any_over = _at(over, outside, width).any(axis=2)
        maps.append(np.where(any_over, _surprise(same) - _surprise(neon), np.float32(-np.inf)))
    return maps[0], maps[1]


def _evidence_across(image: np.ndarray, ratio: float) -> Pair:
    """(H, W, 3) uint8 -> two (H, W) float32, nats: is an edge between this pixel and the next?

    Inside is the left pixel in the first map and the right one in the second.
    """
    height, width = image.shape[:2]
    padded = np.pad(image, ((HALF, HALF), (MARGIN, MARGIN), (0, 0)), mode="edge")
    pair = (np.empty((height, width), np.float32), np.empty((height, width), np.float32))
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        rgb = padded[top : top + rows + 2 * HALF].astype(np.float32)
        products = rgb * np.float32(ratio)
        maps = _step_evidence(rgb @ LUMA, np.minimum(products, 255) @ LUMA, width)
        if products.max() >= NEON_FROM and ratio > 1:
            neon = _neon_evidence(rgb, products, width)
            maps = (np.maximum(maps[0], neon[0]), np.maximum(maps[1], neon[1]))
        for whole, strip in zip(pair, maps, strict=True):
            whole[top : top + rows] = strip
    for whole in pair:
        whole[:, -1] = 0  # nothing comes after the last column
    return pair


def evidence(image: np.ndarray, ratio: float) -> list[np.ndarray]:
    """(H, W, 3) uint8 -> four (H, W) float32, nats: is there an edge just after this pixel?

    Edge to its right with the inside left, then right; edge below it with the inside above,
    then below.
    """
    turned = _evidence_across(image.swapaxes(0, 1), ratio)
    return [*_evidence_across(image, ratio), turned[0].T, turned[1].T]


def edges(x: float, y: float, r: float, shape: Shape) -> list[Pair]:
    """Centre and radius, px -> the rows and columns at which to read each map of `evidence`."""

    def ends(along: float, across: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lines = np.arange(math.ceil(across - r), math.floor(across + r) + 1)
        square = r * r - (lines - across) ** 2 if shape == "circle" else np.full(len(lines), r * r)
        reach = np.sqrt(np.maximum(square, 0))
        first, last = np.ceil(along - reach).astype(int), np.floor(along + reach).astype(int)
        some = first <= last
        return lines[some], first[some] - 1, last[some]

    rows, before, right = ends(x, y)
    cols, above, bottom = ends(y, x)
    return [(rows, right), (rows, before), (bottom, cols), (above, cols)]


def fast_length(n: int) -> int:
    """The smallest length >= n without a prime factor above 5: a quick FFT."""
    rest = n
    while rest > 1:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        n += rest > 1
    return n


def scores(maps: Sequence[np.ndarray], r: float) -> np.ndarray:
    """Four (H, W) -> (H, W) float32, nats: the evidence for a region of radius r px centred there.

    The better shape counts. The value means nothing where the region leaves the image.
    """
    height, width = maps[0].shape
    size = [fast_length(max(length, 2 * math.floor(r) + 3)) for length in (height, width)]
    totals = [np.zeros((size[0], size[1] // 2 + 1), np.complex64) for _ in get_args(Shape)]
    for which, plane in enumerate(maps):
        spectrum = np.fft.rfft2(plane, size)
        for shape, total in zip(get_args(Shape), totals, strict=True):
            kernel = np.zeros(size, np.float32)
            kernel[edges(0, 0, r, shape)[which]] = 1  # negative indices wrap, as the FFT does
            total += spectrum * np.fft.rfft2(kernel).conj()
    best = np.fft.irfft2(totals.pop(), size)[:height, :width]
    return np.maximum(best, np.fft.irfft2(totals.pop(), size)[:height, :width])


def candidates(length: int, r: float) -> slice:
    """Whole-pixel centres along a side for which the region fits; else those in the middle."""
    low, high = math.ceil(r), math.floor(length - 1 - r)
    return slice(low, high + 1) if low <= high else slice((length - 1) // 2, length // 2 + 1)


def _peaks(score: np.ndarray) -> Iterator[tuple[int, int]]:
    """(H, W) -> row and column of the PEAKS highest values, at least 3 px apart."""
    rest = score.copy()
    for _ in range(PEAKS):
        y, x = (int(i) for i in np.unravel_index(np.argmax(rest), rest.shape))
        if rest[y, x] == -np.inf:
            return
        yield y, x
        rest[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3] = -np.inf


def find(image: np.ndarray, told: Told) -> Finding:
    """(H, W, 3) uint8 -> the likeliest centre of a region of the told radius and ratio, px."""
    height, width = image.shape[:2]
    r = min(told.r, (min(height, width) - 1) / 2)
    maps = evidence(image, told.discolor_ratio)
    rows, cols = candidates(height, r), candidates(width, r)
    up, along = np.linspace(-1, 1, height)[rows, None], np.linspace(-1, 1, width)[None, cols]
    prior = (-PRIOR * (up**2 + along**2)).astype(np.float32)
    score = scores(maps, r)[rows, cols] + prior
    shown = np.full((height, width), score.min(), np.float32)
    shown[rows, cols] = score

    best = (-math.inf, (width - 1) / 2, (height - 1) / 2)
    for row, col in _peaks(score):
        for (dy, dx), shape in product(OFFSETS, get_args(Shape)):
            y, x = rows.start + row + dy, cols.start + col + dx
            if r <= x <= width - 1 - r and r <= y <= height - 1 - r:
                sides = zip(maps, edges(x, y, r, shape), strict=True)
                value = float(sum(side[where].sum() for side, where in sides) + prior[row, col])
                if value > best[0]:  # ties go to the smaller offset, which comes first
                    best = (value, x, y)
    value, x, y = best
    return Finding(x, y, r=told.r, ratio=told.discolor_ratio, score=value, map=shown)


class Boundary(MatchedFilter):
    """The localizer; see the module."""

    name = "boundary"

    def find(self, image: np.ndarray, told: Told) -> Finding:
        """As :func:`find`."""
        return find(image, told)
