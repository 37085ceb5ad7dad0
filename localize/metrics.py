"""Pure functions: distances, hit rates, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def distance(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(N, 2) px, (N, 2) px -> (N,) px: Euclidean.

    >>> distance(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]]))
    array([5.])
    """
    return np.hypot(*(np.asarray(found, float) - np.asarray(true, float)).T)


def normalised_distance(found: np.ndarray, true: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(N, 2) px, (N, 2) px, (N, 2) width and height px -> (N,), x over width and y over height.

    >>> normalised_distance(np.array([[60.0, 0]]), np.array([[0.0, 0]]), np.array([[200, 100]]))
    array([0.3])
    """
    size = np.asarray(size, float)
    return distance(np.asarray(found) / size, np.asarray(true) / size)


def hit_rate(distances: np.ndarray, within: np.ndarray | float) -> float:
    """(N,) px, px -> the share of distances that are at most ``within``; NaN counts as a miss.

    >>> hit_rate(np.array([1.0, 5.0, 5.1, np.nan]), 5)
    0.5
    """
    return float(np.mean(np.asarray(distances) <= within))


def bootstrap(
    values: np.ndarray,
    groups: Sequence[object],
    *,
    level: float = 0.95,
    draws: int = 4000,
    seed: int = 0,
) -> tuple[float, float]:
    """(N,), N group names -> the interval of the mean, resampling whole groups (photos).

    Rows of one photo are not independent, so photos are drawn with replacement, each with
    all its rows. With fewer than two photos there is no interval: NaN, NaN.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), percentile method.
    """
    values = np.asarray(values, float)
    _, where = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    counts = np.bincount(where)
    if len(counts) < 2:
        return float("nan"), float("nan")
    sums = np.bincount(where, weights=values)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=draws)
    means = (weights @ sums) / (weights @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
