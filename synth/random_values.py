"""Random values on a decimal grid and on the scale of log |log ratio|."""

from __future__ import annotations

import math

import numpy as np

FAINTEST = 0.01  # smallest |log ratio| that :func:`log_ratio` returns, if its range contains 1


def log_ratio(low: float, high: float, share: float) -> float:
    """A ratio in [low, high] at ``share``, 0 to 1, of the range on the scale of log |log ratio|.

    >>> round(log_ratio(1.02, 3, 0.5), 4)
    1.1589
    >>> [round(log_ratio(0.5, 2, share), 3) for share in (0, 0.25, 0.5, 0.75)]
    [0.99, 0.92, 1.01, 1.087]
    """
    darker, brighter = -math.log(low), math.log(high)  # |log ratio| of the ends, if above 0
    if darker > 0 and brighter > 0:
        sign, end = (-1, darker) if share < 0.5 else (1, brighter)
        share = 2 * share % 1
    else:
        sign, end = (-1, darker) if darker > 0 else (1, brighter)
    start = min(FAINTEST, end) if low <= 1 <= high else min(abs(darker), abs(brighter))
    return math.exp(sign * start * (end / start) ** share) if end else 1.0


def on_grid(rng: np.random.Generator, low: float, high: float, decimals: int) -> float:
    """Draws uniformly from the multiples of 10^-decimals in [low, high]; ValueError if none."""
    steps = grid(low, high, decimals)
    return int(rng.integers(steps.start, steps.stop)) / 10**decimals


def grid(low: float, high: float, decimals: int) -> range:
    """The integers n for which n / 10^decimals, as a float, lies in [low, high]."""
    unit = 10**decimals
    first, last = round(low * unit), round(high * unit)
    return range(first + (first / unit < low), last - (last / unit > high) + 1)
