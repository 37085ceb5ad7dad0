"""The design of a measurement: grids of ratios and radii, the trials, and their images."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any, Literal

import numpy as np

from localize.evaluation import calls, metrics
from localize.localizer import HIT_RADIUS
from synth import anomaly as anomalies
from synth import renderer
from synth.anomaly import Anomaly, Overflow, Rounding, Shape
from synth.colour import LUMA
from synth.errors import InputError
from synth.photos import Photo
from synth.recipe import Codec, Recipe

Side = Literal["brighter", "darker", "none"]
RATIO_DECIMALS = 6
RATIOS = (1.01, 1.35, 8)
RADII = (20.0, 40.0, 80.0)


@dataclass(frozen=True)
class Condition:
    """The properties of a trial's anomaly and file other than place, radius and ratio."""

    codec: Codec = "jpeg"
    quality: int = 90  # of JPEG
    rounding: Rounding = "nearest"
    feather: float = 0.0  # px


@dataclass(frozen=True)
class Design:
    """The trials of a run. With the defaults, a fast method takes minutes.

    Args:
        ratios: above 1; each is used unchanged (brighter) and inverted (darker).
        radii: px.
        sides: ``brighter``, ``darker`` or both.
        conditions: each is used at the same places.
        per_cell: trials of each ratio, side, radius and condition, spread over the photos.
        size: width and height in px of a random crop of the photo, or ``keep``.
        within: an answer is a hit if its distance is at most this, px, ...
        share: ... or at most this share of the radius.
        adaptive: trials per method in the adaptive mode; 0 for the whole grid.
        clean: at least so many trials per method have ratio 1.
        false_calls: wanted rate of false calls, if answers are to count only with a call.
        seed: of the places and of the order of the photos.

    Raises:
        InputError: a field has an invalid value.
    """

    ratios: tuple[float, ...] = ()
    radii: tuple[float, ...] = RADII
    sides: tuple[Side, ...] = ("darker", "brighter")
    conditions: tuple[Condition, ...] = (Condition(),)
    per_cell: int = 24
    size: tuple[int, int] | Literal["keep"] = (512, 512)
    shape: Shape = "circle"
    overflow: Overflow = "clip"
    within: float = HIT_RADIUS
    share: float = metrics.HIT_SHARE
    adaptive: int = 0
    seed: int = 0
    clean: int = 0
    false_calls: float | None = None

    def __post_init__(self) -> None:
        ratios = self.ratios or log_grid(*RATIOS, decimals=RATIO_DECIMALS)
        object.__setattr__(self, "ratios", tuple(sorted(ratios)))
        object.__setattr__(self, "radii", tuple(sorted(self.radii)))
        for name, good, advice in (
            ("ratios", len(self.ratios) > 1 and self.ratios[0] > 1, "give two above 1 or more"),
            ("ratios", _distinct(self.ratios), "name each once"),
            ("radii", bool(self.radii) and _distinct(self.radii), "name one or more, each once"),
            ("sides", bool(self.sides) and _distinct(self.sides), "darker, brighter or both"),
            ("conditions", bool(self.conditions) and _distinct(self.conditions), "name each once"),
            ("per_cell", self.per_cell >= 1, "give a whole number from 1 up"),
            ("within", 0 <= self.within < math.inf, "give a distance in px from 0 up"),
            ("share", 0 <= self.share < math.inf, "give a share of the radius from 0 up"),
            ("adaptive", self.adaptive >= 0, "give a number of trials, or 0 for the grid"),
            ("clean", self.clean >= 0, "give a number of trials"),
            ("seed", 0 <= self.seed < 2**63, "give a whole number from 0 up"),
        ):
            if not good:
                raise InputError(f"sharpness: {name} is {getattr(self, name)}: {advice}")
        calls.check_rate(self.false_calls)
        for r, condition in product(
            self.radii, self.conditions
        ):  # the recipe checks the other fields
            self.recipe(r, self.ratios[-1], condition)

    def recipe(self, r: float, ratio: float, condition: Condition) -> Recipe:
        """The recipe for the trials of one cell."""
        return Recipe(
            size=self.size, ratio=(ratio, ratio), radius=(r, r), shape=self.shape,
            overflow=self.overflow, seed=self.seed, ratio_decimals=RATIO_DECIMALS,
            **dataclasses.asdict(condition),
        )  # fmt: skip

    def is_hit(self, distance: np.ndarray, r: np.ndarray) -> np.ndarray:
        """(N,) distances px, (N,) radii px -> (N,) bool; NaN is a miss."""
        return metrics.is_hit(distance, r, self.within, self.share)

    def to_dict(self) -> dict[str, Any]:
        """The design in JSON types; without the fields of calls if there are none."""
        return {
            name: value
            for name, value in dataclasses.asdict(self).items()
            if value or name not in ("clean", "false_calls")
        }


