"""Random splits of images with labels, stratified by class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

LARGEST = 0.05  # share of all images from which a group of near-duplicates is divided


def divide_large_groups(groups: Sequence[int], identical: Sequence[int]) -> list[int]:
    """Group numbers of near-duplicates -> the same without groups that are too large.

    Pictures of the same product in the same position are all near-duplicates of each other. If
    they were kept together, one split would get them all. Of a group with more than ``LARGEST`` of
    all images, only identical images stay together.

    Args:
        identical: numbers that are equal for identical images; other numbers than those of groups.

    >>> divide_large_groups([0, 0, 0, 3], [10, 10, 11, 12])
    [10, 10, 11, 3]
    """
    sizes = Counter(groups)
    most = max(1.0, LARGEST * len(groups))
    return [
        same if sizes[group] > most and sizes[group] > 2 else group
        for group, same in zip(groups, identical, strict=True)
    ]


def stratified_splits(
    kinds: Sequence[tuple[int, str]], groups: Sequence[int], shares: Sequence[float], seed: int
) -> list[int]:
    """Label and class, and group number of each image -> index of its split.

    The groups are put in order: by label, by class, then at random. Each goes to the split that
    lacks the most images of the label so far. So each label has the shares up to about one group,
    and each class nearly has them. A group belongs to the class of its first image.

    Args:
        shares: share of each split, in any unit; a split with share 0 gets nothing.
        seed: of the random order.

    >>> kinds = [(0, "good")] * 10 + [(1, "bad")] * 5
    >>> splits = stratified_splits(kinds, range(15), (3, 1, 1), seed=0)
    >>> [splits[:10].count(k) for k in range(3)], [splits[10:].count(k) for k in range(3)]
    ([6, 2, 2], [3, 1, 1])
    """
    _, first, group_of, sizes = np.unique(
        np.asarray(groups), return_index=True, return_inverse=True, return_counts=True
    )
    kind_of = [kinds[number] for number in first.tolist()]
    rng = np.random.default_rng([seed, 0x1ABE1])
    order = sorted(rng.permutation(len(first)).tolist(), key=lambda group: kind_of[group])
    target = np.array(shares, float) / sum(shares)
    split_of = np.zeros(len(first), int)
    assigned, label = np.zeros(len(target)), -1
    for group in order:
        if kind_of[group][0] != label:
            assigned, label = np.zeros(len(target)), kind_of[group][0]
        lacking = target * (assigned.sum() + sizes[group]) - assigned
        split_of[group] = split = int(np.argmax(np.where(target > 0, lacking, -np.inf)))
        assigned[split] += sizes[group]
    return [int(split) for split in split_of[group_of.reshape(-1)]]
