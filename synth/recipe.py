"""The recipe: all parameters of a dataset, and the random draw of its rows.

A recipe draws numbers only; :mod:`synth.renderer` makes the pixels.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from synth import limits
from synth.anomaly import Anomaly, Overflow, Rounding, Shape
from synth.errors import InputError, Skipped
from synth.json_files import read_object
from synth.paths import path_of
from synth.random_values import grid, log_ratio, on_grid

Fit = Literal["crop", "stretch"]
Codec = Literal["jpeg", "png"]
RatioScale = Literal["linear", "log"]
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Recipe:
    """All parameters that determine a dataset. The defaults are the preset ``default``.

    Raises:
        InputError: a field has an invalid value.
    """

    size: tuple[int, int] | Literal["keep"] = (512, 512)  # width, height in px
    fit: Fit = "crop"  # crop: a random window of the photo; stretch: the whole photo resized
    per_photo: int = 1  # rows per photo
    ratio: tuple[float, float] = (1.05, 1.15)  # range of discolor_ratio; below 1 darkens
    ratio_scale: RatioScale = "linear"  # uniform in the ratio, or in log |log ratio|
    radius: tuple[float, float | Literal["edge"]] = (
        20.0,
        80.0,
    )  # range of r in px; for "edge" see Recipe.draw
    margin: float = 0.125  # smallest distance of the centre from an edge, share of the side
    shape: Shape = "circle"
    overflow: Overflow = "clip"
    rounding: Rounding = "nearest"
    feather: float = 0.0  # width of the soft edge, px
    codec: Codec = "jpeg"
    quality: int = 90  # of JPEG, 1 to 100
    clean_fraction: float = 0.0  # share of rows without an anomaly (label 0)
    twins: bool = False  # also write the clean twin of each image
    masks: bool = False  # also write a mask of each region
    split: tuple[float, float, float] = (
        0.8,
        0.1,
        0.1,
    )  # shares of train, val and test, in any unit
    seed: int = 0
    position_decimals: int = 2  # decimals of x, y and r
    ratio_decimals: int = 4
    keep_profile: bool = (
        False  # keep the values of photos with a colour profile; else convert to sRGB
    )
    keep_duplicates: bool = False  # near-duplicates may be in different splits
    max_pixels: int = limits.PIXELS  # photos with more pixels are skipped

    def __post_init__(self) -> None:
        for name, good, advice in _RULES:
            value = getattr(self, name)
            try:
                fine = good(value)
            except (TypeError, ValueError, OverflowError):
                fine = False
            if not fine:
                raise InputError(f"recipe: {name} is {_format(value)}: {advice}")
        low, high = self.radius
        if high != "edge" and not grid(low, high, self.position_decimals):
            raise InputError(
                f"recipe: no radius of {self.position_decimals} decimals lies in "
                f"{_format(self.radius)}: give a wider range"
            )
        if self.size != "keep" and self.region_width > min(self.size) - 1:
            raise InputError(
                f"recipe: a region {self.region_width:g} px wide (radius {_format(self.radius)}) "
                f"does not fit into {self.size[0]}x{self.size[1]}: make it smaller"
            )
        if self.feather > 2 * self.radius[0]:
            raise InputError(
                f"recipe: feather {self.feather:g} px is wider than the smallest region "
                f"(radius {self.radius[0]:g} px): make one smaller or the other larger"
            )

    def to_dict(self) -> dict[str, Any]:
        """The recipe in JSON types; :func:`from_dict` is the inverse."""
        fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return fields

    @property
    def region_width(self) -> float:
        """Width in px of the largest region with its feather; for ``LO:edge``, of the smallest."""
        low, high = self.radius
        return 2 * (low if high == "edge" else high) + self.feather

    @property
    def decode_size(self) -> tuple[int, int] | None:
        """Least width and height in px at which a photo may be decoded; None for its full size."""
        return self.size if self.size != "keep" and self.fit == "stretch" else None

    def output_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height in px of the images made from a width x height photo.

        Raises:
            Skipped: the photo is smaller than a crop needs.
        """
        if self.size == "keep":
            return width, height
        if self.fit == "crop" and (width < self.size[0] or height < self.size[1]):
            raise Skipped(
                f"photo is {width}x{height}, smaller than {self.size[0]}x{self.size[1]} "
                "(--fit stretch resizes photos, --size keep keeps their sizes)"
            )
        return self.size

    def draw(self, width: int, height: int, rng: np.random.Generator) -> Draw:
        """Draws one row for a width x height photo: crop, label and anomaly.

        The order of the random numbers does not depend on the recipe, so recipes that differ only
        in codec or rounding draw the same places. Numbers are rounded before they are used. With
        a radius ``LO:HI`` the radius is drawn first, then a centre where the region fits. With
        ``LO:edge`` the centre is drawn first, then r = max(LO, uniform from 0 to the distance of
        the nearest edge).

        Raises:
            Skipped: the photo is too small for the size or for the region.
        """
        w, h = self.output_size(width, height)
        if self.region_width > min(w, h) - 1:  # else large regions would be rarer
            side, axis = min((w, "width"), (h, "height"))
            raise Skipped(
                f"a region {self.region_width:g} px wide does not fit into a {axis} of {side} px"
            )
        row_seed = int(rng.integers(2**32))
        clean = rng.random() < self.clean_fraction
        left = int(rng.integers(width - w + 1)) if w <= width else 0
        top = int(rng.integers(height - h + 1)) if h <= height else 0
        crop = (left, top) if self.size != "keep" and self.fit == "crop" else None

        low, high = self.radius
        first = low if high == "edge" else on_grid(rng, low, high, self.position_decimals)
        reach = first + self.feather / 2
        x, y = (
            self._centre(rng, side, reach, axis) for side, axis in ((w, "width"), (h, "height"))
        )
        r = first
        if high == "edge":
            edge = min(x, w - 1 - x, y, h - 1 - y) - self.feather / 2
            r = max(low, on_grid(rng, 0, edge, self.position_decimals))
        ratio = self._draw_ratio(rng)
        anomaly = Anomaly(
            x, y, r, ratio, self.shape, self.overflow, self.rounding, float(self.feather)
        )
        return Draw((w, h), crop, None if clean else anomaly, row_seed)

    def _draw_ratio(self, rng: np.random.Generator) -> float:
        """The ratio, rounded, from one random number.

        With ``ratio_scale`` "log", every factor of |log ratio| is equally likely, so that a range
        such as 1.02 to 3 has as many faint regions as strong ones. If the range contains 1, half of
        the regions are darker and half are brighter, and |log ratio| is at least
        :data:`synth.random_values.FAINTEST`.
        """
        if self.ratio_scale == "linear":
            ratio = rng.uniform(*self.ratio)
        else:
            ratio = log_ratio(*self.ratio, rng.random())
        return float(np.clip(round(ratio, self.ratio_decimals), *self.ratio))

    def _centre(self, rng: np.random.Generator, side: int, reach: float, axis: str) -> float:
        low = max(side * self.margin, reach)
        high = min(side * (1 - self.margin), side - 1 - reach)
        try:
            return on_grid(rng, low, high, self.position_decimals)
        except ValueError:
            raise Skipped(
                f"a region of radius {reach:g} px does not fit into a {axis} of {side} px"
            ) from None