@dataclass(frozen=True)
class Trial:
    """One trial.

    Args:
        number: in the run, from 0; in grid mode all methods get the same image.
        place: number that, with the photo and the run's seed, determines the place.
        told_ratio: what a told method is told instead of the ratio; see :func:`told_ratio`.
    """

    number: int
    photo: str
    side: Side
    ratio: float
    r: float
    condition: Condition
    place: int
    told_ratio: float | None = None


@dataclass(frozen=True, eq=False)
class TrialImage:
    """The image of a trial, and statistics of its region before the change.

    Args:
        image: (H, W, 3) uint8.
        clean: the same without the anomaly.
        brightness: mean grey level in the region, 0 to 255.
        texture: mean absolute difference of grey levels of neighbouring pixels in the region.
    """

    image: np.ndarray
    clean: np.ndarray
    truth: Anomaly
    brightness: float
    texture: float


def _distinct(values: Sequence[object]) -> bool:
    return len(set(values)) == len(values)


def log_grid(
    low: float, high: float, count: int, decimals: int = RATIO_DECIMALS
) -> tuple[float, ...]:
    """``count`` ratios above 1 whose steps |log ratio| are a geometric series.

    >>> log_grid(1.01, 1.1, 3, 3)
    (1.01, 1.031, 1.1)
    """
    if not 1 < low < high < math.inf or count < 2:
        raise InputError(f"ratios are {low:g}:{high:g}:{count}: give LO:HI:N, 1 < LO < HI, N > 1")
    steps = np.geomspace(math.log(low), math.log(high), count)
    return tuple(round(math.exp(step), decimals) for step in steps)


def ratio_on_side(ratio: float, side: Side) -> float:
    """A ratio above 1 -> the same change on a side."""
    return {"brighter": ratio, "darker": round(1 / ratio, RATIO_DECIMALS), "none": 1.0}[side]


def grid_trials(design: Design, names: Sequence[str]) -> list[Trial]:
    """All trials of the grid mode, sorted by photo.

    For each radius there are as many trials at ratio 1 as in one cell of each side together, and
    further ones at other places if the design asks for more.
    """
    trials: list[tuple[str, Side, float, float, Condition, int]] = []
    order = PhotoOrder(names, design.seed)
    for number, (r, (side, ratio)) in enumerate(product(design.radii, _sides_and_ratios(design))):
        count = design.per_cell * (len(design.sides) if side == "none" else 1)
        for k, photo in enumerate(order.take(count)):
            place = number * 1_000_000 + k
            for condition in design.conditions:
                trials.append((photo, side, ratio_on_side(ratio, side), r, condition, place))
    at_ratio_1 = sum(trial[1] == "none" for trial in trials)
    cells = cycle(product(design.radii, design.conditions))
    first = (number + 1) * 1_000_000
    for k, photo in enumerate(order.take(max(0, design.clean - at_ratio_1))):
        r, condition = next(cells)
        trials.append((photo, "none", 1.0, r, condition, first + k))
    trials.sort(key=lambda trial: trial[0])  # stable, so that each photo is decoded once
    return [Trial(i, *trial, told_ratio(design, i, trial[1])) for i, trial in enumerate(trials)]


