"""What is asked: the grids of ratios and radii, the trials, and the picture of a trial."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np

from synth import anomaly as anomalies
from synth import renderer
from synth.anomaly import Anomaly, Overflow, Rounding, Shape
from synth.errors import InputError
from synth.photos import Photo
from synth.recipe import Codec, Recipe

Side = Literal["brighter", "darker", "none"]
LUMA = np.array([0.299, 0.587, 0.114])
DECIMALS = 6  # of ratios
RATIOS = (1.01, 1.35, 8)
RADII = (20.0, 40.0, 80.0)


@dataclass(frozen=True)
class Condition:
    """How a change is made and its picture written, beside its place, radius and ratio."""

    codec: Codec = "jpeg"
    quality: int = 90  # of JPEG
    rounding: Rounding = "nearest"
    feather: float = 0.0  # px


@dataclass(frozen=True)
class Design:
    """What a run asks. The defaults make a run of minutes with a quick method.

    Args:
        ratios: above 1; each is asked as it is (brighter) and inverted (darker).
        radii: px.
        sides: ``brighter``, ``darker`` or both.
        conditions: each is asked at the same places.
        per_cell: trials of each ratio, side, radius and condition; photos take turns.
        size: width and height in px of a random crop of the photo, or ``keep``.
        within: px; a hit is at most so far from the truth, or ``share`` of the radius.
        adaptive: trials a method in the adaptive mode; 0: the whole grid.

    Raises:
        InputError: a field has no usable value.
    """

    ratios: tuple[float, ...] = ()
    radii: tuple[float, ...] = RADII
    sides: tuple[Side, ...] = ("darker", "brighter")
    conditions: tuple[Condition, ...] = (Condition(),)
    per_cell: int = 24
    size: tuple[int, int] | Literal["keep"] = (512, 512)
    shape: Shape = "circle"
    overflow: Overflow = "clip"
    within: float = 5.0
    share: float = 0.5
    adaptive: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        ratios = self.ratios or log_grid(*RATIOS, decimals=DECIMALS)
        object.__setattr__(self, "ratios", tuple(sorted(ratios)))
        object.__setattr__(self, "radii", tuple(sorted(self.radii)))
        for name, good, advice in (
            ("ratios", len(self.ratios) > 1 and self.ratios[0] > 1, "give two above 1 or more"),
            ("ratios", _once(self.ratios), "name each once"),
            ("radii", bool(self.radii) and _once(self.radii), "name one or more, each once"),
            ("sides", bool(self.sides) and _once(self.sides), "darker, brighter or both"),
            ("conditions", bool(self.conditions) and _once(self.conditions), "name each once"),
            ("per_cell", self.per_cell >= 1, "give a whole number from 1 up"),
            ("within", 0 <= self.within < math.inf, "give a distance in px from 0 up"),
            ("share", 0 <= self.share < math.inf, "give a share of the radius from 0 up"),
            ("adaptive", self.adaptive >= 0, "give a number of trials, or 0 for the grid"),
            ("seed", 0 <= self.seed < 2**63, "give a whole number from 0 up"),
        ):
            if not good:
                raise InputError(f"sharpness: {name} is {getattr(self, name)}: {advice}")
        for r, condition in product(self.radii, self.conditions):  # the recipe knows the rest
            self.recipe(r, self.ratios[-1], condition)

    @property
    def levels(self) -> np.ndarray:
        """(L,) the steps |log ratio|, rising."""
        return np.log(self.ratios)

    def recipe(self, r: float, ratio: float, condition: Condition) -> Recipe:
        """The recipe that draws the trials of one cell."""
        return Recipe(
            size=self.size, ratio=(ratio, ratio), radius=(r, r), shape=self.shape,
            overflow=self.overflow, seed=self.seed, ratio_decimals=DECIMALS,
            **dataclasses.asdict(condition),
        )  # fmt: skip

    def is_hit(self, distance: np.ndarray, r: np.ndarray) -> np.ndarray:
        """(N,) px, (N,) px -> (N,) bool; no answer (NaN) is a miss."""
        with np.errstate(invalid="ignore"):
            hits: np.ndarray = np.asarray(distance) <= np.maximum(
                self.within, self.share * np.asarray(r)
            )
        return hits

    def to_dict(self) -> dict[str, Any]:
        """The design in JSON types."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class Trial:
    """One question.

    Args:
        number: in the run, from 0; in grid mode the same picture for every method.
        place: seeds the place, with the photo and the run's seed.
    """

    number: int
    photo: str
    side: Side
    ratio: float
    r: float
    condition: Condition
    place: int


@dataclass(frozen=True, eq=False)
class Picture:
    """What a trial shows, and what is known of its region before the change.

    Args:
        image: (H, W, 3) uint8.
        brightness: mean grey level inside, 0 to 255.
        texture: mean absolute step of grey levels between neighbours inside.
    """

    image: np.ndarray
    clean: np.ndarray
    truth: Anomaly
    brightness: float
    texture: float


