"""Checks that a JSON value has the structure that the code expects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# A shape is one of: str, bool, float (any finite number), object (any value); a list with the shape
# of its items; a tuple of alternatives, where None stands for null; an Object.
Shape = Any
_WORDS = {str: "a text", bool: "true or false", float: "a finite number", None: "null"}


@dataclass(frozen=True)
class Object:
    """The shape of a JSON object.

    Args:
        fields: shapes by key; a key may be missing unless it is in ``needed``.
        others: shape of the values of all other keys.
        needed: keys that must be there.
    """

    fields: Mapping[str, Shape] = field(default_factory=dict)
    others: Shape = object
    needed: tuple[str, ...] = ()


def fault(value: Any, shape: Shape, where: str = "") -> str:
    """How a JSON value differs from a shape, with the key; "" if it has the shape.

    >>> fault({"radii": [20, "x"]}, Object({"radii": [float]}))
    "radii[1] is 'x', not a finite number"
    """
    if isinstance(shape, Object):
        if not isinstance(value, dict):
            return _wrong(value, where, "an object")
        dot = f"{where}." if where else ""
        for key in shape.needed:
            if key not in value:
                return f"{dot}{key} is missing"
        named = ((k, v, shape.fields.get(k, shape.others)) for k, v in value.items())
        return _first(fault(each, inner, f"{dot}{key}") for key, each, inner in named)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return _wrong(value, where, "a list")
        return _first(fault(each, shape[0], f"{where}[{i}]") for i, each in enumerate(value))
    if isinstance(shape, tuple):
        faults = [fault(value, each, where) for each in shape]
        return "" if "" in faults else faults[0]
    if shape is object or (shape is None and value is None):
        return ""
    if shape is float:
        return "" if _is_number(value) else _wrong(value, where, _WORDS[float])
    if shape is None or not isinstance(value, shape):
        return _wrong(value, where, _WORDS[shape])
    return ""


def _first(faults: Any) -> str:
    return next((each for each in faults if each), "")


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(value)
    except (TypeError, OverflowError):
        return False


def _wrong(value: Any, where: str, wanted: str) -> str:
    text = repr(value)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return f"{where or 'its value'} is {text}, not {wanted}"
