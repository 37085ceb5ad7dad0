"""Endless images: labelled images drawn from photos during training; nothing is written to disk.

A photo is first resampled, flipped and toned, which also weakens the block grid of an earlier JPEG;
then a region is changed; then the image is encoded and decoded, by the functions of `synth`. The
random draws of an image depend on the seed and the index alone, so that any worker draws the same.
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
from localize.data.photo_augmentation import augment_photo
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

TRIES = 40  # random places tried for the regions of one image
APART = 8.0  # px, smallest distance between regions of one image
VAL = 40  # images to validate on
CACHE = 150_000_000  # px of decoded photos kept in memory


def split(
    folder: str | Path, mixes: Sequence[Mix], seed: int = 0, progress: Progress | None = None
) -> tuple[Endless, Endless]:
    """A folder of photos -> endless images for training, and VAL images of other photos.

    One photo in seven, at least one, is for validation only. Every photo is decoded once;
    ``skipped`` of both sources then holds their photos that cannot be used, with the reasons.

    Args:
        progress: called with the number of decoded photos and of all photos.

    Raises:
        InputError: fewer than two photos can be used.
    """
    folder = path_of(folder)
    names = photos.find(folder)
    whole = Endless(folder, mixes, 2 * seed, names=names)
    sizes = whole.check(progress)
    last = recipes_of(mixes[-1:])
    no_val = {
        name: reason
        for name in names
        if (reason := unusable_photos.size_fault(sizes.get(name, (0, 0)), last))
    } | whole.skipped
    order = [names[i] for i in np.random.default_rng([seed, len(names)]).permutation(len(names))]
    count = max(1, len(names) // 7)
    for_val, for_train = unusable_photos.split_photos(order, count, whole.skipped, no_val)
    if not for_val or not for_train:
        raise InputError(
            whole.none_usable()
            if len(whole.skipped) == len(names)
            else f"learning needs two usable photos at least, one for validation: {folder} holds "
            f"{len(names)}{unusable_photos.explain(no_val)}"
        )
    train = Endless(folder, mixes, 2 * seed, names=[name for name in names if name not in for_val])
    val = Endless(folder, mixes[-1:], 2 * seed + 1, names=sorted(for_val), length=VAL)
    train.skipped = {name: whole.skipped[name] for name in train.names if name in whole.skipped}
    val.skipped = {name: no_val[name] for name in val.names if name in no_val}
    train._cache = val._cache = whole._cache
    return train, val


class Endless(Source):
    """Endless images, each with one region, or several of one ratio: see :meth:`multi_region`.

    A photo that cannot be read or is too small for every recipe goes to ``skipped``.

    Args:
        photos_folder: the folder of the photos.
        mixes: the stages, from :func:`load`, or one recipe.
        seed: other seeds give other images.
        names: the photos to use; None: all in the folder.
        length: the number of images; None: no end.
        augment: resample, flip and tone the photo first; else it is used unchanged.

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
        super().__init__()
        self.folder = path_of(photos_folder)
        self.names: Sequence[str]
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
        """The index-th image with its clean twin."""
        crop, regions, recipe, rng = self._draw(index)
        truth = regions[0] if regions else None
        clean = self._encode_decode(np.asarray(crop.picture), recipe)
        image = self._render(crop, regions, recipe, rng) if truth else clean
        return Sample(image, truth, clean, photo=crop.name)

    def multi_region(self, index: int) -> tuple[np.ndarray, list[Anomaly]]:
        """-> the index-th image (H, W, 3) uint8 with up to ``crowd`` regions of its stage.

        The regions have one ratio and do not overlap. A network that is trained on whole images
        learns from each of them.
        """
        crop, regions, recipe, rng = self._draw(index, multi=True)
        return self._render(crop, regions, recipe, rng), regions

    def resize(self, size: tuple[int, int], augment: bool = False) -> Endless:
        """Endless images of the same photos, each whole photo stretched to (width, height) px.

        For half of the images the radius is drawn up to the nearest edge.

        Args:
            augment: instead of whole photos, resampled, flipped and toned crops of that size.
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

    def schedule(self, images: int) -> Endless:
        """The same source for a training run of so many images: ``until`` becomes a number."""
        other = copy.copy(self)
        other.mixes = tuple(
            dataclasses.replace(mix, until=round(mix.until * images))
            if isinstance(mix.until, float)
            else mix
            for mix in self.mixes
        )
        return other

    def truth(self, index: int) -> tuple[Anomaly, tuple[int, int]]:
        """The anomaly of an image and the image's (width, height) px."""
        crop, regions, _, _ = self._draw(index)
        if not regions:
            raise InputError("endless images need an anomaly each: clean_fraction must be 0")
        return regions[0], crop.picture.size

    def description(self) -> dict[str, Any]:
        """The photos, stages and seed that determine all images, in JSON types."""
        digest = hashlib.sha256(os.fsencode("\n".join(self.names))).hexdigest()
        return {
            "photos": len(self.names),
            "photo_names_sha256": digest,
            "mixes": [dataclasses.asdict(mix) for mix in self.mixes],
            "seed": self.seed,
        }

    def clean(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8: the clean twins in order."""
        for index in range(len(self)):
            crop, _, recipe, _ = self._draw(index)
            yield self._encode_decode(np.asarray(crop.picture), recipe)

    def _stage(self, index: int, multi: bool) -> Mix:
        """The stage of an image. Stages of many regions are left out where one region is wanted."""
        mixes = [m for m in self.mixes[:-1] if multi or m.crowd <= FEW]
        return next((m for m in mixes if m.until is None or index < m.until), self.mixes[-1])

    def _draw(
        self, index: int, multi: bool = False
    ) -> tuple[Photo, list[Anomaly], Recipe, np.random.Generator]:
        """The crop of a photo, the regions in it, the recipe of both, the random generator."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        mix = self._stage(index, multi)
        most = mix.crowd if multi else 1
        rng = np.random.default_rng([self.seed, index])
        for _ in range(TRIES):
            recipe = mix.recipe(rng)
            photo = self._random_photo(rng, recipe)
            try:
                crop = self._crop(photo, recipe, rng)
                return crop, _regions(recipe, crop.picture.size, most, rng), recipe, rng
            except Skipped:
                continue
        raise InputError(f"{self.folder}: hardly any photo is large enough for the recipe")

    def _random_photo(self, rng: np.random.Generator, recipe: Recipe) -> Photo:
        """A random one of the photos that can be used."""
        while len(self.skipped) < len(self.names):
            name = self.names[int(rng.integers(len(self.names)))]
            if name not in self.skipped:
                try:
                    return self._photo(name, recipe)
                except Skipped as reason:
                    self.skipped[name] = str(reason)
        raise InputError(self.none_usable())

    def none_usable(self) -> str:
        """The message of the error where no photo can be used."""
        return (
            f"none of the {len(self.names)} photos in {self.folder} can be used; "
            f"the first: {self.skipped[self.names[0]]}"
        )

    def check(self, progress: Progress | None = None) -> dict[str, tuple[int, int]]:
        """Decode every photo once -> (width, height) px of the usable ones; fills ``skipped``."""
        sizes: dict[str, tuple[int, int]] = {}
        count = os.cpu_count() or 1

        def size(name: str) -> tuple[int, int] | str:
            try:
                return self._photo(name, self._recipes[0]).picture.size
            except Skipped as reason:
                return str(reason)

        with ThreadPoolExecutor(count) as pool:
            # A few at a time, because photos that are decoded ahead take memory.
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

    def _photo(self, name: str, recipe: Recipe) -> Photo:
        """A photo as a recipe decodes it, from memory where possible.

        Raises:
            Skipped: it cannot be used.
        """
        key = (name, recipe.keep_profile)
        photo = self._cache.get(key)
        if photo is None:
            try:
                name.encode()
            except UnicodeEncodeError:
                raise Skipped("its name is not Unicode text: rename it") from None
            photo = photos.read(
                self.folder,
                name,
                keep_profile=recipe.keep_profile,
                max_pixels=recipe.max_pixels,
            )
            if reason := unusable_photos.size_fault(photo.picture.size, self._recipes):
                raise Skipped(reason)
            # Other threads add and remove photos meanwhile.
            while sum(math.prod(p.picture.size) for p in list(self._cache.values())) > CACHE:
                self._cache.pop(next(iter(list(self._cache))), None)
            self._cache[key] = photo
        return photo

    def _crop(self, photo: Photo, recipe: Recipe, rng: np.random.Generator) -> Photo:
        """The crop of the recipe's size in which regions are drawn."""
        if not self.augment:
            draw = recipe.draw(*photo.picture.size, rng)
            pixels = renderer.fit(photo, draw.size, draw.crop)
            return dataclasses.replace(photo, picture=Image.fromarray(pixels))
        size = recipe.output_size(*photo.picture.size)  # a smaller photo is not enlarged
        return dataclasses.replace(photo, picture=augment_photo(photo.picture, size, rng))

    @staticmethod
    def _render(
        crop: Photo, regions: Sequence[Anomaly], recipe: Recipe, rng: np.random.Generator
    ) -> np.ndarray:
        image = np.asarray(crop.picture)
        for each in regions:
            image = anomalies.apply(image, each, rng)
        return Endless._encode_decode(image, recipe)

    @staticmethod
    def _encode_decode(image: np.ndarray, recipe: Recipe) -> np.ndarray:
        if recipe.codec == "png":
            return image  # lossless
        return renderer.decode(renderer.encode(image, recipe.codec, recipe.quality))


def _regions(
    recipe: Recipe, size: tuple[int, int], most: int, rng: np.random.Generator
) -> list[Anomaly]:
    """One to ``most`` regions at random places, APART px from each other, of one ratio.

    Up to FEW regions their number is random; of more, as many as fit are drawn.
    """
    wanted = int(rng.integers(1, most + 1)) if most <= FEW else most
    regions: list[Anomaly] = []
    cropped = dataclasses.replace(recipe, size="keep")  # the crop is made already
    for _ in range(TRIES * max(1, most // FEW)):
        drawn = cropped.draw(*size, rng).anomaly
        if drawn is None:
            break
        if regions:
            drawn = dataclasses.replace(drawn, discolor_ratio=regions[0].discolor_ratio)
        if all(
            max(abs(drawn.x - a.x), abs(drawn.y - a.y)) >= drawn.reach + a.reach + APART
            for a in regions
        ):
            regions.append(drawn)
        if len(regions) >= wanted:
            break
    return regions
