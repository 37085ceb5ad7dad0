"""Whether populations of targets may be pooled: separate curves against one common curve.

Source: MIL-HDBK-1823A (2009), section 4.5.2 and appendix G; Berens, ASM Handbook 17 (1989).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from localize.sharpness.pod.models import (
    GUESS_AND_LAPSE,
    SIGNIFICANT,
    Model,
    describe,
    with_bounds,
)
from localize.sharpness.pod.trials import Trials, count
from synth.errors import InputError

MAX_PARTS = 50
SEPARATED = "hits and misses do not overlap"
ONE_KIND = "only hits or only misses"


@dataclass(frozen=True)
class Pooling:
    """The likelihood-ratio test, and a row for each part.

    Args:
        statistic: the deviance of the common curve less those of the separate curves.
        degrees: the number of further parameters.
    """

    column: str
    statistic: float
    degrees: int
    p: float
    rows: list[dict[str, Any]]

    @property
    def spread(self) -> float:
        """The largest of the separate a50 or a90 divided by the smallest; 1 if there are none."""
        factors = [1.0]
        for name in ("a50", "a90"):
            sizes = [row[name] for row in self.rows if math.isfinite(row[name]) and row[name] > 0]
            if sizes:
                factors.append(max(sizes) / min(sizes))
        return max(factors)

    @property
    def differs(self) -> bool:
        """Whether the parts differ significantly, so that they should not be pooled."""
        return self.p < SIGNIFICANT


def pool(trials: Trials, column: str, model: Model) -> Pooling:
    """Tests whether the parts of the trials have the same curve, with the chosen link and scale.

    Args:
        column: name of the column with the parts.

    Raises:
        InputError: there is only one part, or too many.
    """
    assert trials.part is not None
    targets = trials.on_targets
    assert targets.part is not None
    labels = list(dict.fromkeys(targets.part.tolist()))
    if not 1 < len(labels) <= MAX_PARTS:
        raise InputError(
            f"--by {column} makes {len(labels)} part{'s' * (len(labels) != 1)}: name a column with "
            f"2 to {MAX_PARTS} different values"
        )
    extended = model.model == GUESS_AND_LAPSE
    rows, separate = [], 0.0
    for label in labels:
        # Blanks have no part in some tables; then all of them measure the guess rate.
        own = targets.select(targets.part == label)
        blanks = trials.on_blanks
        if blanks.part is not None and (blanks.part == label).any():
            blanks = blanks.select(blanks.part == label)
        row, deviance = _fit_part(_concatenate(own, blanks), model, extended)
        separate += deviance
        rows.append({"part": label, "targets": own.targets, "trials": len(own.hit)} | row)
    statistic = max(model.deviance - separate, 0.0)
    degrees = (3 if extended else 2) * (len(labels) - 1)
    return Pooling(column, statistic, degrees, float(stats.chi2.sf(statistic, degrees)), rows)


def _concatenate(one: Trials, other: Trials) -> Trials:
    """The trials of both."""
    names = ("size", "hit", "target", "group")
    return Trials(*(np.concatenate([getattr(one, n), getattr(other, n)]) for n in names))


def _fit_part(trials: Trials, model: Model, extended: bool) -> tuple[dict[str, Any], float]:
    """The row of a part and its deviance."""
    targets = trials.on_targets
    row: dict[str, Any] = {"hits": int(targets.hit.sum())}
    counts = count(trials)
    own = describe(counts, model.link, model.scale, extended)
    fault = separation(targets)
    if fault:
        empty = dict.fromkeys(("intercept", "slope", "a50", "a90", "a90_95"), math.nan)
        return row | {"deviance": own.deviance} | empty | {"verdict": fault}, own.deviance
    own = with_bounds(counts, own)
    names = ("deviance", "intercept", "slope", "a50", "a90", "a90_95", "verdict")
    return row | {name: getattr(own, name) for name in names}, own.deviance


def separation(targets: Trials) -> str:
    """Why the hits and misses on targets have no finite maximum of the likelihood, or ""."""
    hits, misses = targets.size[targets.hit == 1], targets.size[targets.hit == 0]
    if not len(hits) or not len(misses):
        return ONE_KIND
    if misses.max() <= hits.min() or hits.max() <= misses.min():
        return SEPARATED
    return ""