@dataclass(frozen=True)
class Draw:
    """The random draw of one row, from which its image can be made again.

    Args:
        size: width and height of the image in px.
        crop: left column and top row of the crop in the photo; None: the whole photo.
        anomaly: the anomaly; None for a clean row.
        row_seed: seed of stochastic rounding.
    """

    size: tuple[int, int]
    crop: tuple[int, int] | None
    anomaly: Anomaly | None
    row_seed: int


def _format(value: object) -> str:
    text = ":".join(map(str, value)) if isinstance(value, tuple) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _number(value: Any, low: float = -math.inf, high: float = math.inf) -> bool:
    return not isinstance(value, bool) and math.isfinite(value) and low <= value <= high


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and _number(value, low, high)


def _one_of(kind: Any) -> tuple[Callable[[Any], bool], str]:
    words = get_args(kind)
    return lambda value: value in words, f"use {' or '.join(words)}"


def _size(value: Any) -> bool:
    return value == "keep" or (len(value) == 2 and all(map(_whole(1, 65_000), value)))


def _ratio(value: Any) -> bool:
    low, high = value
    return _number(low) and _number(high) and 0 < low <= high


def _radius(value: Any) -> bool:
    low, high = value
    return _number(low, 1) and (high == "edge" or _number(high, low))


