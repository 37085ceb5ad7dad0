"""Validation of answers: an answer needs a finite place; for others the reason is given."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from localize.evaluation.metrics import FARTHEST
from localize.localizer import Finding
from localize.methods.peak import plateau

NO_ANSWER = Finding(math.nan, math.nan)
FLAT = "a flat map"


def validate(answer: object) -> tuple[Finding, str]:
    """What a localizer returned -> a finding of plain numbers, and why it has no place, or "".

    A place may lie outside the image, up to ``FARTHEST`` px from its corner. Otherwise x and y
    become NaN, and the score and the map are kept. An r, ratio or gap
    evidence that is not finite and a score that is NaN become None.
    """
    try:
        fields = {name: getattr(answer, name) for name in ("x", "y")}
    except AttributeError:
        return NO_ANSWER, f"it returned {type(answer).__name__}, not a Finding"
    fields |= {
        name: getattr(answer, name, None) for name in ("r", "ratio", "score", "gap_evidence")
    }
    numbers: dict[str, float | None] = {}
    for name, value in fields.items():
        number = _to_float(value)
        if number is None and value is not None:
            return NO_ANSWER, f"it returned {type(value).__name__} as {name}, not a number"
        numbers[name] = number
    x, y = (math.nan if numbers[name] is None else numbers[name] for name in ("x", "y"))
    assert x is not None
    assert y is not None
    r, ratio, gaps = (_finite_or_none(numbers[name]) for name in ("r", "ratio", "gap_evidence"))
    score = numbers["score"]
    score = None if score is None or math.isnan(score) else score
    finding = Finding(x, y, r, ratio, score, gap_evidence=gaps)
    map = getattr(answer, "map", None)
    if map is not None:
        finding = replace(finding, map=map)
    reason = _place_fault(x, y, map)
    return (replace(finding, x=math.nan, y=math.nan), reason) if reason else (finding, "")


def has_no_place(answer: object) -> bool:
    """Whether x and y are both NaN: the localizer itself says that it found no place."""
    x, y = (_to_float(getattr(answer, name, None)) for name in ("x", "y"))
    return x is not None and y is not None and math.isnan(x) and math.isnan(y)


def map_fault(map: object, shape: tuple[int, ...]) -> str:
    """Why an object is no map of an image of shape (H, W), or ""."""
    if not isinstance(map, np.ndarray) or map.dtype.kind not in "biuf":
        return f"its map is {type(map).__name__}, not an array of numbers"
    if map.shape != shape:
        return f"its map has the shape {map.shape}, the image {shape}"
    return "its map holds NaN" if np.isnan(map).any() else ""


def _to_float(value: Any) -> float | None:
    """Any number, or a tensor or array of one number -> a float; anything else -> None."""
    try:
        array = np.asarray(value)
        if array.size == 1 and array.dtype.kind in "biuf":
            return float(array.reshape(())[()])
    except Exception:  # the class may be anyone's
        return None
    return None


def _finite_or_none(value: float | None) -> float | None:
    return value if value is not None and abs(value) <= FARTHEST else None


def _place_fault(x: float, y: float, map: Any) -> str:
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
    is_map = map.ndim == 2 and map.size > 0 and map.dtype.kind in "biuf"
    return is_map and not np.isnan(map).any() and plateau(map) is None
