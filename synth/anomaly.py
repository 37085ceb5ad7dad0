"""The anomaly: a region, its change, and the functions that apply it to pixels.

Coordinates: x is the column and y the row, in px. Pixel centres are at integers, so an image
of width W has the columns 0 to W - 1. All functions are pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from PIL import Image

from synth.errors import InputError

Shape = Literal["circle", "square"]
Overflow = Literal["clip", "wrap"]
Rounding = Literal["nearest", "floor", "stochastic"]

Window = tuple[slice, slice]


@dataclass(frozen=True)
class Anomaly:
    """A region and the factor that multiplies its RGB code values.

    Args:
        x: column of the centre, px.
        y: row of the centre, px.
        r: radius in px; for a square, half the side.
        discolor_ratio: factor on the code values; a factor below 1 darkens.
        shape: ``circle`` or ``square``.
        overflow: what happens to products above 255: ``clip`` to 255 or ``wrap`` modulo 256.
        rounding: ``nearest`` (ties to even), ``floor`` or ``stochastic``.
        feather: width in px of the soft edge; 0 is a hard edge.

    Raises:
        InputError: a number is not finite or out of range, or a word is unknown.
    """

    x: float
    y: float
    r: float
    discolor_ratio: float
    shape: Shape = "circle"
    overflow: Overflow = "clip"
    rounding: Rounding = "nearest"
    feather: float = 0.0

    def __post_init__(self) -> None:
        for name in ("x", "y", "r", "discolor_ratio", "feather"):
            if not math.isfinite(getattr(self, name)):
                raise InputError(f"{name} is {getattr(self, name)}: give a finite number")
        if self.r < 0 or self.feather < 0:
            raise InputError(f"r = {self.r}, feather = {self.feather}: both must be 0 or more")
        if self.discolor_ratio <= 0:
            raise InputError(f"discolor_ratio = {self.discolor_ratio}: it must be above 0")
        for name, kind in (("shape", Shape), ("overflow", Overflow), ("rounding", Rounding)):
            if getattr(self, name) not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise InputError(f"{name} '{getattr(self, name)}' is unknown: use one of {known}")

    @property
    def reach(self) -> float:
        """Distance in px from the centre to the end of the change, r plus half the feather."""
        return self.r + self.feather / 2

    def fits(self, width: int, height: int) -> bool:
        """Whether the whole change is inside a width x height image."""
        reach = self.reach
        return reach <= self.x <= width - 1 - reach and reach <= self.y <= height - 1 - reach


def window(anomaly: Anomaly, height: int, width: int) -> Window:
    """The rows and columns that the change can reach, clipped to a height x width image."""
    reach = anomaly.reach
    return _span(anomaly.y, reach, height), _span(anomaly.x, reach, width)


def _span(centre: float, reach: float, side: int) -> slice:
    start = min(side, max(0, math.ceil(centre - reach)))
    return slice(start, max(start, min(side, math.floor(centre + reach) + 1)))


def weight(anomaly: Anomaly, where: Window) -> np.ndarray:
    """-> (h, w) float64: weight of the change at each pixel of a window, from 0 to 1."""
    rows, cols = where
    dy = np.abs(np.arange(rows.start, rows.stop, dtype=np.float64) - anomaly.y)[:, None]
    dx = np.abs(np.arange(cols.start, cols.stop, dtype=np.float64) - anomaly.x)[None, :]
    if anomaly.feather == 0:
        if anomaly.shape == "circle":
            return (dx * dx + dy * dy <= anomaly.r * anomaly.r).astype(np.float64)
        return ((dx <= anomaly.r) & (dy <= anomaly.r)).astype(np.float64)
    distance = np.hypot(dx, dy) if anomaly.shape == "circle" else np.maximum(dx, dy)
    return np.clip((anomaly.r - distance) / anomaly.feather + 0.5, 0.0, 1.0)


def mask(anomaly: Anomaly, height: int, width: int) -> np.ndarray:
    """-> (H, W) bool: the region, which is where the weight is at least one half."""
    full = np.zeros((height, width), dtype=bool)
    where = window(anomaly, height, width)
    full[where] = weight(anomaly, where) >= 0.5
    return full


def _round(values: np.ndarray, rounding: Rounding, rng: np.random.Generator | None) -> np.ndarray:
    if rounding == "nearest":
        return np.rint(values)
    if rounding == "floor":
        return np.floor(values)
    if rng is None:
        raise InputError("stochastic rounding needs a random number generator: pass rng")
    return np.floor(values + rng.random(values.shape))


def _limit(values: np.ndarray, overflow: Overflow) -> np.ndarray:
    if overflow == "wrap":
        return (values.astype(np.int64) & 255).astype(np.uint8)
    return np.minimum(values, 255).astype(np.uint8)


def _products(
    patch: np.ndarray, anomaly: Anomaly, w: np.ndarray, rng: np.random.Generator | None
) -> np.ndarray:
    """(h, w, 3) uint8 -> (h, w, 3) float64: rounded products, before clip or wrap."""
    ratio = anomaly.discolor_ratio
    # 1 + (ratio - 1) does not round to exactly the ratio if the ratio is below one half.
    factor = np.where(w == 1, ratio, 1 + (ratio - 1) * w)[..., None]
    return _round(patch * factor, anomaly.rounding, rng)


def apply(
    image: np.ndarray, anomaly: Anomaly, rng: np.random.Generator | None = None
) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W, 3) uint8: a copy with the anomaly.

    The part of the region outside the image is ignored. Pixels with weight 0 do not change.
    ``rng`` is used by stochastic rounding only.

    >>> grey = np.full((5, 5, 3), 100, np.uint8)
    >>> apply(grey, Anomaly(x=2, y=1, r=1, discolor_ratio=1.1))[..., 0]
    array([[100, 100, 110, 100, 100],
           [100, 110, 110, 110, 100],
           [100, 100, 110, 100, 100],
           [100, 100, 100, 100, 100],
           [100, 100, 100, 100, 100]], dtype=uint8)

    Raises:
        InputError: the image is not (H, W, 3) uint8, or stochastic rounding has no ``rng``.
    """
    return change(image, anomaly, rng)[0]


