"""Pure functions: distances, hit rates, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

FARTHEST = 1e9  # px: a place farther from the image's corner is no answer; no image is so large


def places(found: np.ndarray) -> np.ndarray:
    """(N, 2) px -> the same; a row that is not finite or farther than ``FARTHEST`` px is NaN.

    So the sums of squares of all distances stay finite.

    >>> places(np.array([[3.0, -4.0], [1e308, 0.0], [np.inf, 0.0]]))
    array([[ 3., -4.],
           [nan, nan],
           [nan, nan]])
    """
    found = np.asarray(found, float)
    return np.where((np.abs(found) <= FARTHEST).all(axis=1, keepdims=True), found, np.nan)


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


DRAWS = 4000  # bootstrap samples
AT_ONCE = 1 << 21  # numbers in memory at a time


def resamples(
    count: int, *, draws: int = DRAWS, seed: int = 0, wide: int = 1
) -> Iterator[np.ndarray]:
    """-> (d, count) chunks, ``draws`` rows in all: how often a bootstrap sample has each group.

    The numbers do not depend on the size of the chunks; ``wide`` is how many numbers the
    caller makes of one row.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993).
    """
    rng = np.random.default_rng(seed)
    step = max(1, AT_ONCE // max(count, wide))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        yield rng.multinomial(count, np.full(count, 1 / count), size=size)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """(draws,) values of bootstrap samples -> the percentile interval; NaN is left out."""
    values = values[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap(
    values: np.ndarray,
    groups: Sequence[object],
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float]:
    """(N,), N group names -> the interval of the mean, resampling whole groups (photos).

    Rows of one photo are not independent, so photos are drawn with replacement, each with
    all its rows. With fewer than two photos there is no interval: NaN, NaN.
    """
    values = np.asarray(values, float)
    _, where = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    counts = np.bincount(where)
    if len(counts) < 2:
        return float("nan"), float("nan")
    sums = np.bincount(where, weights=values)
    means = [
        (weights @ sums) / (weights @ counts)
        for weights in resamples(len(counts), draws=draws, seed=seed)
    ]
    return interval(np.concatenate(means), level)
