"""The hits and misses of an inspection, counted by size and by group."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True, eq=False)
class Trials:
    """The trials of an inspection.

    A target of size 0 is a blank: a picture or a part without a change. Blanks measure the rate of
    false calls and are no targets.

    Args:
        size: (N,) size of the target of each trial, from 0.
        hit: (N,) 1 if it was found, else 0.
        target: (N,) number of the target; repeated inspections of a target share it.
        group: (N,) number of the group; trials of a group (a photo) are not independent.
        part: (N,) label of the population to which the target belongs, for the test of pooling.
    """

    size: np.ndarray
    hit: np.ndarray
    target: np.ndarray
    group: np.ndarray
    part: np.ndarray | None = None

    def select(self, mask: np.ndarray) -> Trials:
        """The trials of a mask."""
        part = None if self.part is None else self.part[mask]
        return Trials(
            self.size[mask], self.hit[mask], self.target[mask], self.group[mask], part
        )  # fmt: skip

    @property
    def on_targets(self) -> Trials:
        """The trials with a target."""
        return self.select(self.size > 0)

    @property
    def on_blanks(self) -> Trials:
        """The trials without a target."""
        return self.select(self.size == 0)

    @property
    def targets(self) -> int:
        """The number of targets."""
        return len(np.unique(self.target))

    @property
    def groups(self) -> int:
        """The number of groups."""
        return len(np.unique(self.group))


@dataclass(frozen=True, eq=False)
class Counts:
    """Trials on targets and hits by size, and the hit rate of the blanks.

    Args:
        size: (L,) sizes above 0, ascending.
        n: (B, L) trials.
        hits: (B, L) hits.
        guess: (B,) hit rate of the blanks; 0 without blanks.
    """

    size: np.ndarray
    n: np.ndarray
    hits: np.ndarray
    guess: np.ndarray


def count(trials: Trials, weights: np.ndarray | None = None) -> Counts:
    """Counts trials and hits, once or for B weightings of the groups.

    Args:
        weights: (B, G) how often each group counts, in ascending order of its number.
    """
    _, group = np.unique(trials.group, return_inverse=True)
    sizes, level = np.unique(trials.size, return_inverse=True)
    if weights is None:
        weights = np.ones((1, group.max() + 1))
    shape = (group.max() + 1, len(sizes))
    n, hits = (
        weights @ sparse.csr_array((values, (group, level)), shape=shape)
        for values in (np.ones(len(level)), trials.hit.astype(float))
    )
    blank = int(sizes[0] == 0)
    guess = np.zeros(len(weights))
    if blank:
        guess = hits[:, 0] / np.maximum(n[:, 0], 1)
    return Counts(sizes[blank:], n[:, blank:], hits[:, blank:], guess)
