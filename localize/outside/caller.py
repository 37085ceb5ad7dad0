"""The job that calls a function in the user's file. It runs in the other process."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

OPTIONAL = ("r", "ratio", "score")


def begin(
    tell: Callable[[int, int], None], file: str, name: str
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Import the file -> the function that answers ``{"image": (H, W, 3) uint8}``."""
    path = Path(file)
    function = getattr(_module(path), name, None)
    if function is None:
        raise SystemExit(f"{path.name} has no function {name}")
    if not callable(function):
        raise SystemExit(f"{name} in {path.name} is no function")

    def answer(message: dict[str, Any]) -> dict[str, Any]:
        image = message["image"]
        shape = image.shape[:2]
        return told(function(image), shape)

    return answer


def _module(path: Path) -> Any:
    """Import the user's file under its own name, its neighbours within reach."""
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def told(result: Any, shape: tuple[int, int]) -> dict[str, Any]:
    """What a function returned for an image of (H, W) -> a message: x, y and what else it knows.

    It may be a pair (x, y); an (H, W) map, whose peak is the place and the score; or anything
    with the names x and y, and perhaps r, ratio, score and map.

    Raises:
        TypeError: it is none of these.
        ValueError: it holds numbers that cannot be.
    """
    if result is None:
        raise TypeError("it returned None: return (x, y) or an (H, W) map")
    fields: Mapping[str, Any] | None = None
    if isinstance(result, Mapping):
        fields = result
    elif hasattr(result, "x") and hasattr(result, "y"):
        names = ("x", "y", *OPTIONAL, "map")
        fields = {name: getattr(result, name, None) for name in names}
    if fields is not None:
        return _named(fields, shape)
    values = _array(result)
    if values.shape == (2,):
        return {"x": _number("x", values[0]), "y": _number("y", values[1])}
    if values.ndim == 2:
        return _peak(values, shape)
    raise TypeError(f"it returned shape {values.shape}: return (x, y) or an (H, W) map")


def _named(fields: Mapping[str, Any], shape: tuple[int, int]) -> dict[str, Any]:
    if "x" not in fields or "y" not in fields:
        raise TypeError(f"it returned {', '.join(map(str, fields))}: x and y are missing")
    message: dict[str, Any] = {name: _number(name, fields[name]) for name in ("x", "y")}
    for name in OPTIONAL:
        if fields.get(name) is not None:
            message[name] = _number(name, fields[name])
    if fields.get("map") is not None:
        message["map"] = _checked(_array(fields["map"]), shape)
    return message


def _peak(map: np.ndarray, shape: tuple[int, int]) -> dict[str, Any]:
    map = _checked(map, shape)
    y, x = np.unravel_index(int(map.argmax()), map.shape)
    return {"x": float(x), "y": float(y), "score": float(map[y, x]), "map": map}


def _checked(map: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if map.shape != tuple(shape):
        raise ValueError(f"its map has the shape {map.shape}, the image {tuple(shape)}")
    if np.isnan(map).any():
        raise ValueError("its map holds NaN")
    return map.astype(np.float32)


def _array(value: Any) -> np.ndarray:
    """Anything of numbers, a tensor on whatever device too -> an array."""
    for way in ("detach", "cpu"):
        value = getattr(value, way)() if hasattr(value, way) else value
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"it returned {type(value).__name__}: return (x, y) or an (H, W) map")
    return array


def _number(name: str, value: Any) -> float:
    number = float(value)
    if math.isnan(number) or (math.isinf(number) and name != "score"):
        raise ValueError(f"it returned {name} = {number}")
    return number