def _once(values: Sequence[object]) -> bool:
    return len(set(values)) == len(values)


def log_grid(low: float, high: float, count: int, decimals: int = DECIMALS) -> tuple[float, ...]:
    """Ratios above 1 whose steps |log ratio| are a geometric series.

    >>> log_grid(1.01, 1.1, 3, 3)
    (1.01, 1.031, 1.1)
    """
    if not 1 < low < high < math.inf or count < 2:
        raise InputError(f"ratios are {low:g}:{high:g}:{count}: give LO:HI:N, 1 < LO < HI, N > 1")
    steps = np.geomspace(math.log(low), math.log(high), count)
    return tuple(round(math.exp(step), decimals) for step in steps)


def on_side(ratio: float, side: Side) -> float:
    """A ratio above 1 -> that of a side."""
    return {"brighter": ratio, "darker": round(1 / ratio, DECIMALS), "none": 1.0}[side]


def grid(design: Design, names: Sequence[str]) -> list[Trial]:
    """All trials of the grid mode, photo by photo.

    At ratio 1 there are as many trials of a radius as in a cell of each side together.
    """
    trials = []
    order = Turns(names, design.seed)
    for number, (r, (side, ratio)) in enumerate(product(design.radii, _steps(design))):
        count = design.per_cell * (len(design.sides) if side == "none" else 1)
        for k, photo in enumerate(order.take(count)):
            place = number * 1_000_000 + k
            for condition in design.conditions:
                trials.append((photo, side, on_side(ratio, side), r, condition, place))
    trials.sort(key=lambda trial: trial[0])  # stable; a photo is decoded once
    return [Trial(i, *trial) for i, trial in enumerate(trials)]


def _steps(design: Design) -> Iterator[tuple[Side, float]]:
    yield "none", 1.0
    for side in design.sides:
        for ratio in design.ratios:
            yield side, ratio


class Turns:
    """Photos in a random order, each once before any comes again."""

    def __init__(self, names: Sequence[str], seed: int) -> None:
        self._names = list(names)
        self._rng = np.random.default_rng([seed, len(self._names)])
        self._left: list[str] = []

    def take(self, count: int) -> list[str]:
        """The next ``count``."""
        while len(self._left) < count:
            self._left += [self._names[i] for i in self._rng.permutation(len(self._names))]
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def picture(design: Design, trial: Trial, photo: Photo) -> Picture:
    """The picture of a trial: of the seed, the photo and the trial alone.

    Raises:
        Skipped: the photo is too small.
    """
    recipe = design.recipe(trial.r, trial.ratio, trial.condition)
    rng = renderer.row_generator(recipe, photo, trial.place)
    draw = recipe.draw(*photo.picture.size, rng)
    painted = renderer.paint(photo, draw)
    truth = draw.anomaly
    assert truth is not None  # the recipe leaves no row clean
    codec, quality = trial.condition.codec, trial.condition.quality
    image, clean = (
        renderer.decode(renderer.encode(pixels, codec, quality))
        for pixels in (painted.image, painted.clean)
    )
    return Picture(image, clean, truth, *_described(painted.clean, truth))


def _described(clean: np.ndarray, truth: Anomaly) -> tuple[float, float]:
    """(H, W, 3) uint8 and a region -> mean grey level inside, mean step between neighbours."""
    where = anomalies.window(truth, *clean.shape[:2])
    inside = anomalies.weight(truth, where) >= 0.5
    luma = clean[where] @ LUMA
    steps = np.concatenate([
        np.abs(np.diff(luma, axis=axis))[both]
        for axis, both in ((0, inside[1:] & inside[:-1]), (1, inside[:, 1:] & inside[:, :-1]))
    ])  # fmt: skip
    return round(float(luma[inside].mean()), 4), round(float(steps.mean()), 4)


def conditions(
    codecs: Sequence[str], roundings: Sequence[str], feathers: Sequence[float]
) -> tuple[Condition, ...]:
    """``jpeg90``, ``png``; roundings; feathers in px -> each with each.

    Raises:
        InputError: a word is unknown.
    """
    return tuple(
        Condition(*_codec(word), rounding, feather)  # type: ignore[arg-type]
        for word, rounding, feather in product(codecs, roundings, feathers)
    )


def _codec(word: str) -> tuple[Codec, int]:
    if word == "png":
        return "png", Condition.quality
    digits = word.removeprefix("jpeg")
    if word.startswith("jpeg") and digits.isdecimal():
        return "jpeg", int(digits)
    raise InputError(f"codec '{word}' is unknown: use png, or jpeg and a quality as in jpeg90")


def of_row(row: Mapping[str, Any]) -> Condition:
    """A row of trials.csv -> its condition."""
    quality = Condition.quality if row["codec"] == "png" else int(row["quality"])
    return Condition(row["codec"], quality, row["rounding"], float(row["feather"]))
