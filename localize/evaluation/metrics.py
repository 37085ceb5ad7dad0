"""Localization metrics: distances, hits, bootstrap intervals. Pure functions of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from localize.localizer import HIT_RADIUS

HIT_SHARE = 0.5  # of the region's radius: in sharpness and play, such an answer is a hit too
FARTHEST = 1e9  # px: a place farther from the image's corner is no answer
DRAWS = 4000  # bootstrap samples
CHUNK = 1 << 21  # numbers that the bootstrap holds in memory at a time


def finite_places(places: np.ndarray) -> np.ndarray:
    """(N, 2) px -> (N, 2) px; rows that are not finite or exceed ``FARTHEST`` px become NaN.

    This keeps the sums of squared distances finite.

    >>> finite_places(np.array([[3.0, -4.0], [1e308, 0.0], [np.inf, 0.0]]))
    array([[ 3., -4.],
           [nan, nan],
           [nan, nan]])
    """
    places = np.asarray(places, float)
    return np.where((np.abs(places) <= FARTHEST).all(axis=1, keepdims=True), places, np.nan)


def distance(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(N, 2) px, (N, 2) px -> (N,) px: Euclidean distance.

    >>> distance(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]]))
    array([5.])
    """
    return np.hypot(*(np.asarray(predicted, float) - np.asarray(true, float)).T)


def normalised_distance(predicted: np.ndarray, true: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(N, 2) px, (N, 2) px, (N, 2) width and height px -> (N,), x over width and y over height.

    >>> normalised_distance(np.array([[60.0, 0]]), np.array([[0.0, 0]]), np.array([[200, 100]]))
    array([0.3])
    """
    size = np.asarray(size, float)
    return distance(np.asarray(predicted) / size, np.asarray(true) / size)


def hit_rate(distances: np.ndarray, within: np.ndarray | float) -> float:
    """(N,) px, px -> the share of distances that are at most ``within``; NaN counts as a miss.

    >>> hit_rate(np.array([1.0, 5.0, 5.1, np.nan]), 5)
    0.5
    """
    return float(np.mean(np.asarray(distances) <= within))


def is_hit(
    distances: np.ndarray, r: np.ndarray, within: float = HIT_RADIUS, share: float = HIT_SHARE
) -> np.ndarray:
    """(N,) px, (N,) px -> (N,) bool: distance at most max(within, share * r); NaN is a miss.

    >>> is_hit(np.array([5.0, 12.0, np.nan]), np.array([4.0, 20.0, 20.0]))
    array([ True, False, False])
    """
    with np.errstate(invalid="ignore"):
        hits: np.ndarray = np.asarray(distances) <= np.maximum(within, share * np.asarray(r))
    return hits


def resamples(
    count: int, *, draws: int = DRAWS, seed: int = 0, row_size: int = 1
) -> Iterator[np.ndarray]:
    """Yields the bootstrap weights of ``count`` groups as (d, count) chunks of ``draws`` rows.

    An entry says how often the sample of its row contains the group of its column. The weights
    do not depend on the size of the chunks.

    Args:
        row_size: how many numbers the caller computes from one row, to limit its memory.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993).
    """
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // max(count, row_size))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        yield rng.multinomial(count, np.full(count, 1 / count), size=size)


def interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """(draws,) bootstrap values -> the percentile interval; NaN values are left out."""
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
    _, group_of = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    counts = np.bincount(group_of)
    if len(counts) < 2:
        return float("nan"), float("nan")
    sums = np.bincount(group_of, weights=values)
    means = [
        (weights @ sums) / (weights @ counts)
        for weights in resamples(len(counts), draws=draws, seed=seed)
    ]
    return interval(np.concatenate(means), level)
