"""Rounding gaps: evidence of a ratio in the code values of a lossless file.

Where code values were multiplied by a ratio and rounded, some values never occur (gaps, ratio
above 1) or occur twice as often (doubles, below 1). How often a value is to be expected in a
region follows from its two neighbours there and from the same three values outside, so that a
picture whose values have gaps everywhere gives no evidence. No eye can see any of this, and JPEG
compression or stochastic rounding removes it.

Counts are arrays of (3, CODES), one row a channel. Evidence is in nats: the log likelihood ratio
of Poisson counts with and without the gaps.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

CodeRounding = Literal["nearest", "floor"]

CODES = 256
ROUNDINGS: tuple[CodeRounding, ...] = ("nearest", "floor")
LOG_ERROR = math.log(0.05)  # of the share of an expected count that a gap holds nevertheless
KNEE = 8.0  # independent pixels of a value from which on further ones count less
LEAST_OUTSIDE = 4.0  # pixels of the neighbouring values outside; with fewer a value is unknown
LARGEST_RISE = 2.0  # of a count over its expectation; a double has no more
LARGEST_DOUBLE = 2.0  # nats of one double: in flat parts single values are frequent for no reason
LEAST_EXPECTED = 3.0  # pixels from which on a count shows how irregular a region's counts are
# Medians of a squared normal deviate; variance of a count less the mean of two others over its own.
MEDIAN_SQUARE, VARIANCE = 0.455, 1.5


def preimages(ratio: float, rounding: CodeRounding) -> np.ndarray:
    """-> (CODES,) int: how many code values a ratio and a rounding map to each value.

    1, which says nothing, for values that clipped or wrapped products may have, and from the
    largest product on.

    >>> preimages(1.05, "nearest")[29:33]
    array([1, 1, 0, 1])
    """
    products = np.arange(CODES) * ratio
    rounded = (np.rint if rounding == "nearest" else np.floor)(products).astype(int)
    counts = np.bincount(rounded, minlength=CODES)[:CODES]
    largest = int(rounded[-1])
    counts[: max(0, largest - CODES) + 1] = 1
    counts[min(largest, CODES - 1) :] = 1
    return counts


def gaps_and_doubles(ratio: float, rounding: CodeRounding) -> tuple[np.ndarray, np.ndarray]:
    """-> (CODES,) bool each: values without a preimage, values with two.

    Only those whose neighbouring values have one preimage each.
    """
    counts = preimages(ratio, rounding)
    alone = np.zeros(CODES, bool)
    alone[1:-1] = (counts[2:] == 1) & (counts[:-2] == 1)
    return alone & (counts == 0), alone & (counts == 2)


@dataclass(frozen=True)
class RatioGrid:
    """Ratios and roundings that are tried where the ratio is not known, n in all.

    Args:
        ratios: (n,).
        gaps, doubles: (CODES, n) float32, 1 where a value is one.
    """

    ratios: np.ndarray
    gaps: np.ndarray
    doubles: np.ndarray

    @classmethod
    def of(cls, ratios: np.ndarray) -> RatioGrid:
        """Each ratio with both roundings."""
        pairs = [gaps_and_doubles(ratio, each) for each in ROUNDINGS for ratio in ratios.tolist()]
        gaps, doubles = (np.array(each, np.float32).T for each in zip(*pairs, strict=True))
        return cls(np.tile(ratios, len(ROUNDINGS)), gaps, doubles)

    def select(self, low: float, high: float) -> RatioGrid:
        """The ratios from low to high."""
        chosen = (self.ratios >= low) & (self.ratios <= high)
        return RatioGrid(self.ratios[chosen], self.gaps[:, chosen], self.doubles[:, chosen])


@functools.cache
def search_grid() -> RatioGrid:
    """Ratios from 0.8 to 1.25, so close that gaps of neighbouring ones differ by half a value.

    Also multiples of 0.005, as people choose them: many of their products are ties of rounding.
    """
    changes = np.geomspace(0.01, 0.25, 2000)
    chosen = np.array([n / 200 for n in range(160, 251) if abs(n - 200) > 1])
    return RatioGrid.of(np.concatenate([1 + changes, 1 - changes[changes <= 0.2], chosen]))


def neighbours(counts: np.ndarray) -> np.ndarray:
    """(..., CODES) -> the same shape: geometric mean of the counts of the two adjacent values.

    Where the logarithm of the counts is concave, as on the flank of a peak, it is never above
    the count itself: a smooth distribution has no gap by it.
    """
    mean = np.zeros(counts.shape)
    mean[..., 1:-1] = np.sqrt(counts[..., 2:] * counts[..., :-2])
    return mean


def outside_shares(outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(..., CODES) counts outside -> each over what its neighbours suggest; whether known."""
    expected = neighbours(outside)
    known = expected >= LEAST_OUTSIDE
    return np.divide(outside, expected, out=np.ones(outside.shape), where=known), known