@dataclass(frozen=True)
class Effect:
    """The change of the pixels, measured before encoding.

    Args:
        clipped_fraction: share of the region's values above 255, which were clipped or
            wrapped.
        realised_ratio: sum of the region's values after the change over the sum before;
            1 if the region is black.
    """

    clipped_fraction: float
    realised_ratio: float


def change(
    image: np.ndarray, anomaly: Anomaly, rng: np.random.Generator | None = None
) -> tuple[np.ndarray, Effect]:
    """(H, W, 3) uint8 -> the changed (H, W, 3) uint8 and its effect; see :func:`apply`.

    Raises:
        InputError: the image is not (H, W, 3) uint8, or stochastic rounding has no ``rng``.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"the image is {image.shape} {image.dtype}: give (H, W, 3) uint8 RGB")
    where = window(anomaly, *image.shape[:2])
    if anomaly.feather == 0 and anomaly.rounding != "stochastic":
        return _change_by_table(image, anomaly, where)
    before = image[where]
    w = weight(anomaly, where)
    products = _products(before, anomaly, w, rng)
    after = np.where(w[..., None] > 0, _limit(products, anomaly.overflow), before)
    result = image.copy()
    result[where] = after

    inside = w >= 0.5
    total = int(before[inside].sum(dtype=np.int64))
    count = 3 * int(inside.sum())
    return result, Effect(
        clipped_fraction=float((products[inside] > 255).sum() / count) if count else 0.0,
        realised_ratio=float(after[inside].sum(dtype=np.int64) / total) if total else 1.0,
    )


def _change_by_table(
    image: np.ndarray, anomaly: Anomaly, where: Window
) -> tuple[np.ndarray, Effect]:
    """:func:`change` for a hard edge, by a table of 256 products, which is several times faster."""
    codes = np.arange(256)
    products = _round(codes * anomaly.discolor_ratio, anomaly.rounding, None)
    table = _limit(products, anomaly.overflow)
    result = image.copy()
    inside = weight(anomaly, where) > 0
    if not inside.any():
        return result, Effect(0.0, 1.0)
    before = np.ascontiguousarray(image[where])
    height, width, _ = before.shape
    # Rows of bytes instead of triples let numpy use vector instructions.
    target = result[where].reshape(height, 3 * width)
    after = table.take(before).reshape(height, 3 * width)
    np.copyto(target, after, where=np.repeat(inside, 3, axis=1))

    mask_picture = Image.fromarray(inside.astype(np.uint8) * np.uint8(255))
    counts = np.array(Image.fromarray(before).histogram(mask_picture)).reshape(3, 256).sum(axis=0)
    total = int(counts @ codes)
    return result, Effect(
        clipped_fraction=float(counts[products > 255].sum() / counts.sum()),
        realised_ratio=float(counts @ table / total) if total else 1.0,
    )
