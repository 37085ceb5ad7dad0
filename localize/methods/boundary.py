"""`boundary`: a matched filter for the region's edge, without training; it is told r and the ratio.

A natural edge may have any height; at the region's edge the inside is ratio x the outside. For
each pair of pixels on the two sides of a possible edge, the log likelihood ratio of that step
against no step is computed. The score of a centre is the sum along the outline around it. Only
numpy is needed.

1. :func:`evidence`: image and ratio -> four maps of log likelihood ratios, one for each side.
2. :func:`scores`: sums the maps along the outline of radius r around every pixel, by FFT.
3. :func:`find`: the highest scores are evaluated to a quarter of a pixel; the best is the answer.

Source: likelihood-ratio test, Neyman and Pearson (1933); Student-t noise for robustness,
Lange, Little and Taylor (1989); votes for the centre of a shape, Ballard (1981).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import get_args

import numpy as np

from localize.localizer import Finding, Told
from localize.methods.hough.candidates import OFFSETS, fit_radius, possible_centres
from localize.methods.hough.fft import fast_length
from localize.methods.hough.outlines import side_pixels
from localize.methods.matched_filter import MatchedFilter
from synth.anomaly import Shape
from synth.colour import LUMA

# JPEG keeps luma sharp and spreads chroma over about five pixels. Wrapped pixels are recognised
# by their colour, so they are compared at a larger distance; all others by luma.
GAPS = (1, 3, 5)  # px between the pixels of a pair, the edge in the middle
WRAP_GAP = 7
NU = 3.0  # degrees of freedom of Student's t; its heavy tails limit the influence of a pair
NOISE_FLOOR = 2.0  # code values, noise of a pair in a flat part of the image, mostly JPEG's
STEP_ERROR = 0.5  # of the step: rounding and compression flatten faint steps
WRAP_NOISE = 30.0  # code values, noise beside wrapped pixels
WRAP_FROM = 252.0  # products that may have wrapped; compression moves them by a few code values
SPAN, HALF = 4, 2  # texture: mean over SPAN px along and 2 HALF + 1 px across the direction
MARGIN = max(GAPS) + SPAN  # px on each side that the evidence of an edge depends on
STRIP = 1 << 20  # px whose evidence is computed at a time, which bounds the memory
CANDIDATES = 20  # centres that are evaluated to a fraction of a pixel
SUPPRESSED = 2  # px around a candidate, along both axes, in which no other one is taken
# nats between the middle and a corner of the image; decides only between equal scores.
PRIOR = 1e-3

Pair = tuple[np.ndarray, np.ndarray]


def _sliding_mean(a: np.ndarray, n: int, axis: int) -> np.ndarray:
    """(..., L, ...) -> (..., L - n + 1, ...): mean of n consecutive values along an axis."""
    a = np.moveaxis(a, axis, 0)
    length = len(a) - n + 1
    total = a[:length].copy()
    for k in range(1, n):
        total += a[k : k + length]
    total /= n
    return np.moveaxis(total, 0, axis)


def _negative_log_likelihood(squares: np.ndarray) -> np.ndarray:
    """Squared residuals divided by their variance -> nats under Student's t, 0 for none."""
    return (NU + 1) / 2 * np.log1p(squares / NU)


def _shift(a: np.ndarray, k: int, width: int) -> np.ndarray:
    """(H + 2 HALF, W + 2 MARGIN, ...) -> (H, W, ...): the pixel k columns to the right of each."""
    return a[HALF : len(a) - HALF, MARGIN + k : MARGIN + k + width]


