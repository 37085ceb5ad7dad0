"""Whether populations of targets may be pooled: separate curves or lines against a common one.

Source: MIL-HDBK-1823A (2009), section 4.5.2 and appendix G; Berens, ASM Handbook 17 (1989);
Bartlett, Proceedings of the Royal Society A 160 (1937), for the test of few signals.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special, stats

from localize.sharpness.pod import limits, signal
from localize.sharpness.pod.models import (
    GUESS_AND_LAPSE,
    SIGNIFICANT,
    Model,
    describe,
    with_bounds,
)
from localize.sharpness.pod.signal import SignalModel
from localize.sharpness.pod.tobit import Signals
from localize.sharpness.pod.trials import Trials, count
from synth.errors import InputError

MAX_PARTS = 50
MIN_SIGNALS = 5  # of a part, not censored; a line through fewer says too little about its noise
SEPARATED = "hits and misses do not overlap"
ONE_KIND = "only hits or only misses"
TOO_FEW = "too few signals"
_SIGNAL_NUMBERS = (
    "deviance", "intercept", "slope", "line_intercept", "line_slope", "noise", "a50", "a90",
    "a90_95",
)  # fmt: skip


@dataclass(frozen=True)
class Pooling:
    """The likelihood-ratio test, and a row for each part.

    Args:
        statistic: the deviance of the common curve less those of the separate curves; of signals,
            multiplied by Bartlett's factor.
        degrees: the number of further parameters.
        spread: the largest of the separate a50 or a90 divided by the smallest; 1 if there are none.
    """

    column: str
    statistic: float
    degrees: int
    p: float
    rows: list[dict[str, Any]]
    spread: float

    @classmethod
    def of(
        cls, column: str, statistic: float, degrees: int, rows: list[dict[str, Any]], largest: float
    ) -> Pooling:
        """The test of a statistic.

        Args:
            rows: with all sizes, which are left out if they are far above the largest target.
        """
        return cls(
            column, statistic, degrees, float(stats.chi2.sf(statistic, degrees)),
            [row | limits.cap(row, largest) for row in rows], _spread(rows),
        )  # fmt: skip

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
    labels = _labels(targets, column)
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
    return Pooling.of(column, statistic, degrees, rows, float(targets.size.max()))


def pool_signals(
    targets: Trials, data: Signals, column: str, model: SignalModel, decision: float
) -> Pooling:
    """Tests whether the parts have the same line and the same noise, on the chosen scale.

    Parts with fewer than ``MIN_SIGNALS`` signals that are not censored are left out of the test;
    their rows say so.

    Args:
        targets: the trials of the signals, with their parts.
        data: sizes and signals on their scales.
        decision: the decision value, on the scale of the signals.

    Raises:
        InputError: fewer than two parts can be tested, or there are too many.
    """
    assert targets.part is not None
    rows, separate, uncensored = [], 0.0, []
    tested = np.zeros(len(data.s), bool)
    for label in _labels(targets, column):
        inside = targets.part == label
        own = targets.select(inside)
        row = {"part": label, "targets": own.targets, "trials": len(own.hit),
               "hits": int(own.hit.sum())}  # fmt: skip
        signals = data.select(inside)
        if signals.exact.sum() < MIN_SIGNALS or not np.ptp(signals.s[signals.exact]):
            empty = dict.fromkeys(_SIGNAL_NUMBERS, math.nan)
            rows.append(row | empty | {"verdict": TOO_FEW, "far": 0})
            continue
        line = signal.fit(signals, decision, model.scale, model.signal_scale)
        names = (*_SIGNAL_NUMBERS, "verdict", "far")
        rows.append(row | {name: getattr(line, name) for name in names})
        tested |= inside
        separate += line.deviance
        uncensored.append(int(signals.exact.sum()))
    if len(uncensored) < 2:
        raise InputError(
            f"--by {column}: {len(uncensored)} part{'s' * (len(uncensored) != 1)} with signals of "
            f"different sizes, at least {MIN_SIGNALS} of them not censored: add targets to the "
            "other parts, or leave --by out"
        )
    common = signal.fit(data.select(tested), decision, model.scale, model.signal_scale)
    degrees = 3 * (len(uncensored) - 1)
    statistic = max(common.deviance - separate, 0.0) * degrees / expected_statistic(uncensored)
    return Pooling.of(column, statistic, degrees, rows, float(targets.size.max()))


def _spread(rows: list[dict[str, Any]]) -> float:
    factors = [1.0]
    for name in ("a50", "a90"):
        sizes = [row[name] for row in rows if math.isfinite(row[name]) and row[name] > 0]
        if sizes:
            factors.append(max(sizes) / min(sizes))
    return max(factors)


def expected_statistic(uncensored: list[int]) -> float:
    """The mean of the likelihood ratio if all parts have the same line, for signals by part.

    It is exact for least squares without censoring: the sum of n squared residuals of a line, in
    units of the variance, is chi-square with n - 2 degrees of freedom. The chi-square distribution
    of the likelihood ratio has a smaller mean, by far with few signals.
    """
    n = np.array([sum(uncensored), *uncensored], float)
    log_noise = special.psi((n - 2) / 2) + np.log(2 / n)  # mean of the log of the fitted variance
    return float(n[0] * log_noise[0] - n[1:] @ log_noise[1:])


def _labels(targets: Trials, column: str) -> list[Any]:
    """The labels of the parts, in the order of the table.

    Raises:
        InputError: there is only one, or too many.
    """
    assert targets.part is not None
    labels = list(dict.fromkeys(targets.part.tolist()))
    if not 1 < len(labels) <= MAX_PARTS:
        raise InputError(
            f"--by {column} makes {len(labels)} part{'s' * (len(labels) != 1)}: name a column with "
            f"2 to {MAX_PARTS} different values"
        )
    return labels


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
        empty: dict[str, Any] = dict.fromkeys(
            ("intercept", "slope", "a50", "a90", "a90_95"), math.nan
        )
        empty |= {"verdict": fault, "far": 0}
        return row | {"deviance": own.deviance} | empty, own.deviance
    own = with_bounds(counts, own)
    names = ("deviance", "intercept", "slope", "a50", "a90", "a90_95", "verdict", "far")
    return row | {name: getattr(own, name) for name in names}, own.deviance


def separation(targets: Trials) -> str:
    """Why the hits and misses on targets have no finite maximum of the likelihood, or ""."""
    hits, misses = targets.size[targets.hit == 1], targets.size[targets.hit == 0]
    if not len(hits) or not len(misses):
        return ONE_KIND
    if misses.max() <= hits.min() or hits.max() <= misses.min():
        return SEPARATED
    return ""
