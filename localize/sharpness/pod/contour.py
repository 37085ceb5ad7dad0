"""Likelihood-ratio bounds of a POD curve, from the confidence region of its parameters.

The region holds all (intercept, slope, lapse) with 2 (largest log likelihood - log likelihood) at
most LEVEL. The bound of any number that depends on them, such as a90, is its extreme in the region;
this equals the bound by profile likelihood. The region is described by points on its border: for
each lapse rate in it, one point for each direction from the likeliest intercept and slope.

Source: MIL-HDBK-1823A (2009), appendix G; Cheng and Iles, Technometrics 25 (1983), for the bound of
a whole curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from localize.sharpness.pod.likelihood import (
    Fits,
    Scale,
    curve,
    fit,
    information,
    log_likelihood,
)
from localize.sharpness.pod.links import Link

TWO_SIDED = 3.841458820694124  # chi-square of one degree of freedom, 95 %
ONE_SIDED = 2.705543454095404  # the same, 90 %: a one-sided bound of 95 %
DIRECTIONS = 720
LAPSE_DIRECTIONS = 120  # where the lapse rate is free
LAPSES = 33  # lapse rates in the region
SEARCHED_LAPSES = 200  # in which the region's range of lapse rates is searched
MAX_ITERATIONS = 40
MAX_CONDITION = 1e12  # of the information matrix; it is nearly singular where POD is a step


@dataclass(frozen=True)
class Region:
    """Points on the border of a confidence region, as (K,) arrays."""

    intercept: np.ndarray
    slope: np.ndarray
    guess: np.ndarray
    lapse: np.ndarray

    def largest_size(self, pod: float, link: Link) -> float:
        """The upper bound of the s at which the curve reaches ``pod``; inf if there is none."""
        fits = Fits(self.intercept, self.slope, self.guess, self.lapse, self.slope)
        return float(fits.size_at(pod, link).max())

    def band(self, s: np.ndarray, link: Link) -> tuple[np.ndarray, np.ndarray]:
        """(L,) s -> (L,) lower and upper bound of the POD."""
        low, high = np.full(len(s), np.inf), np.full(len(s), -np.inf)
        for part in np.array_split(np.arange(len(self.slope)), 1 + len(self.slope) // 1000):
            theta = np.stack([self.intercept[part], self.slope[part]], axis=1)
            pod = curve(s, theta, self.guess[part], self.lapse[part], link)[0]
            low, high = np.minimum(low, pod.min(0)), np.maximum(high, pod.max(0))
        return low, high


def region(
    s: np.ndarray, n: np.ndarray, hits: np.ndarray, fits: Fits, link: Link, level: float,
    free_lapse: bool = False,
) -> Region:  # fmt: skip
    """(L,) s, (L,) trials, (L,) hits and their one fitted curve -> its confidence region.

    Args:
        level: the likelihood ratio at the border: TWO_SIDED or ONE_SIDED.
        free_lapse: whether the lapse rate was fitted too.
    """
    if not free_lapse:
        return _borders(s, n, hits, fits, link, np.array([level]), DIRECTIONS)
    lapses = np.linspace(0, 1 - fits.guess[0], SEARCHED_LAPSES, endpoint=False)
    inside = np.flatnonzero(_levels(s, n, hits, fits, link, level, lapses)[0] > 0)
    if len(inside):
        low, high = lapses[max(inside[0] - 1, 0)], lapses[min(inside[-1] + 1, len(lapses) - 1)]
    else:
        low = high = fits.lapse[0]
    lapses = np.union1d(np.linspace(low, high, LAPSES), fits.lapse)
    levels, each = _levels(s, n, hits, fits, link, level, lapses)
    kept = levels > 0
    each = Fits(*(value[kept] for value in vars(each).values()))
    return _borders(s, n, hits, each, link, levels[kept], LAPSE_DIRECTIONS)


def _levels(
    s: np.ndarray, n: np.ndarray, hits: np.ndarray, fits: Fits, link: Link, level: float,
    lapses: np.ndarray,
) -> tuple[np.ndarray, Fits]:  # fmt: skip
    """What is left of the level at each lapse rate, and the likeliest curves there."""
    each = fit(s, n, hits, link, guess=fits.guess[0], lapse=lapses)
    best = max(fits.log_likelihood[0], each.log_likelihood.max())
    return level - 2 * (best - each.log_likelihood), each


def _borders(
    s: np.ndarray, n: np.ndarray, hits: np.ndarray, fits: Fits, link: Link, levels: np.ndarray,
    directions: int,
) -> Region:  # fmt: skip
    """Points on the borders of B regions of intercept and slope, each with its own level.

    On each ray from the likeliest point, Newton's method finds where the likelihood ratio is the
    level. It is convex on the ray, for these links, so that the steps converge.
    """
    scale = Scale.of(s)
    z = scale.apply(s)
    theta = np.stack([fits.intercept + fits.slope * scale.centre, fits.slope * scale.spread], 1)
    standard = Fits(theta[:, 0], theta[:, 1], fits.guess, fits.lapse, fits.log_likelihood)
    angles = np.linspace(0, 2 * np.pi, directions, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    points = []
    for b in range(len(theta)):
        one = Fits(*(value[b : b + 1] for value in vars(standard).values()))
        matrix = information(z, n[None], one, link)[0]
        if not np.linalg.cond(matrix) < MAX_CONDITION:  # the rays need not be standard errors
            matrix = matrix + np.eye(2) * max(1e-6 * np.trace(matrix), 1e-9)
        rays = np.linalg.solve(np.linalg.cholesky(matrix).T, circle).T
        radius = _radii(z, n, hits, one, link, float(levels[b]), rays)
        points.append(scale.restore(theta[b] + radius[:, None] * rays))
    intercept, slope = np.concatenate(points).T
    guess, lapse = (np.repeat(value, directions) for value in (fits.guess, fits.lapse))
    return Region(intercept, slope, guess, lapse)


def _radii(
    z: np.ndarray, n: np.ndarray, hits: np.ndarray, fits: Fits, link: Link, level: float,
    rays: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """(K, 2) rays in units of the standard error -> (K,) distances at which the level is met."""
    start = np.array([fits.intercept[0], fits.slope[0]])
    guess, lapse = (np.full(len(rays), value[0]) for value in (fits.guess, fits.lapse))
    radius = np.full(len(rays), np.sqrt(level))
    across = rays[:, :1] + rays[:, 1:] * z
    for _ in range(MAX_ITERATIONS):
        pod, miss, _, slope = curve(z, start + radius[:, None] * rays, guess, lapse, link)
        ratio = 2 * (fits.log_likelihood[0] - log_likelihood(pod, miss, n, hits))
        surplus = (hits * miss - (n - hits) * pod) / np.maximum(pod * miss, 1e-300)
        rate = -2 * (surplus * slope * across).sum(1)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            proposal = radius - (ratio - level) / rate
        proposal = np.where(rate > 0, proposal, 2 * radius)
        proposal = np.clip(proposal, radius / 2, 2 * radius)
        if np.all(np.abs(proposal - radius) < 1e-8 * radius):
            break
        radius = proposal
    return radius