def told_ratio(design: Design, number: int, side: Side) -> float | None:
    """The ratio that a told method is told in a clean trial if answers are to be called, else None.

    It is a random one of the grid. A told method that looks for a change by the factor 1 has the
    same score for all pictures.
    """
    if design.false_calls is None or side != "none":
        return None
    rng = np.random.default_rng([design.seed, number])
    side = design.sides[rng.integers(len(design.sides))]
    return ratio_on_side(float(rng.choice(design.ratios)), side)


def _sides_and_ratios(design: Design) -> Iterator[tuple[Side, float]]:
    yield "none", 1.0
    for side in design.sides:
        for ratio in design.ratios:
            yield side, ratio


class PhotoOrder:
    """A random order of photos in which each photo comes once before any is repeated."""

    def __init__(self, names: Sequence[str], seed: int) -> None:
        self._names = list(names)
        self._rng = np.random.default_rng([seed, len(self._names)])
        self._left: list[str] = []

    def take(self, count: int) -> list[str]:
        """The next ``count`` photos."""
        while len(self._left) < count:
            self._left += [self._names[i] for i in self._rng.permutation(len(self._names))]
        names, self._left = self._left[:count], self._left[count:]
        return names


def render_trial(design: Design, trial: Trial, photo: Photo) -> TrialImage:
    """Renders a trial; the result depends on the design's seed, the photo and the trial only.

    Raises:
        Skipped: the photo is too small.
    """
    recipe = design.recipe(trial.r, trial.ratio, trial.condition)
    rng = renderer.row_generator(recipe, photo, trial.place)
    draw = recipe.draw(*photo.picture.size, rng)
    painted = renderer.paint(photo, draw)
    truth = draw.anomaly
    assert truth is not None  # the recipe makes no clean rows
    codec, quality = trial.condition.codec, trial.condition.quality
    image, clean = (
        renderer.decode(renderer.encode(pixels, codec, quality))
        for pixels in (painted.image, painted.clean)
    )
    return TrialImage(image, clean, truth, *_region_statistics(painted.clean, truth))


def _region_statistics(clean: np.ndarray, truth: Anomaly) -> tuple[float, float]:
    """(H, W, 3) uint8, region -> mean grey level, mean absolute difference of neighbours."""
    where = anomalies.window(truth, *clean.shape[:2])
    inside = anomalies.weight(truth, where) >= 0.5
    grey = clean[where] @ LUMA.astype(float).round(3)  # exactly 0.299, 0.587, 0.114
    differences = np.concatenate([
        np.abs(np.diff(grey, axis=axis))[both]
        for axis, both in ((0, inside[1:] & inside[:-1]), (1, inside[:, 1:] & inside[:, :-1]))
    ])  # fmt: skip
    return round(float(grey[inside].mean()), 4), round(float(differences.mean()), 4)


def parse_conditions(
    codecs: Sequence[str], roundings: Sequence[str], feathers: Sequence[float]
) -> tuple[Condition, ...]:
    """Codecs such as ``jpeg90`` or ``png``, roundings, feathers in px -> all combinations.

    Raises:
        InputError: a codec is unknown.
    """
    return tuple(
        Condition(*_parse_codec(word), rounding, feather)  # type: ignore[arg-type]
        for word, rounding, feather in product(codecs, roundings, feathers)
    )


def _parse_codec(word: str) -> tuple[Codec, int]:
    if word == "png":
        return "png", Condition.quality
    digits = word.removeprefix("jpeg")
    if word.startswith("jpeg") and digits.isdecimal():
        return "jpeg", int(digits)
    raise InputError(f"codec '{word}' is unknown: use png, or jpeg and a quality as in jpeg90")


def condition_of_row(row: Mapping[str, Any]) -> Condition:
    """A row of ``trials.csv`` -> its condition."""
    quality = Condition.quality if row["codec"] == "png" else int(row["quality"])
    return Condition(row["codec"], quality, row["rounding"], float(row["feather"]))
