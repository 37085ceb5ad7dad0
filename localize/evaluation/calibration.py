"""Calibration of probabilities: predicted probability against observed frequency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BINS = 10
Z_95 = 1.959963984540054  # quantile of the normal distribution for a two-sided 95 % interval


@dataclass(frozen=True, eq=False)
class Reliability:
    """A reliability diagram: bins of equal width in predicted probability, empty ones left out.

    Args:
        predicted: (k,) mean predicted probability in each bin.
        observed: (k,) share of positive cases in each bin.
        low: (k,) lower limit of the 95 % interval of ``observed``.
        high: (k,) upper limit.
        count: (k,) cases in each bin.
        error: expected calibration error, the mean of \\|predicted - observed\\| over all cases.
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    error: float


def sigmoid(log_odds: np.ndarray | float) -> np.ndarray:
    """(N,) log odds, possibly infinite -> (N,) probabilities 1 / (1 + exp(-log odds)).

    >>> sigmoid(np.array([0.0, -np.inf, 1000.0])).round(3)
    array([0.5, 0. , 1. ])
    """
    return np.asarray(1 / (1 + np.exp(-np.clip(log_odds, -700, 700))))


def wilson_interval(hits: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k,) hits, (k,) cases -> (k,) lower and (k,) upper limits of the share's 95 % interval.

    >>> low, high = wilson_interval(np.array([5]), np.array([10]))
    >>> low.round(4), high.round(4)
    (array([0.2366]), array([0.7634]))

    Source: Wilson, Journal of the American Statistical Association 22 (1927).
    """
    share, z2 = hits / count, Z_95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z_95 / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def clopper_pearson_interval(hits: float, count: float) -> tuple[float, float]:
    """Hits, cases -> the exact 95 % interval of the share; the numbers need not be whole.

    >>> low, high = clopper_pearson_interval(0, 100)
    >>> low, round(high, 4)
    (0.0, 0.0362)

    Source: Clopper and Pearson, Biometrika 26 (1934).
    """
    from scipy import stats

    low = stats.beta.ppf(0.025, hits, count - hits + 1) if hits > 0 else 0.0
    high = stats.beta.ppf(0.975, hits + 1, count - hits) if hits < count else 1.0
    return float(low), float(high)


def effective_count(values: np.ndarray, groups: Sequence[object]) -> float:
    """(N,) values 0 or 1, N group names -> as how many independent values they count, at most N.

    Values of one group are alike. The variance of their mean is estimated from the sums of the
    groups, and compared with that of independent values; few groups are allowed for by the
    quantiles of the t distribution. Equal values say nothing about groups and count as N.

    >>> round(effective_count(np.repeat([0, 1, 0, 0, 1, 0, 1, 0], 5), np.arange(8).repeat(5)), 1)
    5.1

    Source: Korn and Graubard, Survey Methodology 24 (1998).
    """
    from scipy import stats

    values = np.asarray(values, float)
    number = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    count, clusters, share = len(values), int(number.max(initial=-1)) + 1, values.mean()
    if clusters < 2 or not 0 < share < 1:
        return float(count)
    sums = np.bincount(number, weights=values - share)
    variance = clusters / (clusters - 1) * (sums**2).sum() / count**2
    if not variance:
        return float(count)
    few = stats.t.ppf(0.975, count - 1) / stats.t.ppf(0.975, clusters - 1)
    return float(min(count, share * (1 - share) / variance * few**2))


def reliability_bins(
    probabilities: np.ndarray, positive: np.ndarray, bins: int = BINS
) -> Reliability:
    """(N,) probabilities, (N,) bool -> the reliability diagram; the last bin includes 1.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), for the error.
    """
    probabilities, positive = np.asarray(probabilities, float), np.asarray(positive, bool)
    bin_of = np.minimum((probabilities * bins).astype(int), bins - 1)
    count = np.bincount(bin_of, minlength=bins)
    filled = count > 0
    hits = np.bincount(bin_of, weights=positive, minlength=bins)[filled]
    mean = np.bincount(bin_of, weights=probabilities, minlength=bins)[filled] / count[filled]
    low, high = wilson_interval(hits, count[filled])
    share = hits / count[filled]
    gaps = abs(mean - share)
    error = float(np.average(gaps, weights=count[filled])) if len(probabilities) else np.nan
    return Reliability(mean, share, low, high, count[filled], error)
