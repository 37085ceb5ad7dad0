"""Endless images: labelled images drawn from photos during training; nothing is written to disk.

A photo is first resampled, flipped and changed in tone, which also weakens the block grid of an
earlier JPEG compression. Then a region is changed, and the image is encoded and decoded, by the
functions of `synth`. The random numbers of an image depend on the seed and the index alone, so that
every worker process draws the same image.
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
from typing import Any

import numpy as np
from PIL import Image

from localize.data import unusable_photos
from localize.data.photo_augmentation import augment_photo, reduce_detail
from localize.data.recipe_stages import FEW_REGIONS, Stage, recipes_of
from localize.localizer import Source
from synth import anomaly as anomalies
from synth import photos, renderer
from synth.anomaly import Anomaly
from synth.console import Progress
from synth.errors import InputError, Skipped
from synth.photos import Photo
from synth.recipe import Recipe
from synth.renderer import Sample
from synth.storage import Place, place_of

TRIES = 40  # random places tried for the regions of one image
GAP = 8.0  # px, smallest distance between regions of one image
VAL_IMAGES = 40  # images to validate on
CACHE = 150_000_000  # px of decoded photos kept in memory


def split(
    folder: str | Place, stages: Sequence[Stage], seed: int = 0, progress: Progress | None = None
) -> tuple[Endless, Endless]:
    """Photos -> endless images for training, and VAL_IMAGES images of other photos.

    One photo in seven, at least one, is for validation only. Every photo is decoded once, so that
    ``skipped`` of both sources holds all of their photos that cannot be used, with the reasons.

    Args:
        progress: called with the number of decoded photos and of all photos.

    Raises:
        InputError: fewer than two photos can be used.
    """
    folder = place_of(folder)
    names = photos.find(folder)
    all_photos = Endless(folder, stages, 2 * seed, names=names)
    sizes = all_photos.read_sizes(progress)
    last_recipes = recipes_of(stages[-1:])
    unusable_for_val = {
        name: reason
        for name in names
        if (reason := unusable_photos.size_fault(sizes.get(name, (0, 0)), last_recipes))
    } | all_photos.skipped
    order = [names[i] for i in np.random.default_rng([seed, len(names)]).permutation(len(names))]
    count = max(1, len(names) // 7)
    for_val, for_train = unusable_photos.split_photos(
        order, count, all_photos.skipped, unusable_for_val
    )
    if not for_val or not for_train:
        raise InputError(
            all_photos.none_usable()
            if len(all_photos.skipped) == len(names)
            else "training needs at least two usable photos, one of them for validation: "
            f"{folder} holds {len(names)}{unusable_photos.explain(unusable_for_val)}"
        )
    train = Endless(folder, stages, 2 * seed, names=[name for name in names if name not in for_val])
    val = Endless(folder, stages[-1:], 2 * seed + 1, names=sorted(for_val), length=VAL_IMAGES)
    for source, unusable in ((train, all_photos.skipped), (val, unusable_for_val)):
        source.skipped = {name: unusable[name] for name in source.names if name in unusable}
    train._cache = val._cache = all_photos._cache
    return train, val


class Endless(Source):
    """Endless images, each with one region, or several of one ratio: see :meth:`multi_region`.

    A photo that cannot be read or is too small for every recipe goes to ``skipped``.

    Args:
        photos_folder: path or URL of the photos.
        stages: from :func:`localize.data.recipe_stages.load`, or one recipe.
        seed: other seeds give other images.
        names: the photos to use; None: all in the folder.
        length: the number of images; None: no end.
        augment: resample, flip and change the tone of the photo first; else it is used unchanged.

    Raises:
        InputError: there are no photos.
    """

    def __init__(
        self,
        photos_folder: str | Place,
        stages: Recipe | Sequence[Stage],
        seed: int = 0,
        *,
        names: Sequence[str] | None = None,
        length: int | None = None,
        augment: bool = True,
    ) -> None:
        super().__init__()
        self.folder = place_of(photos_folder)
        self.names = list(names) if names is not None else photos.find(self.folder)
        self.stages = (Stage(stages.to_dict()),) if isinstance(stages, Recipe) else tuple(stages)
        self.seed = seed
        self.augment = augment
        self._length = sys.maxsize if length is None else length
        self._detail = 1.0
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
        """-> the index-th image (H, W, 3) uint8 with up to ``max_regions`` regions.

        The regions have one ratio and do not overlap. ``max_regions`` is that of the stage.
        """
        crop, regions, recipe, rng = self._draw(index, multi=True)
        return self._render(crop, regions, recipe, rng), regions

    def resize(self, size: tuple[int, int], detail: float = 1, augment: bool = False) -> Endless:
        """Endless images of the same photos, each whole photo stretched to (width, height) px.

        For half of the images the radius is drawn up to the nearest edge.

        Args:
            detail: as of :meth:`Source.resize`.
            augment: instead of whole photos, use augmented crops of that size.
        """
        stages = []
        for stage in self.stages:
            usual = stage.any.get("radius", [stage.common.get("radius", Recipe().radius)])
            radius = [*usual, *([[min(low for low, _ in usual), "edge"]] * len(usual))]
            common = {**stage.common, "size": size, "fit": "stretch", "margin": 0.1}
            choices = {**stage.any, "radius": radius}
            stages.append(dataclasses.replace(stage, common=common, any=choices))
        other = Endless(self.folder, stages, self.seed, names=self.names, augment=augment)
        other._cache, other.skipped = self._cache, self.skipped  # the photos are the same
        other._detail = detail
        return other

    def schedule(self, images: int) -> Endless:
        """The same source for a training run of ``images`` images: every ``until`` is a number."""
        other = copy.copy(self)
        other.stages = tuple(
            dataclasses.replace(stage, until=round(stage.until * images))
            if isinstance(stage.until, float)
            else stage
            for stage in self.stages
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
            "mixes": [stage.to_dict() for stage in self.stages],
            "seed": self.seed,
        }

    def clean(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8: the clean twins in order."""
        for index in range(len(self)):
            crop, _, recipe, _ = self._draw(index)
            yield self._encode_decode(np.asarray(crop.picture), recipe)

    def _stage(self, index: int, multi: bool) -> Stage:
        """The stage of an image; for one region, without stages of more than FEW_REGIONS."""
        stages = [s for s in self.stages[:-1] if multi or s.max_regions <= FEW_REGIONS]
        return next((s for s in stages if s.until is None or index < s.until), self.stages[-1])

    def _draw(
        self, index: int, multi: bool = False
    ) -> tuple[Photo, list[Anomaly], Recipe, np.random.Generator]:
        """The crop of a photo, the regions in it, the recipe of both, the random generator."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        stage = self._stage(index, multi)
        most = stage.max_regions if multi else 1
        rng = np.random.default_rng([self.seed, index])
        for _ in range(TRIES):
            recipe = stage.recipe(rng)
            photo = self._random_photo(rng, recipe)
            try:
                crop = self._crop(photo, recipe, rng)
                return crop, _regions(recipe, crop.picture.size, most, rng), recipe, rng
            except Skipped:
                continue
        raise InputError(f"{self.folder}: too few photos are large enough for the recipe")

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
        """The error message for the case that no photo can be used."""
        return (
            f"none of the {len(self.names)} photos in {self.folder} can be used; "
            f"the first: {self.skipped[self.names[0]]}"
        )

    def read_sizes(self, progress: Progress | None = None) -> dict[str, tuple[int, int]]:
        """Decode every photo once -> (width, height) px of the usable ones; fills ``skipped``."""
        sizes: dict[str, tuple[int, int]] = {}
        count = os.cpu_count() or 1

        def size(name: str) -> tuple[int, int] | str:
            """The size of a photo, or why it cannot be used."""
            try:
                return self._photo(name, self._recipes[0]).picture.size
            except Skipped as reason:
                return str(reason)

        with ThreadPoolExecutor(count) as pool:
            # A few at a time, because photos that are decoded ahead take memory.
            for first in range(0, len(self.names), 4 * count):
                names = self.names[first : first + 4 * count]
                for name, result in zip(names, pool.map(size, names), strict=True):
                    if isinstance(result, str):
                        self.skipped[name] = result
                    else:
                        sizes[name] = result
                if progress:
                    progress(first + len(names), len(self.names))
        return sizes

    @cached_property
    def _recipes(self) -> list[Recipe]:
        return recipes_of(self.stages)

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
            picture = Image.fromarray(renderer.fit(photo, draw.size, draw.crop))
            return dataclasses.replace(photo, picture=reduce_detail(picture, self._detail))
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
    """One to ``most`` regions of one ratio at random places, at least GAP px apart.

    Where ``most`` is at most FEW_REGIONS, the number of regions is random; else as many as fit.
    """
    count = int(rng.integers(1, most + 1)) if most <= FEW_REGIONS else most
    regions: list[Anomaly] = []
    recipe = dataclasses.replace(recipe, size="keep")  # the crop has its size already
    for _ in range(TRIES * max(1, most // FEW_REGIONS)):
        anomaly = recipe.draw(*size, rng).anomaly
        if anomaly is None:
            break
        if regions:
            anomaly = dataclasses.replace(anomaly, discolor_ratio=regions[0].discolor_ratio)
        if all(
            max(abs(anomaly.x - other.x), abs(anomaly.y - other.y))
            >= anomaly.reach + other.reach + GAP
            for other in regions
        ):
            regions.append(anomaly)
        if len(regions) >= count:
            break
    return regions
