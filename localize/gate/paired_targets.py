"""Two POD analyses of the same targets: how many times as large the a90 of one is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from localize.evaluation import metrics, tables
from localize.gate.estimate import Estimate
from localize.gate.paired_trials import quotient
from localize.gate.pod_run import PodRun
from localize.gate.quantities import A90, HIT_RATE
from localize.sharpness.pod import analysis, resampling, signal
from localize.sharpness.pod.analysis import TARGETS
from localize.sharpness.pod.checks import MIN_GROUPS
from localize.sharpness.pod.table import Inspection
from localize.sharpness.pod.trials import Trials
from localize.sharpness.pod.units import Unit
from synth import number_kinds
from synth.errors import InputError

FINITE = replace(number_kinds.FINITE, empty=False)
NUMBERS = {
    "target": FINITE,
    "size": replace(number_kinds.ABOVE_ZERO, empty=False),
    "hit": replace(number_kinds.SHARE, empty=False),
}
ADVICE = (
    "only analyses of the same targets, in the same order, can be compared; otherwise give each "
    "its own limit with --require"
)


@dataclass(frozen=True, eq=False)
class Analysis:
    """An analysis that can be repeated on bootstrap samples of the groups.

    Args:
        table: ``targets.csv``.
        group: (N,) numbers of the groups, the same in both analyses.
    """

    run: PodRun
    table: pd.DataFrame
    group: np.ndarray

    @property
    def trials(self) -> Trials:
        """The trials."""
        hits = self.table["hit"].to_numpy(int)
        return Trials(
            self.table["size"].to_numpy(float), hits, self.table["target"].to_numpy(int), self.group
        )

    def a90(self, weights: np.ndarray) -> np.ndarray:
        """(B, G) weights of the groups -> (B,) a90 of the chosen model; inf for none."""
        trials, row = self.trials, self.run.chosen
        model, link, scale = (str(row[name]) for name in ("model", "link", "scale"))
        if "signal" not in self.table:
            return resampling.a90_of_hits(trials, weights, model, link, scale)
        values = self.table["signal"].to_numpy(float)
        options = self.run.signal_options
        inspection = Inspection(trials, values, Unit("size"), "target", ())
        data, decision = analysis.signals_of(inspection, options)
        of_target = weights[:, self.group[trials.size > 0]]
        return signal.a90_of_signals(data[scale], of_target, decision, scale)

    def hits_by_group(self) -> np.ndarray:
        """(2, G) hits and trials on targets, by group."""
        on_target = (self.table["size"] > 0).to_numpy()
        count = int(self.group.max()) + 1
        group, hit = self.group[on_target], self.table["hit"].to_numpy(float)[on_target]
        return np.array(
            [np.bincount(group, hit, minlength=count), np.bincount(group, minlength=count)]
        )


def compare(run: PodRun, baseline: PodRun) -> tuple[dict[str, Estimate], list[str]]:
    """Quantity -> the difference from the baseline; and what is not compared, with why.

    For ``a90`` it is the size as a multiple of the baseline's, for ``hit-rate`` the share of hits
    on all targets less that of the baseline. The intervals are over bootstrap samples of the groups
    (photos, or single targets where there are no groups), the same samples for both; each analysis
    keeps the model that it chose.

    Raises:
        InputError: the targets of the two are not the same.
    """
    one, other = _read(run), _read(baseline)
    if difference := _difference(run, one, baseline, other):
        raise InputError(
            f"{run.folder} and {baseline.folder} cannot be compared, {difference}: {ADVICE}"
        )
    groups = sorted(set(one["group"]))
    own, its = (
        Analysis(each, table, np.searchsorted(groups, table["group"].to_numpy(str)))
        for each, table in ((run, one), (baseline, other))
    )
    name = str(run.record.get("group") or "target")
    notes = (f"the bootstrap has only {len(groups)} groups ({name}), so that its intervals are too "
             f"narrow: analyse targets of at least {MIN_GROUPS}",
             ) if len(groups) < MIN_GROUPS else ()  # fmt: skip
    count = one.loc[one["size"] > 0, "target"].nunique()
    basis = f"{count} targets, {len(groups)} groups ({name})"
    side = str(run.record["side"])
    a90_name, rate_name = (" ".join(filter(None, (each, side))) for each in (A90, HIT_RATE))
    estimates, missing = {rate_name: _hit_difference(own, its)}, []
    if verdict := str(baseline.chosen["verdict"]):
        missing.append(f"{a90_name} is not compared: the baseline has none ({verdict})")
    else:
        estimates = {a90_name: _a90_quotient(own, its)} | estimates
    return {
        what: replace(each, basis=basis, notes=notes) for what, each in estimates.items()
    }, missing


def _read(run: PodRun) -> pd.DataFrame:
    """The targets of a run, in ascending order.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = run.folder / TARGETS
    if not path.is_file():
        raise InputError(f"{path} is missing: make the folder again with localize pod")
    numbers = {**NUMBERS, "signal": FINITE}
    table = tables.read(path, [*NUMBERS, "group"], ["group"], numbers)
    if not len(table):
        raise InputError(f"{path} has no rows: make the folder again with localize pod")
    return table.sort_values("target", kind="stable", ignore_index=True)


