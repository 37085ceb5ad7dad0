"""Nested random subsets of the images that a method learns from, chosen photo by photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from localize.data.folder import Folder
from localize.localizer import Learns


def photos_of_images(source: Folder, learns: Learns, need_place: bool = True) -> list[str]:
    """The photo of each image to learn from: rows with an anomaly, or clean images.

    Args:
        need_place: leave out the unplaced rows, which come after the others.
    """
    if learns == "clean":
        return [negative.photo for negative in source.negatives()]
    return source.groups + [each.photo for each in source.unplaced if not need_place]


def image_order(source: Folder, photos: Sequence[str], seed: int, repeat: int) -> list[int]:
    """Indices of images, all of one photo before those of the next.

    The first n are the subset of n images; a larger subset contains every smaller one. The random
    order of the photos depends on the split, the seed and the repeat, but not on the method.

    Args:
        photos: the photo of each image.
    """
    clean = (negative.photo for negative in source.negatives())
    names = sorted({*photos_of_images(source, "labelled", need_place=False), *clean})
    shuffled = np.random.default_rng([seed, repeat]).permutation(len(names))
    rank = {names[index]: place for place, index in enumerate(shuffled.tolist())}
    return sorted(range(len(photos)), key=lambda image: rank[photos[image]])


def select_subset(
    source: Folder, learns: Learns, images: Sequence[int], length: int | None = None
) -> Folder:
    """The source with these images alone, in the order of the source.

    Args:
        images: the indices, as in :func:`image_order`.
        length: repeat the rows until there are this many; the last ones are the first of
            ``images``. Clean images are not repeated.
    """
    if learns == "clean":
        return source.select_clean(sorted(images))
    return source.select(_repeat(images, length))


def select_labels(source: Folder, images: Sequence[int], length: int | None = None) -> Folder:
    """The source with these images with an anomaly and all of its clean images.

    Args:
        images: the indices, as in :meth:`localize.data.folder.Folder.select`.
        length: as in :func:`select_subset`.
    """
    return source.select_labels(_repeat(images, length))


def _repeat(images: Sequence[int], length: int | None) -> list[int]:
    """Indices in ascending order, repeated to a length; None: each once."""
    if length is None or not images:
        return sorted(images)
    passes, rest = divmod(length, len(images))
    return [*sorted(images) * passes, *images[:rest]]


def validation_labels(count: int, train: int, val: int) -> int:
    """The number of ``count`` labelled images, at least 2, that validate and do not train.

    It is in proportion to the sizes of the splits, at least 1, and leaves at least 1 to train on.

    >>> [validation_labels(count, 120, 30) for count in (2, 5, 20, 150)]
    [1, 1, 4, 30]
    """
    share = round(count * val / (train + val))
    return min(max(1, share, count - train), count - 1, val)
