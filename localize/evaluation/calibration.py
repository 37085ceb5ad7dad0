"""Are the odds that a method gives the odds at which it is right?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 10
Z = 1.959963984540054  # of the 95 % interval


@dataclass(frozen=True, eq=False)
class Reliability:
    """What was said and what was so, in bins of equal width; empty bins are left out.

    Args:
        said: (k,) mean chance given in each bin.
        so: (k,) share of the cases of the bin in which it was so.
        low: (k,) lower end of the share's 95 % interval.
        high: (k,) upper end.
        count: (k,) cases in each bin.
        error: expected calibration error: mean distance between said and so, by cases.
    """

    said: np.ndarray
    so: np.ndarray
    low: np.ndarray
    high: np.ndarray
    count: np.ndarray
    error: float


def chance(log_odds: np.ndarray) -> np.ndarray:
    """(N,) log odds, infinite or not -> (N,) 1 / (1 + exp(-odds)).

    >>> chance(np.array([0.0, -np.inf, 1000.0])).round(3)
    array([0.5, 0. , 1. ])
    """
    return 1 / (1 + np.exp(-np.clip(log_odds, -700, 700)))


def wilson(hits: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k,) hits among (k,) cases -> the ends of the 95 % interval of the share, (k,) each.

    >>> low, high = wilson(np.array([5]), np.array([10]))
    >>> low.round(4), high.round(4)
    (array([0.2366]), array([0.7634]))

    Source: Wilson, Journal of the American Statistical Association 22 (1927).
    """
    share, z2 = hits / count, Z**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = Z / (1 + z2 / count) * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def reliability(said: np.ndarray, so: np.ndarray, bins: int = BINS) -> Reliability:
    """(N,) chances in 0 to 1, (N,) bool -> how reliable they are; the last bin holds 1.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), for the error.
    """
    said, so = np.asarray(said, float), np.asarray(so, bool)
    which = np.minimum((said * bins).astype(int), bins - 1)
    count = np.bincount(which, minlength=bins)
    there = count > 0
    hits = np.bincount(which, weights=so, minlength=bins)[there]
    mean = np.bincount(which, weights=said, minlength=bins)[there] / count[there]
    low, high = wilson(hits, count[there])
    share = hits / count[there]
    error = float(np.average(abs(mean - share), weights=count[there])) if len(said) else np.nan
    return Reliability(mean, share, low, high, count[there], error)
