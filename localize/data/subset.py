"""Nested random subsets of the pictures that a method learns from, chosen photo by photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from localize.data.folder import Folder
from localize.localizer import Learns


def picture_photos(source: Folder, learns: Learns) -> list[str]:
    """The photo of each picture to learn from: rows with an anomaly, or clean images."""
    if learns == "clean":
        return [negative.photo for negative in source.negatives()]
    return source.groups


def picture_order(source: Folder, learns: Learns, seed: int, repeat: int) -> list[int]:
    """Indices of the pictures to learn from, all of one photo before those of the next.

    The first n are the subset of n pictures; a larger subset contains every smaller one. The random
    order of the photos depends on the split, the seed and the repeat, but not on the method.
    """
    clean = (negative.photo for negative in source.negatives())
    names = sorted({*source.groups, *clean})
    shuffled = np.random.default_rng([seed, repeat]).permutation(len(names))
    rank = {names[index]: place for place, index in enumerate(shuffled.tolist())}
    photos = picture_photos(source, learns)
    return sorted(range(len(photos)), key=lambda picture: rank[photos[picture]])


def select_subset(
    source: Folder, learns: Learns, pictures: Sequence[int], length: int | None = None
) -> Folder:
    """The source with these pictures alone, in the order of the source.

    Args:
        pictures: the indices, as in :func:`picture_order`.
        length: repeat the rows until there are this many; the last ones are the first of
            ``pictures``. Clean images are not repeated.
    """
    if learns == "clean":
        return source.select_clean(sorted(pictures))
    length = len(pictures) if length is None else length
    passes, rest = divmod(length, len(pictures))
    return source.select([*sorted(pictures) * passes, *pictures[:rest]])