def _difference(run: PodRun, one: pd.DataFrame, baseline: PodRun, other: pd.DataFrame) -> str:
    """In what the targets of two analyses differ, or ""."""
    for word, name in (("side", "side"), ("group", "group")):
        values = [str(each.record.get(name) or "none") for each in (run, baseline)]
        if values[0] != values[1]:
            return f"the {word} is {values[0]} and {values[1]}"
    parts = [" and ".join(each.parts) or "all rows" for each in (run, baseline)]
    if parts[0] != parts[1]:
        return f"they are of {parts[0]} and of {parts[1]}"
    first, second = (table.drop_duplicates("target", ignore_index=True) for table in (one, other))
    if len(first) != len(second):
        return f"they have {len(first)} and {len(second)} targets"
    for name in ("target", "size", "group"):
        unequal = (first[name] != second[name]).to_numpy()
        if unequal.any():
            values = [str(table[name][unequal].iloc[0]) for table in (first, second)]
            return f"{name} {first['target'][unequal].iloc[0]:.0f} {values[0]} and {values[1]}"
    return ""


def _a90_quotient(own: Analysis, its: Analysis) -> Estimate:
    """The a90 as a multiple of the baseline's."""
    if verdict := str(own.run.chosen["verdict"]):
        return Estimate(math.nan, reason=f"there is no a90 ({verdict})")
    size, its_size = (float(each.run.chosen["a90"]) for each in (own, its))
    count = int(own.group.max()) + 1
    if count < 2:
        return Estimate(size / its_size)
    samples: list[list[np.ndarray]] = [[], []]
    for weights in metrics.resamples(count, draws=resampling.DRAWS, row_size=len(own.table)):
        for each, values in zip((own, its), samples, strict=True):
            values.append(each.a90(weights))
    return quotient(size, its_size, *map(np.concatenate, samples))


def _hit_difference(own: Analysis, its: Analysis) -> Estimate:
    """The share of hits on targets less that of the baseline."""
    counts = np.array([each.hits_by_group() for each in (own, its)])
    rates = counts.sum(axis=2)
    value = float(np.subtract(*(rates[:, 0] / rates[:, 1])))
    groups = counts.shape[2]
    if groups < 2:
        return Estimate(value)
    samples = []
    for weights in metrics.resamples(groups, draws=resampling.DRAWS):
        hits, n = np.moveaxis(counts @ weights.T, 1, 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            samples.append(np.subtract(*(hits / n)))
    return Estimate(value, *metrics.interval(np.concatenate(samples)))
