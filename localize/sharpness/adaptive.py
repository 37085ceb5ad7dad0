"""Adaptive trials: each block has the ratio that is most informative about the threshold.

A posterior over threshold, slope and lapse rate is updated with each block. The next step is the
one for which the expected entropy of the threshold is smallest. Brighter and darker changes have
posteriors of their own, since a method may detect only one of them. A block has one trial of
every radius and condition, all with the same step, so that the step is not confounded with the
strata.

Source: Watson and Pelli, Perception & Psychophysics 33 (1983), QUEST; Kontsevich and Tyler,
Vision Research 39 (1999), the expected entropy; Prins, Journal of Vision 13(7):3 (2013), entropy
of the threshold alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import cycle, product
from typing import Any

import numpy as np

from localize.sharpness.design import (
    Condition,
    Design,
    PhotoOrder,
    Side,
    Trial,
    condition_of_row,
    log_grid,
    ratio_on_side,
    told_ratio,
)
from localize.sharpness.psychometric import core_function

LEVELS = 24  # steps to choose from, between the smallest and the largest ratio
CHANCE_EVERY = 8  # one in so many blocks, starting with the second, has ratio 1
MARGIN = 1.0  # natural logs by which the threshold may lie outside the range of steps


class Posterior:
    """The posterior distribution of a psychometric curve, given the answers so far.

    Args:
        levels: (L,) steps |log ratio| to choose from, ascending.
        guess: prior mean of the hit rate at ratio 1.
    """

    def __init__(self, levels: np.ndarray, guess: float = 0.02) -> None:
        self.levels = np.asarray(levels, float)
        low, high = np.log(self.levels[[0, -1]])
        self._thresholds = np.linspace(low - MARGIN, high + MARGIN, 61)
        grid = product(self._thresholds, np.geomspace(0.8, 8, 9), (0.0, 0.025, 0.05))
        threshold, slope, self._lapse = np.array(list(grid)).T
        u = slope * (np.log(self.levels)[:, None] - threshold)
        self._value = core_function(u, "weibull")[0]
        self._answers = np.zeros((2, len(self.levels)))  # misses, hits
        self._at_ratio_1 = np.array([1 - guess, guess])  # misses, hits; the prior counts as one

    def add(self, level: int | None, hits: int, misses: int) -> None:
        """Adds answers at a level, given by its index, or at ratio 1 (None)."""
        if level is None:
            self._at_ratio_1 += (misses, hits)
        else:
            self._answers[:, level] += (misses, hits)

    def _hit_rates(self) -> np.ndarray:
        """(L, G): the hit rate at each level for each curve of the grid."""
        guess = min(0.9, self._at_ratio_1[1] / self._at_ratio_1.sum())
        rates = guess + (1 - guess - self._lapse) * self._value
        return np.clip(rates, 1e-6, 1 - 1e-6)

    def _weights(self, rates: np.ndarray) -> np.ndarray:
        """(G,): the posterior probability of each curve of the grid."""
        misses, hits = self._answers
        logs = hits @ np.log(rates) + misses @ np.log1p(-rates)
        weights = np.exp(logs - logs.max())
        normalised: np.ndarray = weights / weights.sum()
        return normalised

    def choose(self) -> int:
        """The index of the level with the smallest expected entropy of the threshold."""
        rates = self._hit_rates()
        weights = self._weights(rates)
        entropy = np.zeros(len(self.levels))
        for outcome in (rates, 1 - rates):
            joint = weights * outcome
            total = joint.sum(1)
            marginal = (joint / total[:, None]).reshape(len(joint), len(self._thresholds), -1)
            marginal = marginal.sum(2)
            entropy -= total * (marginal * np.log(marginal + 1e-300)).sum(1)
        return int(entropy.argmin())


def trial_blocks(design: Design, names: Sequence[str]) -> Generator[list[Trial], list[bool], None]:
    """Yields one method's blocks of trials; send the hits of a block to get the next one.

    The last block is of further clean trials, if the design asks for more of them.

    Args:
        names: of the photos.
    """
    ratios = log_grid(design.ratios[0], design.ratios[-1], LEVELS)
    posteriors = {side: Posterior(np.log(ratios)) for side in design.sides}
    order = PhotoOrder(names, design.seed)
    cells = list(product(design.sides, design.radii, design.conditions))
    number = block = 0

    def trial(photo: str, side: Side, ratio: float, r: float, condition: Condition) -> Trial:
        told = told_ratio(design, number, side)
        return Trial(number, photo, side, ratio, r, condition, number, told)

    while number < design.adaptive:
        block_cells = cells[: design.adaptive - number]
        at_ratio_1 = block % CHANCE_EVERY == 1
        levels = {} if at_ratio_1 else {side: each.choose() for side, each in posteriors.items()}
        trials = []
        photos = order.take(len(block_cells))
        for (cell_side, r, condition), photo in zip(block_cells, photos, strict=True):
            side: Side = "none" if at_ratio_1 else cell_side
            ratio = ratio_on_side(1.0 if at_ratio_1 else ratios[levels[cell_side]], side)
            trials.append(trial(photo, side, ratio, r, condition))
            number += 1
        hits = yield trials
        for posterior_side, posterior in posteriors.items():
            own = [
                hit
                for hit, cell in zip(hits, block_cells, strict=True)
                if at_ratio_1 or cell[0] == posterior_side
            ]
            posterior.add(levels.get(posterior_side), sum(own), len(own) - sum(own))
        block += 1
    clean = []
    further = cycle(product(design.radii, design.conditions))
    for photo in order.take(trial_count(design) - design.adaptive):
        clean.append(trial(photo, "none", 1.0, *next(further)))
        number += 1
    if clean:
        yield clean


def trial_count(design: Design) -> int:
    """Trials of each method: those with chosen ratios, and further clean ones."""
    return design.adaptive + max(0, design.clean - sum(is_clean(design, range(design.adaptive))))


def is_clean(design: Design, numbers: Iterable[int]) -> list[bool]:
    """Whether the trials with these numbers have ratio 1."""
    cells = len(design.sides) * len(design.radii) * len(design.conditions)
    return [n >= design.adaptive or n // cells % CHANCE_EVERY == 1 for n in numbers]


def trial_of_row(row: Mapping[Any, Any]) -> Trial:
    """A row of an adaptive run's ``trials.csv`` -> its trial."""
    number, condition = int(row["trial"]), condition_of_row(row)
    photo, side, ratio = row["photo"], row["side"], row["discolor_ratio"]
    return Trial(number, photo, side, ratio, row["r"], condition, number)