def irregularity(inside: np.ndarray) -> np.ndarray:
    """(..., 3, CODES) counts -> (...): their variance about their neighbours over Poisson's, >= 1.

    Most values are neither gap nor double, so the median tells how irregular the counts are for
    other reasons, for example in flat parts of a JPEG file that was decoded and stored again.
    Infinite where no value is frequent enough.
    """
    expected = neighbours(inside)
    counted = expected >= LEAST_EXPECTED
    squares = (inside - expected) ** 2 / (VARIANCE * np.maximum(expected, 1))
    squares = np.where(counted, squares, np.inf).reshape(*inside.shape[:-2], -1)
    middle = counted.sum((-2, -1))[..., None] // 2
    median = np.take_along_axis(np.sort(squares, -1), middle, -1)[..., 0] / MEDIAN_SQUARE
    return np.maximum(median, 1)


def value_evidence(
    inside: np.ndarray, independent: np.ndarray, outside: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Counts -> (..., CODES) each: evidence that a value is a gap, or a double, inside; nats.

    Summed over channels. Of one channel's value, pixels count in full up to KNEE; all counts are
    divided by :func:`irregularity`.

    Args:
        inside: (..., 3, CODES) pixels of the region.
        independent: (..., 3, CODES) those with neither the value of the pixel above nor that of
            the one to the left.
        outside: (..., 3, CODES) pixels of the rest of the picture.
    """
    shares, known = outside_shares(outside)
    expected = neighbours(inside)
    known = known & (expected > 0)
    size = np.where(known, KNEE * np.log1p(neighbours(independent) / KNEE), 0)
    size /= irregularity(inside)[..., None, None]
    relative = np.divide(inside, expected, out=np.zeros(inside.shape), where=known)
    fewer, more = np.minimum(shares, 1), np.maximum(shares, 1)
    gap = size * (fewer + relative * LOG_ERROR)
    double = size * (np.minimum(relative, LARGEST_RISE * more) * math.log(2) - more)
    return gap.sum(-2), np.minimum(double, LARGEST_DOUBLE).sum(-2)


def pixel_table(histogram: np.ndarray, ratio: float, rounding: CodeRounding) -> np.ndarray:
    """(3, CODES) counts of a picture -> (3, CODES) float32: evidence of one pixel, by its value.

    A pixel beside a gap counts for half the one that is missing there; its sum over a region is
    that of :func:`value_evidence` with arithmetic means, without KNEE.
    """
    shares, known = outside_shares(histogram)
    gaps, doubles = (each & known for each in gaps_and_doubles(ratio, rounding))
    beside = np.where(gaps, np.minimum(shares, 1), 0) - np.where(doubles, np.maximum(shares, 1), 0)
    table = np.where(gaps, LOG_ERROR, 0) + np.where(doubles, math.log(2), 0)
    table[:, :-1] += beside[:, 1:] / 2
    table[:, 1:] += beside[:, :-1] / 2
    return table.astype(np.float32)


def pixel_evidence(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) float32 nats that a pixel was multiplied by a ratio and rounded.

    It says nothing alone; only a sum over a region does.

    Args:
        table: (3, CODES) of :func:`pixel_table`.
    """
    evidence = table[0][image[..., 0]]
    evidence += table[1][image[..., 1]]
    evidence += table[2][image[..., 2]]
    return evidence


def channel_histograms(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (3, CODES) counts."""
    return np.array(Image.fromarray(image).histogram()).reshape(3, CODES)
