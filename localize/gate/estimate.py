"""What a run says about a quantity."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """The value of a quantity for one method.

    Args:
        value: NaN if there is none.
        low, high: the ends of its 95 % interval; NaN if there is none.
        basis: what it was measured on: ``396 trials``.
        reason: why there is no value, or "".
        answer: what counts as a hit, if trials are counted, else "".
        notes: sentences about what makes the value doubtful.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    basis: str = ""
    reason: str = ""
    answer: str = ""
    notes: tuple[str, ...] = ()
