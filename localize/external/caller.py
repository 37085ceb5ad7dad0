"""The job that calls a function in a Python file of the user, in the other process."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

OPTIONAL = ("r", "ratio", "score")
LEAST_SIDE = 8  # px of a map that is smaller than the image; what is smaller is no map


def begin(
    report: Callable[[int, int], None], file: str, name: str
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
        return to_message(function(image), shape)

    return answer


def _module(path: Path) -> Any:
    """Import the file under its own name; it can import the files beside it."""
    sys.path.insert(0, str(path.resolve().parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def to_message(result: Any, shape: tuple[int, int]) -> dict[str, Any]:
    """What a function returned for an image of (H, W) -> a message with x, y and further entries.

    It may be a pair (x, y); an (H, W) map, whose maximum is the score (the receiver of the message
    finds the peak, see ``localize.methods.peak``); or a dict or object with x and y, and
    optionally r, ratio, score and map. A map may be smaller than the image, in its proportions.

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
        return _message_of(fields, shape)
    values = _array(result)
    if values.shape == (2,):
        return {"x": _number("x", values[0]), "y": _number("y", values[1])}
    if values.ndim == 2:
        map = _check_map(values, shape)
        return {"score": float(map.max()), "map": map}
    raise TypeError(f"it returned shape {values.shape}: return (x, y) or an (H, W) map")


def _message_of(fields: Mapping[str, Any], shape: tuple[int, int]) -> dict[str, Any]:
    if "x" not in fields or "y" not in fields:
        raise TypeError(f"it returned {', '.join(map(str, fields))}: x and y are missing")
    message: dict[str, Any] = {name: _number(name, fields[name]) for name in ("x", "y")}
    for name in OPTIONAL:
        if fields.get(name) is not None:
            message[name] = _number(name, fields[name])
    if fields.get("map") is not None:
        message["map"] = _check_map(_array(fields["map"]), shape)
    return message


def _check_map(map: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    if map.shape != tuple(shape) and not _is_smaller(map.shape, shape):
        raise ValueError(f"its map has the shape {map.shape}, the image {tuple(shape)}")
    if np.isnan(map).any():
        raise ValueError("its map holds NaN")
    with np.errstate(over="ignore"):
        found: np.ndarray = map.astype(np.float32)
    if np.isinf(found).sum() > np.isinf(map).sum():
        largest = np.abs(map[np.isfinite(map)]).max()
        raise ValueError(f"its map holds {largest:.3g}, more than float32 can: scale it")
    return found


def _is_smaller(small: tuple[int, ...], shape: tuple[int, int]) -> bool:
    """Whether a map has the proportions of the image, within a pixel, and is smaller."""
    if len(small) != 2 or min(small) < LEAST_SIDE or max(np.subtract(small, shape)) >= 0:
        return False
    (h, w), (height, width) = small, shape
    return abs(h * width / height - w) < 1 or abs(w * height / width - h) < 1


def _array(value: Any) -> np.ndarray:
    """Numbers of any type, also a tensor on any device -> an array."""
    array = np.asarray(_plain(value))
    if array.dtype.kind not in "biuf":
        raise TypeError(f"it returned {type(value).__name__}: return (x, y) or an (H, W) map")
    return array


def _plain(value: Any) -> Any:
    """A tensor -> one on the CPU without gradients; anything else unchanged."""
    for way in ("detach", "cpu"):
        value = getattr(value, way)() if hasattr(value, way) else value
    return value


def _number(name: str, value: Any) -> float:
    array = np.asarray(_plain(value))
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise TypeError(f"it returned {type(value).__name__} as {name}: return a number")
    number = float(array.reshape(())[()])
    if math.isnan(number) or (math.isinf(number) and name != "score"):
        raise ValueError(f"it returned {name} = {number}")
    return number