def _sides(gap: int) -> Iterator[tuple[int, int]]:
    """Columns of the inside and the outside pixel, from the edge: inside left, then right."""
    left, right = -(gap // 2), gap - gap // 2
    yield left, right
    yield right, left


def _step_evidence(luma: np.ndarray, changed: np.ndarray, width: int) -> Pair:
    """Log likelihood ratio of a step against no step.

    Args:
        luma: padded luma, code values.
        changed: the same after multiplication by the ratio, clipped at 255.
        width: of the image, px.

    Returns:
        Two (H, W) float32 in nats: inside left and inside right of the edge.
    """
    shape = (len(luma) - 2 * HALF, width)
    pair = (np.zeros(shape, np.float32), np.zeros(shape, np.float32))
    for gap in GAPS:
        # The texture is measured on either side of the pair: across it, the step would count.
        differences = np.abs(luma[:, gap:] - luma[:, :-gap])
        size = _sliding_mean(_sliding_mean(differences, SPAN, 1), 2 * HALF + 1, 0)
        texture = math.pi / 2 * size**2  # the variance, if the differences are Gaussian
        before, after = MARGIN + 1 - gap - SPAN, MARGIN + 1
        noise = (texture[:, before:][:, :width] + texture[:, after:][:, :width]) / 2
        noise = noise + NOISE_FLOOR**2
        for total, (inside, outside) in zip(pair, _sides(gap), strict=True):
            measured, unchanged = _shift(luma, inside, width), _shift(luma, outside, width)
            expected = _shift(changed, outside, width)
            step_variance = (STEP_ERROR * (expected - unchanged)) ** 2
            total += _negative_log_likelihood((measured - unchanged) ** 2 / noise)
            total -= _negative_log_likelihood((measured - expected) ** 2 / (noise + step_variance))
    return pair


def _wrap_evidence(rgb: np.ndarray, products: np.ndarray, width: int) -> Pair:
    """Log likelihood ratio of wrapped values against no step.

    Args:
        rgb: padded code values.
        products: the same times the ratio.
        width: of the image, px.

    Returns:
        Two (H, W) float32 in nats, as of :func:`_step_evidence`; -inf where no product wraps.
    """
    over = products >= WRAP_FROM
    wrapped = np.where(over, products - 256, products)
    maps = []
    for inside, outside in _sides(WRAP_GAP):
        measured, unchanged = _shift(rgb, inside, width), _shift(rgb, outside, width)
        without_step = ((measured - unchanged) ** 2).mean(axis=2) / WRAP_NOISE**2
        expected = _shift(wrapped, outside, width)
        with_wrap = ((measured - expected) ** 2).mean(axis=2) / WRAP_NOISE**2
        nats = _negative_log_likelihood(without_step) - _negative_log_likelihood(with_wrap)
        any_over = _shift(over, outside, width).any(axis=2)
        maps.append(np.where(any_over, nats, np.float32(-np.inf)))
    return maps[0], maps[1]


def _evidence_across(image: np.ndarray, ratio: float) -> Pair:
    """Evidence of an edge between each pixel and the next one to its right.

    (H, W, 3) uint8 -> two (H, W) float32, nats: inside left and inside right of the edge.
    """
    height, width = image.shape[:2]
    padded = np.pad(image, ((HALF, HALF), (MARGIN, MARGIN), (0, 0)), mode="edge")
    pair = (np.empty((height, width), np.float32), np.empty((height, width), np.float32))
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        rgb = padded[top : top + rows + 2 * HALF].astype(np.float32)
        products = rgb * np.float32(ratio)
        maps = _step_evidence(rgb @ LUMA, np.minimum(products, 255) @ LUMA, width)
        if products.max() >= WRAP_FROM and ratio > 1:
            wrap = _wrap_evidence(rgb, products, width)
            maps = (np.maximum(maps[0], wrap[0]), np.maximum(maps[1], wrap[1]))
        for whole, strip in zip(pair, maps, strict=True):
            whole[top : top + rows] = strip
    for whole in pair:
        whole[:, -1] = 0  # there is no pixel after the last column
    return pair


def evidence(image: np.ndarray, ratio: float) -> list[np.ndarray]:
    """(H, W, 3) uint8 -> four (H, W) float32, nats: evidence of an edge just after each pixel.

    In the order of :func:`side_pixels`: the edge is right of the pixel and the inside left of
    it, then right of it; the edge is below the pixel and the inside above it, then below it.
    """
    transposed = _evidence_across(image.swapaxes(0, 1), ratio)
    return [*_evidence_across(image, ratio), transposed[0].T, transposed[1].T]


def scores(maps: Sequence[np.ndarray], r: float) -> np.ndarray:
    """Four (H, W) of :func:`evidence` -> (H, W) float32, nats: the score of a centre.

    The higher of the sums along a circle and along a square of radius r px. It is meaningless
    where the region leaves the image.
    """
    height, width = maps[0].shape
    size = [fast_length(max(length, 2 * math.floor(r) + 3)) for length in (height, width)]
    totals = [np.zeros((size[0], size[1] // 2 + 1), np.complex64) for _ in get_args(Shape)]
    for side, plane in enumerate(maps):
        spectrum = np.fft.rfft2(plane, size)
        for shape, total in zip(get_args(Shape), totals, strict=True):
            kernel = np.zeros(size, np.float32)
            # Negative indices wrap around, as a circular correlation needs.
            kernel[side_pixels(0, 0, r, shape)[side]] = 1
            total += spectrum * np.fft.rfft2(kernel).conj()
    best = np.fft.irfft2(totals.pop(), size)[:height, :width]
    return np.maximum(best, np.fft.irfft2(totals.pop(), size)[:height, :width])


def _highest(score: np.ndarray) -> Iterator[tuple[int, int]]:
    """(H, W) -> row and column of the CANDIDATES highest values, none near a higher one."""
    remaining = score.copy()
    for _ in range(CANDIDATES):
        y, x = (int(i) for i in np.unravel_index(np.argmax(remaining), remaining.shape))
        if remaining[y, x] == -np.inf:
            return
        yield y, x
        rows = slice(max(0, y - SUPPRESSED), y + SUPPRESSED + 1)
        remaining[rows, max(0, x - SUPPRESSED) : x + SUPPRESSED + 1] = -np.inf


def find(image: np.ndarray, told: Told) -> Finding:
    """(H, W, 3) uint8 -> the likeliest centre of a region of the told radius and ratio, px."""
    height, width = image.shape[:2]
    r = fit_radius(told.r, (height, width))
    maps = evidence(image, told.discolor_ratio)
    rows, cols = possible_centres(height, r), possible_centres(width, r)
    up, along = np.linspace(-1, 1, height)[rows, None], np.linspace(-1, 1, width)[None, cols]
    prior = (-PRIOR * (up**2 + along**2)).astype(np.float32)
    score = scores(maps, r)[rows, cols] + prior
    score_map = np.full((height, width), score.min(), np.float32)
    score_map[rows, cols] = score

    # Flat indices relative to a candidate. The pixel before the first one of a row is the last
    # one of another, whose evidence is 0; likewise for columns.
    outlines = [
        (dy, dx, [down * width + along for down, along in side_pixels(dx, dy, r, shape)])
        for (dy, dx), shape in product(OFFSETS.tolist(), get_args(Shape))
    ]
    flat = [side.ravel() for side in maps]
    best = (-math.inf, (width - 1) / 2, (height - 1) / 2)
    for row, col in _highest(score):
        y0, x0 = rows.start + row, cols.start + col
        for dy, dx, pixels in outlines:
            y, x = y0 + dy, x0 + dx
            if r <= x <= width - 1 - r and r <= y <= height - 1 - r:
                sides = zip(flat, pixels, strict=True)
                total = sum(side[each + (y0 * width + x0)].sum() for side, each in sides)
                value = float(total + prior[row, col])
                if value > best[0]:  # of equal values the smaller offset, which comes first
                    best = (value, x, y)
    value, x, y = best
    return Finding(x, y, r=told.r, ratio=told.discolor_ratio, score=value, map=score_map)


class Boundary(MatchedFilter):
    """The localizer; see the module."""

    name = "boundary"

    def find(self, image: np.ndarray, told: Told) -> Finding:
        """As :func:`find`."""
        return find(image, told)
