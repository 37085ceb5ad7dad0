"""The steps up to which the hit rate of a method rises.

A method may find strong changes less often than medium ones, for instance a network that never
learned strong ones. A psychometric curve only rises, so it is fitted up to the highest hit rate.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression

from localize.sharpness import psychometric

MIN_TREND_Z = 3.09  # z of the trend test: one-sided p = 0.001


def peak_step(x: np.ndarray, hit: np.ndarray) -> float | None:
    """(N,) steps |log ratio|, (N,) hits -> the step of the highest hit rate, or None.

    None: the hit rate does not fall significantly beyond that step, by the trend test.

    >>> x = np.repeat([0.1, 0.2, 0.4, 0.8], 20)
    >>> peak_step(x, np.repeat([0, 1, 1, 0], 20))
    0.4
    >>> peak_step(x, np.repeat([0, 0, 1, 1], 20)) is None
    True
    """
    levels, which = np.unique(x, return_inverse=True)
    n = np.bincount(which)
    rates = unimodal(np.bincount(which, weights=hit) / n, n)
    peak = levels[np.flatnonzero(rates >= rates.max() - 1e-9)[-1]]
    beyond = x >= peak
    if psychometric.trend_z(x[beyond], hit[beyond]) > -MIN_TREND_Z:
        return None
    return float(peak)


def unimodal(rates: np.ndarray, n: np.ndarray) -> np.ndarray:
    """(L,) rates of n trials -> (L,) the closest rates that rise up to one level, then fall.

    >>> unimodal(np.array([0.0, 0.5, 0.25, 1.0, 0.5]), np.full(5, 8)).tolist()
    [0.0, 0.375, 0.375, 1.0, 0.5]
    """
    fits = []
    for split in range(1, len(rates) + 1):
        rising, falling = (
            isotonic_regression(rates[part], weights=n[part], increasing=increasing).x
            if len(rates[part])
            else np.empty(0)
            for part, increasing in ((slice(split), True), (slice(split, None), False))
        )
        fits.append(np.concatenate([rising, falling]))
    errors = [n @ (rates - each) ** 2 for each in fits]
    return fits[int(np.argmin(errors))]
