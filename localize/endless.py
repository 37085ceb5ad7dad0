"""Labelled pictures without end, drawn on the fly from photos: nothing is written to disk.

A photo is first resampled, flipped and toned, which also wears away the grid of an older JPEG;
then changed; then encoded and decoded, all by `synth`'s own functions. The index alone seeds
a picture, so that any worker draws the same one.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from localize.localizer import Source
from localize.views import augmented
from synth import anomaly as anomalies
from synth import photos, recipe, renderer
from synth.anomaly import Anomaly
from synth.errors import InputError, Skipped
from synth.photos import Photo
from synth.recipe import Recipe
from synth.renderer import Sample

TRIES = 40  # places tried for the regions of one picture
FEW = 4  # regions in one picture, unless a mix wants a crowd
APART = 8.0  # px that regions of one picture keep from each other, at least
VAL = 40  # pictures to validate on
CACHE = 150_000_000  # px of decoded photos kept in memory


@dataclass(frozen=True)
class Mix:
    """Recipes to choose from: the fields of ``common``, and one of the values of each in ``any``.

    Raises:
        InputError: a field is unknown or has no usable value.
    """

    common: dict[str, Any] = field(default_factory=dict)
    any: dict[str, list[Any]] = field(default_factory=dict)
    until: float | None = None  # the first picture of the next mix; below 1: a share of the run
    crowd: int = FEW  # regions in one picture, at most

    def __post_init__(self) -> None:
        if not isinstance(self.crowd, int) or self.crowd < 1:
            raise InputError(f"mix: crowd is {self.crowd!r}: give a whole number from 1 up")
        for name, values in self.any.items():
            if not isinstance(values, list) or not values:
                raise InputError(f"mix: any.{name} is {values!r}: give a list of values")
        first = {name: values[0] for name, values in self.any.items()}
        for name, values in self.any.items():
            for value in values:
                recipe.from_dict({**self.common, **first, name: value})

    def recipe(self, rng: np.random.Generator) -> Recipe:
        """One of the recipes."""
        chosen = {name: values[rng.integers(len(values))] for name, values in self.any.items()}
        return recipe.from_dict({**self.common, **chosen})


def load(name: str | Path) -> tuple[Mix, ...]:
    """A recipe's preset or file, or a file ``{"stages": [{"until", "recipe", "any"}, …]}``.

    Beside ``stages``, ``recipe`` and ``any`` may say what all of them share.

    Raises:
        InputError: it is neither.
    """
    path = Path(name)
    if path.is_file():
        try:
            about = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"recipe {path} is no JSON: {error}") from None
        if isinstance(about, dict) and "stages" in about:
            return _stages(path, about)
    return (Mix(recipe.load(name).to_dict()),)


def _stages(path: Path, about: dict[str, Any]) -> tuple[Mix, ...]:
    shared = {key: value for key, value in about.items() if key != "stages"}
    stages, own = about["stages"], {"recipe", "any"}
    if not isinstance(stages, list) or not all(
        isinstance(stage, dict) and stage.keys() <= own | {"until", "crowd"} for stage in stages
    ):
        raise InputError(f"recipe {path}: stages is no list of {{until, recipe, any, crowd}}")
    if not shared.keys() <= own:
        raise InputError(f"recipe {path}: beside stages only recipe and any may stand")
    if not all(isinstance(each.get(key, {}), dict) for each in (shared, *stages) for key in own):
        raise InputError(f"recipe {path}: recipe and any must be objects")
    mixes = tuple(
        Mix(
            shared.get("recipe", {}) | s.get("recipe", {}),
            shared.get("any", {}) | s.get("any", {}),
            s.get("until"),
            s.get("crowd", FEW),
        )
        for s in stages
    )
    if not mixes or any(not _is_place(mix.until) for mix in mixes[:-1]):
        raise InputError(
            f"recipe {path}: every stage but the last needs until, a whole number or a share of 1"
        )
    return mixes


def _is_place(until: Any) -> bool:
    return isinstance(until, int) or (isinstance(until, float) and 0 < until < 1)


def split(folder: str | Path, mixes: Sequence[Mix], seed: int = 0) -> tuple[Endless, Endless]:
    """A folder of photos -> pictures to train on, without end, and VAL others.

    One photo in seven, at least one, is for validation only.
    """
    names = photos.find(Path(folder))
    order = np.random.default_rng([seed, len(names)]).permutation(len(names))
    held = {names[i] for i in order[: max(1, len(names) // 7)]}
    rest = [name for name in names if name not in held]
    if not rest:
        raise InputError(f"{folder} holds one photo: learning needs two at least")
    return (
        Endless(folder, mixes, 2 * seed, names=rest),
        Endless(folder, mixes[-1:], 2 * seed + 1, names=sorted(held), length=VAL),
    )


class Endless:
    """A source of pictures, each with one region, or several of one ratio: see :meth:`crowd`.

    Args:
        photos_folder: where the photos are.
        mixes: what to draw: of :func:`load`, or one recipe.
        seed: other seeds give other pictures.
        names: the photos to use; None: all in the folder.
        length: how many pictures; None: no end.
        augment: resample, flip and tone the photo first; else it is used as it is.

    Raises:
        InputError: there are no photos.
    """

    def __init__(
        self,
        photos_folder: str | Path,
        mixes: Recipe | Sequence[Mix],
        seed: int = 0,
        *,
        names: Sequence[str] | None = None,
        length: int | None = None,
        augment: bool = True,
    ) -> None:
        self.folder = Path(photos_folder)
        self.names = list(names) if names is not None else photos.find(self.folder)
        self.mixes = (Mix(mixes.to_dict()),) if isinstance(mixes, Recipe) else tuple(mixes)
        self.seed = seed
        self.augment = augment
        self._length = sys.maxsize if length is None else length
        self._cache: dict[tuple[str, bool], Photo] = {}  # by name and keep_profile

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}}

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        """The index-th picture, with its clean twin."""
        view, draws, chosen, rng = self._drawn(index)
        truth = draws[0] if draws else None
        clean = self._coded(np.asarray(view.picture), chosen)
        image = self._painted(view, draws, chosen, rng) if truth else clean
        return Sample(image, truth, clean, photo=view.name)

    def crowd(self, index: int) -> tuple[np.ndarray, list[Anomaly]]:
        """-> the index-th picture (H, W, 3) uint8 with up to its mix's crowd of regions, one ratio.

        They lie apart. A network that looks at the whole picture learns from each of them.
        """
        view, draws, chosen, rng = self._drawn(index, crowd=True)
        return self._painted(view, draws, chosen, rng), draws

    def whole(self, size: tuple[int, int], augment: bool = False) -> Endless:
        """The same photos, only shrunk or stretched to (width, height) px, with regions to fit.

        Half of the radii are then drawn up to the nearest edge. There is no end to them. Or
        pictures of that size in which the photos are resampled, flipped and toned.
        """
        mixes = []
        for mix in self.mixes:
            usual = mix.any.get("radius", [mix.common.get("radius", Recipe().radius)])
            radius = [*usual, *([[min(low for low, _ in usual), "edge"]] * len(usual))]
            common = {**mix.common, "size": size, "fit": "stretch", "margin": 0.1}
            mixes.append(dataclasses.replace(mix, common=common, any={**mix.any, "radius": radius}))
        other = Endless(self.folder, mixes, self.seed, names=self.names, augment=augment)
        other._cache = self._cache  # the photos are the same, decoded once
        return other

    def paced(self, pictures: int) -> Endless:
        """The same pictures, for a run of so many: shares of it become numbers of pictures."""
        other = copy.copy(self)
        other.mixes = tuple(
            dataclasses.replace(mix, until=round(mix.until * pictures))
            if isinstance(mix.until, float)
            else mix
            for mix in self.mixes
        )
        return other

    def truth(self, index: int) -> tuple[Anomaly, tuple[int, int]]:
        """The anomaly of a picture and its (width, height) px."""
        view, draws, _, _ = self._drawn(index)
        if not draws:
            raise InputError("endless pictures need an anomaly each: clean_fraction must be 0")
        return draws[0], view.picture.size

    def about(self) -> dict[str, Any]:
        """Everything that is drawn from, in JSON types."""
        digest = hashlib.sha256("\n".join(self.names).encode()).hexdigest()
        return {
            "photos": len(self.names),
            "photo_names_sha256": digest,
            "mixes": [dataclasses.asdict(mix) for mix in self.mixes],
            "seed": self.seed,
        }

    def clean(self) -> Iterator[np.ndarray]:
        """The clean twins."""
        for index in range(len(self)):
            view, _, chosen, _ = self._drawn(index)
            yield self._coded(np.asarray(view.picture), chosen)

    def _mix(self, index: int, crowd: bool) -> Mix:
        """What a picture is drawn with; one region is never drawn as if it were of a crowd."""
        mixes = [m for m in self.mixes[:-1] if crowd or m.crowd <= FEW]
        return next((m for m in mixes if m.until is None or index < m.until), self.mixes[-1])

    def _drawn(
        self, index: int, crowd: bool = False
    ) -> tuple[Photo, list[Anomaly], Recipe, np.random.Generator]:
        """The view of a photo, the regions in it, and the recipe that both were drawn with."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        mix = self._mix(index, crowd)
        most = mix.crowd if crowd else 1
        rng = np.random.default_rng([self.seed, index])
        for _ in range(TRIES):
            chosen = mix.recipe(rng)
            photo = self._photo(self.names[rng.integers(len(self.names))], chosen)
            try:
                view = self._view(photo, chosen, rng)
                return view, _regions(chosen, view.picture.size, most, rng), chosen, rng
            except Skipped:
                continue
        raise InputError(f"{self.folder}: hardly any photo is large enough for the recipe")

    def _photo(self, name: str, chosen: Recipe) -> Photo:
        key = (name, chosen.keep_profile)
        if key not in self._cache:
            while sum(math.prod(p.picture.size) for p in self._cache.values()) > CACHE:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = photos.read(
                self.folder,
                name,
                keep_profile=chosen.keep_profile,
                max_pixels=chosen.max_pixels,
            )
        return self._cache[key]

    def _view(self, photo: Photo, chosen: Recipe, rng: np.random.Generator) -> Photo:
        """The picture that regions are drawn in, of the recipe's size."""
        if not self.augment:
            draw = chosen.draw(*photo.picture.size, rng)
            pixels = renderer.fit(photo, draw.size, draw.crop)
            return dataclasses.replace(photo, picture=Image.fromarray(pixels))
        size = photo.picture.size if chosen.size == "keep" else chosen.size
        return dataclasses.replace(photo, picture=augmented(photo.picture, size, rng))

    @staticmethod
    def _painted(
        view: Photo, draws: Sequence[Anomaly], chosen: Recipe, rng: np.random.Generator
    ) -> np.ndarray:
        image = np.asarray(view.picture)
        for each in draws:
            image = anomalies.apply(image, each, rng)
        return Endless._coded(image, chosen)

    @staticmethod
    def _coded(image: np.ndarray, chosen: Recipe) -> np.ndarray:
        if chosen.codec == "png":
            return image  # exactly what a reader of the file would see
        return renderer.decode(renderer.encode(image, chosen.codec, chosen.quality))


def described(source: Source) -> dict[str, Any]:
    """What a source draws from, in JSON types, for the run folder."""
    about = getattr(source, "about", None)
    return about() if callable(about) else {"images": len(source)}


def _regions(
    chosen: Recipe, size: tuple[int, int], most: int, rng: np.random.Generator
) -> list[Anomaly]:
    """One to ``most`` regions, apart from each other, all of the first one's ratio.

    More than a few are there for their edges: then as many as find a place.
    """
    wanted = int(rng.integers(1, most + 1)) if most <= FEW else most
    found: list[Anomaly] = []
    alone = dataclasses.replace(chosen, size="keep")  # the view is cut out already
    for _ in range(TRIES * max(1, most // FEW)):
        drawn = alone.draw(*size, rng).anomaly
        if drawn is None:
            break
        if found:
            drawn = dataclasses.replace(drawn, discolor_ratio=found[0].discolor_ratio)
        if all(
            max(abs(drawn.x - a.x), abs(drawn.y - a.y)) >= drawn.reach + a.reach + APART
            for a in found
        ):
            found.append(drawn)
        if len(found) >= wanted:
            break
    return found
