"""Sizes far beyond those tried: no trial says anything about them, so no number is given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

FAR = 3.0  # times the largest target
BEYOND = "a90 is far beyond the sizes tried"
_ESTIMATES, _BOUNDS = ("a50", "a90"), ("a90_95", "a90_95_one_sided")


def cap(sizes: Mapping[str, Any], largest: float) -> dict[str, Any]:
    """Sizes by name -> the entries to change, with ``far`` 1; {} if all are within the limit.

    The limit is ``FAR`` times the largest target. A bound above it becomes inf, an estimate NaN;
    with a90, its bounds become NaN too, and ``verdict`` is ``BEYOND``.

    >>> cap({"a50": 2.0, "a90": 9.0, "a90_95": 1e9}, largest=4.0)
    {'a90_95': inf, 'far': 1}
    """
    limit = FAR * largest
    far = [name for name in (*_ESTIMATES, *_BOUNDS) if limit < sizes.get(name, 0.0) < math.inf]
    changes: dict[str, Any] = {name: math.nan if name in _ESTIMATES else math.inf for name in far}
    if "a90" in far:
        changes |= dict.fromkeys(_BOUNDS, math.nan) | {"verdict": BEYOND}
    return changes | {"far": 1} if far else {}
