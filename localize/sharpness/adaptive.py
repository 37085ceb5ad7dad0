"""Fewer trials: each block is asked at the step whose answers are expected to tell most.

A posterior over thresholds, slopes and lapse rates is kept; the next step is the one that is
expected to leave the least entropy of the threshold. Each side has steps of its own, for a method
may see one and not the other. A block has one trial of every radius and condition, all at the same
step: so no cut of a side's trials is confounded with the step.

Source: Watson and Pelli, Perception & Psychophysics 33 (1983), QUEST; Kontsevich and Tyler,
Vision Research 39 (1999), the expected entropy; Prins, Journal of Vision 13(7):3 (2013), entropy
of the threshold alone.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from localize.sharpness.design import Design, Side, Trial, Turns, log_grid, of_row, on_side
from localize.sharpness.psychometric import shape

FINE = 24  # steps to choose from, between the smallest and the largest ratio
REST = 8  # every so many blocks is asked at ratio 1, from the second on
MARGIN = 1.0  # natural logs of a step that the threshold may lie outside


class Posterior:
    """What the answers so far say.

    Args:
        levels: (L,) steps |log ratio| to choose from, rising.
        guess: hit rate without a step, at the start.
    """

    def __init__(self, levels: np.ndarray, guess: float = 0.02) -> None:
        self.levels = np.asarray(levels, float)
        low, high = np.log(self.levels[[0, -1]])
        self._middles = np.linspace(low - MARGIN, high + MARGIN, 61)
        grid = product(self._middles, np.geomspace(0.8, 8, 9), (0.0, 0.025, 0.05))
        middle, slope, self._lapse = np.array(list(grid)).T
        self._value = shape(slope * (np.log(self.levels)[:, None] - middle), "weibull")[0]
        self._answers = np.zeros((2, len(self.levels)))  # misses, hits
        self._still = np.array([1 - guess, guess])  # misses, hits at ratio 1, and one trial's worth

    def add(self, level: int | None, hits: int, misses: int) -> None:
        """Answers at a level, by its index, or at ratio 1 (None)."""
        if level is None:
            self._still += (misses, hits)
        else:
            self._answers[:, level] += (misses, hits)

    def _rates(self) -> np.ndarray:
        guess = min(0.9, self._still[1] / self._still.sum())
        rates = guess + (1 - guess - self._lapse) * self._value
        return np.clip(rates, 1e-6, 1 - 1e-6)

    def _weights(self, rates: np.ndarray) -> np.ndarray:
        misses, hits = self._answers
        logs = hits @ np.log(rates) + misses @ np.log1p(-rates)
        weights = np.exp(logs - logs.max())
        total: np.ndarray = weights / weights.sum()
        return total

    def choose(self) -> int:
        """The index of the level that is expected to tell most of the threshold."""
        rates = self._rates()
        weights = self._weights(rates)
        expected = np.zeros(len(self.levels))
        for chance in (rates, 1 - rates):
            joint = weights * chance
            total = joint.sum(1)
            of_middle = (joint / total[:, None]).reshape(len(joint), len(self._middles), -1).sum(2)
            expected -= total * (of_middle * np.log(of_middle + 1e-300)).sum(1)
        return int(expected.argmin())


def trials(design: Design, names: Sequence[str]) -> Generator[list[Trial], list[bool], None]:
    """One method's blocks of trials; send the hits of each to get the next."""
    ratios = log_grid(design.ratios[0], design.ratios[-1], FINE)
    posteriors = {side: Posterior(np.log(ratios)) for side in design.sides}
    order = Turns(names, design.seed)
    cells = list(product(design.sides, design.radii, design.conditions))
    number = block = 0
    while number < design.adaptive:
        asked = cells[: design.adaptive - number]
        rest = block % REST == 1
        levels = {} if rest else {side: each.choose() for side, each in posteriors.items()}
        batch = []
        for (side, r, condition), photo in zip(asked, order.take(len(asked)), strict=True):
            here: Side = "none" if rest else side
            ratio = on_side(1.0 if rest else ratios[levels[side]], here)
            batch.append(Trial(number, photo, here, ratio, r, condition, number))
            number += 1
        hits = yield batch
        for side, posterior in posteriors.items():
            own = [h for h, cell in zip(hits, asked, strict=True) if rest or cell[0] == side]
            posterior.add(levels.get(side), sum(own), len(own) - sum(own))
        block += 1


def again(row: Mapping[Any, Any]) -> Trial:
    """A row of an adaptive run's ``trials.csv`` -> its trial."""
    number = int(row["trial"])
    return Trial(
        number, row["photo"], row["side"], row["discolor_ratio"], row["r"], of_row(row), number
    )
