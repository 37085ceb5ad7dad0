"""A folder that ``localize sharpness`` wrote: quantities of its trials."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import by_ratio, tables
from localize.gate import false_calls, quantities
from localize.gate.estimate import Estimate
from localize.gate.pod_run import COLUMNS, no_limit
from localize.gate.quantities import FALSE_CALLS, HIT_RATE, SIZES, THRESHOLD
from localize.gate.requirement import DETECTED, PLACE, Requirement
from localize.sharpness import thresholds
from localize.sharpness.pod import analysis
from localize.sharpness.pod.options import PodOptions
from localize.sharpness.pod.results import PodResult
from localize.sharpness.pod.table import Inspection
from localize.sharpness.pod.trials import Trials
from localize.sharpness.pod.units import Unit
from localize.sharpness.psychometric import Curve
from localize.sharpness.trial_calls import ANSWERS, trials_of_answer
from synth.errors import InputError
from synth.number_kinds import FINITE, PIXELS, POSITIVE, SHARE, SIZE

TEXTS = ("method", "photo", "side", "shape", "overflow", "rounding", "codec")
NEEDED = ("method", "photo", "side", "r", "discolor_ratio", "hit")
NUMBERS = {
    "trial": FINITE,
    "discolor_ratio": replace(POSITIVE, empty=False),
    "hit": replace(SHARE, empty=False),
    **dict.fromkeys(("detected", "call"), SHARE),
    **dict.fromkeys(("r", "feather", "width", "height"), SIZE),
    **dict.fromkeys(("x", "y"), PIXELS),
    **dict.fromkeys(("quality", "brightness"), FINITE),
}
TOLERANCE = 0.0005  # a ratio or radius of a requirement may differ so much from that of a trial
Part = tuple[str, str, str, float | None]  # method, answer, side, radius


@dataclass(frozen=True, eq=False)
class SharpnessRun:
    """A sharpness measurement.

    Args:
        trials: ``trials.csv``.
        analyses: the POD analyses made so far, by part of the trials; a text says why there is
            none.
    """

    folder: Path
    record: dict[str, Any]
    trials: pd.DataFrame
    kind: str = "sharpness"
    analyses: dict[Part, PodResult | str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> SharpnessRun:
        """A folder -> its run.

        Raises:
            InputError: a file is damaged or missing.
        """
        record = tables.read_record(folder / "sharpness.json")
        path = folder / "trials.csv"
        if not path.is_file():
            raise InputError(f"{path} is missing: make it again")
        return cls(folder, record, tables.read(path, NEEDED, TEXTS, NUMBERS))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods in the order of the table."""
        return tuple(dict.fromkeys(self.trials["method"]))

    @property
    def curve(self) -> Curve:
        """The form of the psychometric curve."""
        curve: Curve = "logistic" if self.record.get("curve") == "logistic" else "weibull"
        return curve

    @property
    def default_answer(self) -> str:
        """What counts as a hit unless a requirement says it."""
        return DETECTED if DETECTED in self.trials else PLACE

    @property
    def sides(self) -> list[str]:
        """The sides on which sizes can be estimated; both only if their steps are the same."""
        return thresholds.sides(self.trials, self.record.get("mode") != "adaptive")

    def estimate(self, requirement: Requirement, method: str) -> Estimate:
        """The quantity of a requirement for a method.

        Raises:
            InputError: the requirement does not fit the run.
        """
        if requirement.quantity == FALSE_CALLS:
            quantities.check_words(requirement, "end")
            return false_calls.estimate(self.folder, requirement, method)
        self._check(requirement)
        if requirement.quantity == HIT_RATE:
            return self._hit_rate(requirement, method)
        answer, r = requirement.answer or self.default_answer, _number(requirement.r)
        own = self.own_trials(method, answer, r)
        if not len(own):
            return Estimate(math.nan, reason=self.why_no_answers(method), answer=answer)
        if requirement.quantity == THRESHOLD:
            estimate = self._threshold(own, requirement.side, self.guess(answer))
        else:
            estimate = self._size(requirement, (method, answer, requirement.side, r))
        return replace(estimate, answer=answer)

    def own_trials(self, method: str, answer: str, r: float | None = None) -> pd.DataFrame:
        """The trials of a method, with a kind of answer as the column ``hit``."""
        own = trials_of_answer(self.trials[self.trials["method"] == method], answer)
        return own if r is None else own[(own["r"] - r).abs() <= TOLERANCE]

    def guess(self, answer: str) -> float:
        """The guess rate of methods without trials at ratio 1."""
        return thresholds.default_guess(self.trials) if answer == PLACE else 0.0

    def why_no_answers(self, method: str) -> str:
        """Why a method has no trial with a call."""
        reason = false_calls.reason(self.folder, method)
        return f"no trial has a call{reason and f' ({reason})'}"

    def analysis(self, method: str, answer: str, side: str, r: float | None) -> PodResult | str:
        """The POD analysis of a part of the trials, or why there is none."""
        part = method, answer, side, r
        if part not in self.analyses:
            own = thresholds.trials_of_side(self.own_trials(method, answer, r), side)
            try:
                self.analyses[part] = analysis.analyse(inspection(own, side), PodOptions())
            except InputError as error:  # hits and misses that determine no curve
                self.analyses[part] = str(error)
        return self.analyses[part]

    def _threshold(self, own: pd.DataFrame, side: str, guess: float) -> Estimate:
        trials = thresholds.trials_of_side(own, side)
        row = thresholds.fit_threshold(trials, side, self.curve, guess)
        names = ("threshold", "threshold_low", "threshold_high")
        value, low, high = (float(row.get(name, math.nan)) for name in names)
        return Estimate(value, low, high, f"{len(trials)} trials", row["verdict"])

    def _size(self, requirement: Requirement, part: Part) -> Estimate:
        own = thresholds.trials_of_side(self.own_trials(part[0], part[1], part[3]), part[2])
        basis = f"{len(own)} trials"
        result = self.analysis(*part)
        if isinstance(result, str):
            return Estimate(math.nan, basis=basis, reason=result)
        row = result.chosen
        size = float(row[COLUMNS[requirement.quantity]])
        if math.isinf(size):
            reason = no_limit(row.to_dict())
            return Estimate(math.nan, basis=basis, reason=reason, notes=result.warnings)
        value = Unit("", requirement.side).ratio(size)
        return Estimate(value, basis=basis, reason=str(row["verdict"]), notes=result.warnings)

    def _hit_rate(self, requirement: Requirement, method: str) -> Estimate:
        answer = requirement.answer or self.default_answer
        own = self.own_trials(method, answer, _number(requirement.r))
        if not len(own):
            return Estimate(math.nan, reason=self.why_no_answers(method), answer=answer)
        of_side = self.trials[self.trials["side"] == requirement.side]
        ratio = _number(requirement.at)
        assert ratio is not None
        if not _is_near(of_side["discolor_ratio"], ratio):
            raise InputError(
                f"'{requirement}': {self.folder} has no {requirement.side} trial at this ratio: "
                f"{requirement.side} ratios are {_list(of_side['discolor_ratio'])}"
            )
        near = (own["discolor_ratio"] - ratio).abs() <= TOLERANCE
        trials = own[near & (own["side"] == requirement.side)]
        hits = trials["hit"].to_numpy(float)
        if not len(hits):
            return Estimate(math.nan, reason="no trial is at this ratio", answer=answer)
        low, high = by_ratio.rate_interval(hits, trials["photo"].tolist())
        return Estimate(float(hits.mean()), low, high, f"{len(hits)} trials", "", answer)

    def _check(self, requirement: Requirement) -> None:
        """Checks the qualifiers of a quantity of trials."""
        name = requirement.quantity
        is_size = name in SIZES
        more = {HIT_RATE: ("at", "end"), THRESHOLD: ("end",)}.get(name, ())
        quantities.check_words(requirement, "answer", "side", "r", *more)
        sides = [side for side in self.sides if is_size or side != "both"]
        if requirement.side not in sides:
            there = ", ".join(sides)
            if not requirement.side:
                raise InputError(f"'{requirement}': the side is missing: write one of {there}")
            raise InputError(
                f"'{requirement}': {name} of {self.folder} has no side {requirement.side}: write "
                f"one of {there}, or run localize sharpness with --sides both"
            )
        if name == HIT_RATE and requirement.at is None:
            raise InputError(f"'{requirement}': the ratio is missing: write hit-rate at RATIO")
        column = ANSWERS[requirement.answer or PLACE]
        if column not in self.trials:
            raise InputError(
                f"'{requirement}': {self.folder / 'trials.csv'} has no column {column}: run "
                "localize sharpness with --false-calls RATE"
            )
        r = _number(requirement.r)
        if r is not None and not _is_near(self.trials["r"], r):
            raise InputError(
                f"'{requirement}': {self.folder} has no trials with this radius: radii are "
                f"{_list(self.trials['r'])}"
            )
        if is_size:
            quantities.check_direction(requirement, requirement.side == "darker")


def inspection(trials: pd.DataFrame, side: str) -> Inspection:
    """Trials of one method and side -> the same as ``localize pod`` reads them."""
    groups = np.unique(trials["photo"].to_numpy(str), return_inverse=True)[1]
    targets = np.arange(len(trials))
    hits = trials["hit"].to_numpy(float).astype(int)
    brightness = trials["brightness"].mean() if "brightness" in trials else math.nan
    return Inspection(
        Trials(thresholds.steps(trials["discolor_ratio"]), hits, targets, groups),
        None, Unit("|log ratio|", side, float(brightness)), "photo", (),
    )  # fmt: skip


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _is_near(values: pd.Series, value: float) -> bool:
    return bool(((values - value).abs() <= TOLERANCE).any())


def _list(values: pd.Series) -> str:
    """Different values in ascending order, shortened."""
    texts = [f"{value:.6g}" for value in sorted(set(values))]
    return ", ".join(texts if len(texts) <= 24 else [*texts[:12], "…", *texts[-12:]])
