"""Nested random subsets of the images that a method learns from, chosen photo by photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from localize.data.folder import Folder
from localize.localizer import Learns


def photos_of_images(source: Folder, learns: Learns) -> list[str]:
    """The photo of each image to learn from: rows with an anomaly, or clean images."""
    if learns == "clean":
        return [negative.photo for negative in source.negatives()]
    return source.groups


def image_order(source: Folder, learns: Learns, seed: int, repeat: int) -> list[int]:
    """Indices of the images to learn from, all of one photo before those of the next.

    The first n are the subset of n images; a larger subset contains every smaller one. The random
    order of the photos depends on the split, the seed and the repeat, but not on the method.
    """
    clean = (negative.photo for negative in source.negatives())
    names = sorted({*source.groups, *clean})
    shuffled = np.random.default_rng([seed, repeat]).permutation(len(names))
    rank = {names[index]: place for place, index in enumerate(shuffled.tolist())}
    photos = photos_of_images(source, learns)
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
    length = len(images) if length is None else length
    passes, rest = divmod(length, len(images))
    return source.select([*sorted(images) * passes, *images[:rest]])


def select_labels(source: Folder, images: Sequence[int], length: int | None = None) -> Folder:
    """The source with these labelled images and all of its clean images.

    Args:
        images: indices of images with an anomaly.
        length: as in :func:`select_subset`; ignored without images.
    """
    if not images:
        return source.keep_clean([])
    length = len(images) if length is None else length
    passes, rest = divmod(length, len(images))
    return source.keep_clean([*sorted(images) * passes, *images[:rest]])


def validation_labels(count: int, train: int, val: int) -> int:
    """The number of ``count`` labelled images, at least 2, that validate and do not train.

    It is in proportion to the sizes of the splits, at least 1, and leaves at least 1 to train on.

    >>> [validation_labels(count, 120, 30) for count in (2, 5, 20, 150)]
    [1, 1, 4, 30]
    """
    share = round(count * val / (train + val))
    return min(max(1, share, count - train), count - 1, val)
