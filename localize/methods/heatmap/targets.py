"""Batches of training images with their regions."""

from __future__ import annotations

import dataclasses
import math
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, default_collate

from localize.data.batches import Order
from localize.data.loader import ErrorReturningDataset, batch_loader
from localize.localizer import Source
from synth.anomaly import Anomaly

EPOCH = 1600  # largest number of images per epoch
MOST_REGIONS = 32  # in one image; further ones are not used
CLEAN_EVERY = 8  # one image in so many is a clean twin, where there is one
X, Y, R, IS_SQUARE, LOG_RATIO = range(5)  # columns of the regions of a batch


class Batch(TypedDict):
    """A training batch. Images smaller than (W, H) are padded at their right and lower edge.

    Args:
        image: (B, 3, H, W) uint8.
        regions: (B, MOST_REGIONS, 5) float32: x, y and r in px, 1 for a square, log ratio; NaN
            beyond the regions of the image.
        size: (B, 2) float32, width and height of the part that is not padding, px.
    """

    image: Tensor
    regions: Tensor
    size: Tensor


class Examples(Dataset[Batch]):
    """The images of a source, indexed as by :class:`Order`.

    Args:
        window: larger images are cropped to so many px at random.
        multi: several regions in an image, where the source draws them, and some clean images;
            else the source's images with one region.
    """

    def __init__(self, source: Source, window: int, multi: bool) -> None:
        self._source, self._window, self._multi = source, window, multi

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        index, seed = key
        image, regions = self._draw(index, seed)
        return example(image, regions, self._window, np.random.default_rng(seed))

    def _draw(self, index: int, seed: int) -> tuple[np.ndarray, list[Anomaly]]:
        """An image and its regions."""
        if not self._multi:
            sample = self._source[index]
            return sample.image, [sample.truth] if sample.truth else []
        image, regions = self._source.multi_region(index)
        clean = None if seed % CLEAN_EVERY else self._source[index].clean
        if clean is None:
            return image, regions
        return clean[: image.shape[0], : image.shape[1]], []  # of the size of its stage


def example(
    image: np.ndarray, regions: list[Anomaly], window: int, rng: np.random.Generator
) -> Batch:
    """(H, W, 3) uint8 and its regions -> a :class:`Batch` without the batch dimension.

    A crop contains the centre of the first region.
    """
    centre = (regions[0].x, regions[0].y) if regions else (None, None)
    left, top = (
        _window_start(length, window, place, rng)
        for length, place in zip(image.shape[1::-1], centre, strict=True)
    )
    image = image[top : top + window, left : left + window]
    height, width = image.shape[:2]
    table = torch.full((MOST_REGIONS, 5), math.nan)
    moved = [dataclasses.replace(each, x=each.x - left, y=each.y - top) for each in regions]
    inside = [
        each for each in moved if -0.5 <= each.x < width - 0.5 and -0.5 <= each.y < height - 0.5
    ]
    for row, each in enumerate(inside[:MOST_REGIONS]):
        values = each.x, each.y, each.r, each.shape == "square", math.log(each.discolor_ratio)
        table[row] = torch.tensor(values)
    return Batch(
        image=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
        regions=table,
        size=torch.tensor([width, height], dtype=torch.float32),
    )


def _window_start(length: int, window: int, centre: float | None, rng: np.random.Generator) -> int:
    """The first pixel of a random window; it contains ``centre`` if there is one."""
    low, high = 0, max(0, length - window)
    if centre is not None:
        low = max(low, min(high, math.ceil(centre) - window + 1))
        high = min(high, max(low, math.floor(centre)))
    return int(rng.integers(low, high + 1))


def stack(examples: list[Batch]) -> Batch:
    """Examples -> a batch with the width and height of the largest."""
    width, height = (max(each["image"].shape[side] for each in examples) for side in (2, 1))
    padded = []
    for each in examples:
        image = each["image"]
        missing = (0, width - image.shape[2], 0, height - image.shape[1])
        if any(missing):
            image = F.pad(image[None].float(), missing, mode="replicate")[0].byte()
        padded.append(Batch(image=image, regions=each["regions"], size=each["size"]))
    batch: Batch = default_collate(padded)
    return batch


def loader(
    source: Source, window: int, *, batch: int, seed: int, train: bool, workers: int
) -> DataLoader[Batch]:
    """A source -> a loader of :class:`Batch`; ``train`` shuffles and draws several regions."""
    length = min(EPOCH, len(source))
    dataset = ErrorReturningDataset(Examples(source, window, train), source, stack)
    order = Order(length, seed, train, fresh=length < len(source))
    return batch_loader(dataset, order, batch, workers)
