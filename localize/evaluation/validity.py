"""What counts as an answer: a finite place near the image; and why something else is none."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from localize.evaluation.metrics import FARTHEST
from localize.localizer import Finding
from localize.methods.peak import plateau

NOTHING = Finding(math.nan, math.nan)
FLAT = "a flat map"


def usable(found: object) -> tuple[Finding, str]:
    """What a localizer returned -> a finding of plain numbers, and why it has no place, or "".

    A place counts wherever it lies, also outside of the image, up to ``FARTHEST`` px from its
    corner; one that is farther or not finite is none (x and y are NaN). The score and the map
    of a finding without a place are kept. r and ratio that are not finite are left out, and so
    is a score that is NaN.
    """
    try:
        fields = {name: getattr(found, name) for name in ("x", "y")}
    except AttributeError:
        return NOTHING, f"it returned {type(found).__name__}, not a Finding"
    fields |= {name: getattr(found, name, None) for name in ("r", "ratio", "score")}
    numbers: dict[str, float | None] = {}
    for name, value in fields.items():
        number = _number(value)
        if number is None and value is not None:
            return NOTHING, f"it returned {type(value).__name__} as {name}, not a number"
        numbers[name] = number
    x, y = (math.nan if numbers[name] is None else numbers[name] for name in ("x", "y"))
    assert x is not None
    assert y is not None
    r, ratio = (_finite(numbers[name]) for name in ("r", "ratio"))
    score = numbers["score"]
    kept = Finding(x, y, r, ratio, None if score is None or math.isnan(score) else score)
    map = getattr(found, "map", None)
    if map is not None:
        kept = replace(kept, map=map)
    reason = _no_place(x, y, map)
    return (replace(kept, x=math.nan, y=math.nan), reason) if reason else (kept, "")


def is_silent(found: object) -> bool:
    """Whether a finding says no place on purpose: x and y are both NaN."""
    x, y = (_number(getattr(found, name, None)) for name in ("x", "y"))
    return x is not None and y is not None and math.isnan(x) and math.isnan(y)


def map_fault(map: object, shape: tuple[int, ...]) -> str:
    """What is wrong with the map of an image of (H, W), or ""."""
    if not isinstance(map, np.ndarray) or map.dtype.kind not in "biuf":
        return f"its map is {type(map).__name__}, not an array of numbers"
    if map.shape != shape:
        return f"its map has the shape {map.shape}, the image {shape}"
    return "its map holds NaN" if np.isnan(map).any() else ""


def _number(value: Any) -> float | None:
    """A number of any kind, also a tensor or array of one -> a float; None: it is none."""
    try:
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "biuf":
            return float(array.reshape(())[()])
    except Exception:  # of anybody's class
        return None
    return None


def _finite(value: float | None) -> float | None:
    return value if value is not None and abs(value) <= FARTHEST else None


def _no_place(x: float, y: float, map: Any) -> str:
    if math.isnan(x) and math.isnan(y):
        flat = isinstance(map, np.ndarray) and _is_flat(map)
        return FLAT if flat else "no place: x and y are NaN"
    for name, value in (("x", x), ("y", y)):
        if not math.isfinite(value):
            return f"no place: {name} is {value:g}"
        if abs(value) > FARTHEST:
            return f"no place: {name} is {value:.3g} px, farther than {FARTHEST:g} px"
    return ""


def _is_flat(map: np.ndarray) -> bool:
    numbers = map.ndim == 2 and map.size > 0 and map.dtype.kind in "biuf"
    return numbers and not np.isnan(map).any() and plateau(map) is None
