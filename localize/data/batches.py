"""Batches for the regressors: images stretched to the input size, centres as fractions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypedDict

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler

from localize.data.loader import ErrorReturningDataset, batch_loader
from localize.localizer import Source
from synth.errors import InputError
from synth.renderer import Sample

EPOCH = 400  # endless images per epoch
PRELOAD_BYTES = 4 * 2**30  # a dataset is kept in memory if its images take at most this much

Augment = Callable[[Sample, int], Sample]


class Batch(TypedDict):
    """A training batch of a regressor; (w, h) is the size of its input, (W, H) that of the image.

    Args:
        image: (B, 3, h, w) uint8.
        numeric: (B, 2) float32: r in px of the input, and the ratio.
        target: (B, 2) float32: (x + 1/2) / W and (y + 1/2) / H.
        size: (B, 2) float32: W and H, px.
    """

    image: torch.Tensor
    numeric: torch.Tensor
    target: torch.Tensor
    size: torch.Tensor


def stretch(image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """(H, W, 3) uint8 -> (3, h, w) uint8, antialiased; ``size`` is (w, h) px."""
    if image.shape[1::-1] != size:
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def to_input(r: float, image_size: tuple[int, int], size: tuple[int, int]) -> float:
    """Radius in px of an image -> px of the input it is stretched to (geometric mean)."""
    return r * float(np.sqrt(size[0] / image_size[0] * size[1] / image_size[1]))


def to_pixels(fractions: np.ndarray, image_size: tuple[int, int]) -> tuple[float, float]:
    """(2,) fractions of width and height -> x, y px: inverts the target of :class:`Batch`."""
    return (
        float(fractions[0]) * image_size[0] - 0.5,
        float(fractions[1]) * image_size[1] - 0.5,
    )


def example(sample: Sample, size: tuple[int, int]) -> Batch:
    """A sample -> a :class:`Batch` without the batch dimension; ``size`` is (w, h) px."""
    if sample.truth is None:
        raise InputError(f"{sample.name} has no anomaly to learn from")
    height, width = sample.image.shape[:2]
    truth = sample.truth
    return Batch(
        image=stretch(sample.image, size),
        numeric=torch.tensor([to_input(truth.r, (width, height), size), truth.discolor_ratio]),
        target=torch.tensor([(truth.x + 0.5) / width, (truth.y + 0.5) / height]),
        size=torch.tensor([width, height], dtype=torch.float32),
    )


def epoch_of(source: Source) -> int:
    """The number of images per epoch: all of a dataset, EPOCH of endless images."""
    return EPOCH if len(source) == sys.maxsize else len(source)


class Examples(Dataset[Batch]):
    """A source as a torch dataset, indexed by (index, seed of the augmentation).

    Without augmentation the images are decoded once and kept, if they fit in memory.
    """

    def __init__(
        self, source: Source, size: tuple[int, int], augment: Augment | None = None
    ) -> None:
        self._source, self._size, self._augment = source, size, augment
        self._preloaded: list[Batch] | None = None
        if augment is None and len(source) * size[0] * size[1] * 3 <= PRELOAD_BYTES:
            with ThreadPoolExecutor() as pool:
                self._preloaded = list(pool.map(self._load, range(len(source))))

    @property
    def is_preloaded(self) -> bool:
        return self._preloaded is not None

    def __len__(self) -> int:
        return len(self._source)

    def _load(self, index: int) -> Batch:
        return example(self._source[index], self._size)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        index, seed = key
        if self._preloaded is not None:
            return self._preloaded[index]
        if self._augment is None:
            return self._load(index)
        return example(self._augment(self._source[index], seed), self._size)


class Order(Sampler[tuple[int, int]]):
    """Indices for :class:`Examples`; their order depends on (seed, epoch) alone.

    A resumed run therefore has the same order. Lightning calls :meth:`set_epoch` before each epoch.

    Args:
        fresh: each epoch takes the next ``length`` images, for endless images.
    """

    def __init__(self, length: int, seed: int, shuffle: bool, fresh: bool = False) -> None:
        self._length, self._seed, self._shuffle, self._fresh = length, seed, shuffle, fresh
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[tuple[int, int]]:
        rng = np.random.default_rng([self._seed, self.epoch])
        indices = rng.permutation(self._length) if self._shuffle else np.arange(self._length)
        if self._fresh:
            indices = indices + self.epoch * self._length
        seeds = rng.integers(2**31, size=self._length)
        return iter(zip(indices.tolist(), seeds.tolist(), strict=True))


def loader(
    source: Source,
    size: tuple[int, int],
    *,
    batch: int,
    seed: int,
    shuffle: bool,
    augment: Augment | None = None,
    workers: int = 0,
) -> DataLoader[Batch]:
    """A source -> a loader of :class:`Batch`; preloaded images need no workers."""
    examples = Examples(source, size, augment)
    workers = 0 if examples.is_preloaded else workers
    length = epoch_of(source)
    order = Order(length, seed, shuffle, fresh=length < len(source))
    return batch_loader(ErrorReturningDataset(examples, source), order, batch, workers)