def _split(value: Any) -> bool:
    return len(value) == 3 and all(_number(share, 0) for share in value) and sum(value) > 0


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("size", _size, "give WIDTHxHEIGHT in px, or keep"),
    ("fit", *_one_of(Fit)),
    ("per_photo", _whole(1, 10**6), "give a whole number from 1 up"),
    ("ratio", _ratio, "give LO:HI, both above 0, LO not above HI"),
    ("ratio_scale", *_one_of(RatioScale)),
    ("radius", _radius, "give LO:HI or LO:edge in px, LO at least 1 and not above HI"),
    ("margin", lambda m: _number(m, 0) and m < 0.5, "give a share of the side, 0 to below 0.5"),
    ("shape", *_one_of(Shape)),
    ("overflow", *_one_of(Overflow)),
    ("rounding", *_one_of(Rounding)),
    ("feather", lambda f: _number(f, 0), "give a width in px from 0 up"),
    ("codec", *_one_of(Codec)),
    ("quality", _whole(1, 100), "give a JPEG quality from 1 to 100"),
    ("clean_fraction", lambda f: _number(f, 0, 1), "give a share from 0 to 1"),
    ("twins", _flag, "give true or false"),
    ("masks", _flag, "give true or false"),
    ("split", _split, "give TRAIN:VAL:TEST, three shares that are not all 0"),
    ("seed", _whole(0, 2**63), "give a whole number from 0 up"),
    ("position_decimals", _whole(0, 6), "give a whole number from 0 to 6"),
    ("ratio_decimals", _whole(0, 9), "give a whole number from 0 to 9"),
    ("keep_profile", _flag, "give true or false"),
    ("keep_duplicates", _flag, "give true or false"),
    ("max_pixels", _whole(1, 2**40), "give a whole number from 1 up"),
)

PRESETS = {
    "default": Recipe(),
    "seed": Recipe(
        size=(800, 800),
        fit="stretch",
        radius=(30.0, "edge"),
        shape="square",
        overflow="wrap",
        rounding="floor",
        quality=75,
        split=(0.8, 0.2, 0.0),
        position_decimals=0,
        ratio_decimals=2,
    ),
    "visible": Recipe(ratio=(1.02, 3.0), ratio_scale="log"),
}
FIELDS = tuple(field.name for field in dataclasses.fields(Recipe))


def from_dict(fields: dict[str, Any]) -> Recipe:
    """Fields in JSON types -> recipe; missing fields are those of the preset ``default``.

    Raises:
        InputError: a field is unknown or has an invalid value.
    """
    if not isinstance(fields, dict):
        raise InputError('recipe: its fields are not a JSON object: write {"ratio": [1.05, 1.15]}')
    for name in fields:
        if name not in FIELDS:
            near = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(FIELDS)}"
            raise InputError(f"recipe: '{name}' is not a field of a recipe; {hint}")
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return Recipe(**values)


def load(name: str | Path) -> Recipe:
    """Name of a preset, a recipe file, or recipe.json of a dataset -> recipe.

    Raises:
        InputError: there is no such preset or file, or the file is not a valid recipe.
    """
    if str(name) in PRESETS:
        return PRESETS[str(name)]
    path = path_of(name)
    if not path.is_file():
        presets = ", ".join(PRESETS)
        raise InputError(f"recipe '{name}' is neither a preset ({presets}) nor a file")
    fields = read_object(path, 'write it as {"ratio": [1.05, 1.15]}')
    try:
        drawn = fields.get("recipe", fields)
        if "versions" in fields and isinstance(drawn, dict):
            # Datasets made before this field existed kept the values.
            drawn = {"keep_profile": True} | drawn
        return from_dict(drawn)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
