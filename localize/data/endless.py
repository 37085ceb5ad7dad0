"""Labelled pictures without end, drawn on the fly from photos: nothing is written to disk.

A photo is first resampled, flipped and toned, which also wears away the grid of an older JPEG;
then changed; then encoded and decoded, all by `synth`'s own functions. The index alone seeds
a picture, so that any worker draws the same one.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from localize.data import unusable_photos
from localize.data.mixes import FEW as FEW
from localize.data.mixes import Mix as Mix
from localize.data.mixes import load as load
from localize.data.mixes import recipes_of
from localize.data.photo_augmentation import augmented
from localize.localizer import Source
from synth import anomaly as anomalies
from synth import photos, renderer
from synth.anomaly import Anomaly
from synth.console import Progress
from synth.errors import InputError, Skipped
from synth.paths import path_of
from synth.photos import Photo
from synth.recipe import Recipe
from synth.renderer import Sample

TRIES = 40  # places tried for the regions of one picture
APART = 8.0  # px that regions of one picture keep from each other, at least
VAL = 40  # pictures to validate on
CACHE = 150_000_000  # px of decoded photos kept in memory


def split(
    folder: str | Path, mixes: Sequence[Mix], seed: int = 0, progress: Progress | None = None
) -> tuple[Endless, Endless]:
    """A folder of photos -> pictures to train on, without end, and VAL others.

    One photo in seven, at least one, is for validation only. Every photo is decoded once, and
    ``skipped`` of either source names those of its photos that cannot be used, with the reasons.

    Args:
        progress: called with photos decoded and photos in all.

    Raises:
        InputError: fewer than two photos can be used.
    """
    folder = path_of(folder)
    names = photos.find(folder)
    whole = Endless(folder, mixes, 2 * seed, names=names)
    sizes = whole.check(progress)
    last = recipes_of(mixes[-1:])
    unfit = {
        name: reason
        for name in names
        if (reason := unusable_photos.unfit(sizes.get(name, (0, 0)), last))
    } | whole.skipped
    order = [names[i] for i in np.random.default_rng([seed, len(names)]).permutation(len(names))]
    held, rest = unusable_photos.divide(order, max(1, len(names) // 7), whole.skipped, unfit)
    if not held or not rest:
        raise InputError(
            whole.none_usable()
            if len(whole.skipped) == len(names)
            else f"learning needs two usable photos at least, one for validation: {folder} holds "
            f"{len(names)}{unusable_photos.explain(unfit)}"
        )
    train = Endless(folder, mixes, 2 * seed, names=[name for name in names if name not in held])
    val = Endless(folder, mixes[-1:], 2 * seed + 1, names=sorted(held), length=VAL)
    train.skipped = {name: whole.skipped[name] for name in train.names if name in whole.skipped}
    val.skipped = {name: unfit[name] for name in val.names if name in unfit}
    train._cache = val._cache = whole._cache
    return train, val


class Endless:
    """A source of pictures, each with one region, or several of one ratio: see :meth:`crowd`.

    Args:
        photos_folder: where the photos are.
        mixes: what to draw: of :func:`load`, or one recipe.
        seed: other seeds give other pictures.
        names: the photos to use; None: all in the folder.
        length: how many pictures; None: no end.
        augment: resample, flip and tone the photo first; else it is used as it is.

    A photo that cannot be read, or is too small for every recipe, is passed over: see ``skipped``.

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
        self.folder = path_of(photos_folder)
        self.names = list(names) if names is not None else photos.find(self.folder)
        self.mixes = (Mix(mixes.to_dict()),) if isinstance(mixes, Recipe) else tuple(mixes)
        self.seed = seed
        self.augment = augment
        self.skipped: dict[str, str] = {}  # photos that cannot be used, and why
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
        other._cache, other.skipped = self._cache, self.skipped  # the photos are the same
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
        digest = hashlib.sha256(os.fsencode("\n".join(self.names))).hexdigest()
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
            photo = self._choose(rng, chosen)
            try:
                view = self._view(photo, chosen, rng)
                return view, _regions(chosen, view.picture.size, most, rng), chosen, rng
            except Skipped:
                continue
        raise InputError(f"{self.folder}: hardly any photo is large enough for the recipe")

    def _choose(self, rng: np.random.Generator, chosen: Recipe) -> Photo:
        """A random photo of those that can be used."""
        while len(self.skipped) < len(self.names):
            name = self.names[rng.integers(len(self.names))]
            if name not in self.skipped:
                try:
                    return self._photo(name, chosen)
                except Skipped as reason:
                    self.skipped[name] = str(reason)
        raise InputError(self.none_usable())

    def none_usable(self) -> str:
        """The error where no photo can be used."""
        return (
            f"none of the {len(self.names)} photos in {self.folder} can be used; "
            f"the first: {self.skipped[self.names[0]]}"
        )

    def check(self, progress: Progress | None = None) -> dict[str, tuple[int, int]]:
        """Decode every photo once; note those that cannot be used -> the others' sizes, px."""
        sizes: dict[str, tuple[int, int]] = {}
        count = os.cpu_count() or 1

        def size(name: str) -> tuple[int, int] | str:
            try:
                return self._photo(name, self._recipes[0]).picture.size
            except Skipped as reason:
                return str(reason)

        with ThreadPoolExecutor(count) as pool:
            # A few at a time: what is decoded ahead is in memory.
            for first in range(0, len(self.names), 4 * count):
                names = self.names[first : first + 4 * count]
                for name, found in zip(names, pool.map(size, names), strict=True):
                    if isinstance(found, str):
                        self.skipped[name] = found
                    else:
                        sizes[name] = found
                if progress:
                    progress(first + len(names), len(self.names))
        return sizes

    @cached_property
    def _recipes(self) -> list[Recipe]:
        return recipes_of(self.mixes)

    def _photo(self, name: str, chosen: Recipe) -> Photo:
        """A photo, decoded as a recipe asks or from memory.

        Raises:
            Skipped: it cannot be used.
        """
        key = (name, chosen.keep_profile)
        photo = self._cache.get(key)
        if photo is None:
            try:
                name.encode()
            except UnicodeEncodeError:
                raise Skipped("its name is not Unicode text: rename it") from None
            photo = photos.read(
                self.folder,
                name,
                keep_profile=chosen.keep_profile,
                max_pixels=chosen.max_pixels,
            )
            if reason := unusable_photos.unfit(photo.picture.size, self._recipes):
                raise Skipped(reason)
            # Other threads add and remove photos meanwhile.
            while sum(math.prod(p.picture.size) for p in list(self._cache.values())) > CACHE:
                self._cache.pop(next(iter(list(self._cache))), None)
            self._cache[key] = photo
        return photo

    def _view(self, photo: Photo, chosen: Recipe, rng: np.random.Generator) -> Photo:
        """The picture that regions are drawn in, of the recipe's size."""
        if not self.augment:
            draw = chosen.draw(*photo.picture.size, rng)
            pixels = renderer.fit(photo, draw.size, draw.crop)
            return dataclasses.replace(photo, picture=Image.fromarray(pixels))
        size = chosen.output_size(*photo.picture.size)  # a smaller photo is not enlarged
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
