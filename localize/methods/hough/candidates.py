"""Candidates: regions that may be in an image, and the choice of one as the answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from localize.localizer import HIT_RADIUS

# The logits are divided by it: neighbouring pixels have similar evidence, so sums overstate it.
TEMPERATURE = 2.0
MISS_COST = 0.3  # image sides: cost of an answer that is no hit, beside its distance
QUARTER_PIXELS = (-0.5, -0.25, 0.0, 0.25, 0.5)
# (25, 2) offsets of a centre from a whole pixel, px, the smallest first.
OFFSETS = np.array(sorted(product(QUARTER_PIXELS, repeat=2), key=lambda o: math.hypot(*o)))


@dataclass(frozen=True)
class Candidate:
    """A region that may be in the image.

    Args:
        x, y: centre, a whole pixel.
        r: radius, px.
        logit: aggregated votes.
        square: whether it is more likely a square than a circle.
        ratio: the ratio whose evidence it was found in.
        gaps: the part of the logit that comes from rounding gaps.
    """

    x: int
    y: int
    r: float
    logit: float = -math.inf
    square: bool = False
    ratio: float = 1.0
    gaps: float = 0.0

    def translate(self, dx: int, dy: int) -> Candidate:
        """The same, dx px to the right and dy px down."""
        return dataclasses.replace(self, x=self.x + dx, y=self.y + dy)


def fit_radius(r: float, size: Sequence[int]) -> float:
    """A radius and an image's (H, W), px -> the radius, or the largest one that fits."""
    return min(r, (min(size) - 1) / 2)


def possible_centres(length: int, r: float) -> slice:
    """Whole-pixel centres along a side of ``length`` px for which a region of radius r px fits.

    Where none fits, the one or two pixels in the middle.
    """
    low, high = math.ceil(r), math.floor(length - 1 - r)
    return slice(low, high + 1) if low <= high else slice((length - 1) // 2, length // 2 + 1)


def non_max_suppression(
    candidates: Iterable[Candidate], most: int, distance: float
) -> list[Candidate]:
    """The likeliest candidates, best first, at most ``most``.

    A candidate is dropped if a likelier one has its centre and its radius both within
    ``distance`` px.
    """
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: -c.logit):
        if all(
            math.hypot(one.x - c.x, one.y - c.y) > distance or abs(one.r - c.r) > distance
            for c in kept
        ):
            kept.append(one)
        if len(kept) == most:
            break
    return kept


def best_of(candidates: Sequence[Candidate], size: Sequence[int]) -> Candidate:
    """The candidate with the least expected cost as an answer for an image of (H, W) px.

    The cost of an answer is its distance from the truth in image sides, plus MISS_COST from
    HIT_RADIUS on and a proportional part of it below. A candidate that is likelier than all
    others together is always the best; otherwise one of several that lie close together may be.

    Source: Bayes estimate for a loss; for the distance alone it is the spatial median.
    """
    x, y = np.array([(one.x, one.y) for one in candidates]).T
    logs = np.array([one.logit / TEMPERATURE for one in candidates])
    distances = np.hypot(x[:, None] - x, y[:, None] - y)
    costs = distances / math.sqrt(math.prod(size))
    costs = costs + MISS_COST * np.minimum(distances / HIT_RADIUS, 1)
    return candidates[int((costs @ np.exp(logs - logs.max())).argmin())]
