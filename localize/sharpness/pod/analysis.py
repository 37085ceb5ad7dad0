"""Reads a table of an inspection, fits the models and writes the result folder."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import provenance, tables
from localize.sharpness.pod import checks, limits, models, pooling, record, resampling, signal
from localize.sharpness.pod import table as pod_table
from localize.sharpness.pod.models import SCALES, Model
from localize.sharpness.pod.options import PodOptions
from localize.sharpness.pod.record import Fitted
from localize.sharpness.pod.results import PodResult
from localize.sharpness.pod.signal import SignalModel
from localize.sharpness.pod.table import Inspection
from localize.sharpness.pod.tobit import Signals
from localize.sharpness.pod.trials import count
from synth import folders
from synth.console import Progress, ProgressFactory, no_progress
from synth.errors import InputError
from synth.paths import path_of

ABOUT = "pod.json"  # the record, in every result folder
MARKER = folders.Marker(ABOUT, lambda about: about.keys() >= {"options", "result", "versions"})
CURVE_POINTS = 241
TARGETS = "targets.csv"  # in every result folder


def measure(
    table: str | Path,
    out: str | Path,
    options: PodOptions | None = None,
    *,
    overwrite: bool = False,
    step: ProgressFactory = no_progress,
) -> PodResult:
    """Estimates the probability of detection by size from a CSV file; writes tables and a report.

    Raises:
        InputError: the table or the options cannot be used; nothing is written.
    """
    options = options or PodOptions()
    path, out = path_of(table), path_of(out)
    folders.check(out, MARKER, overwrite, [path])
    inspection = pod_table.read(path, options)
    with step("bootstrap") as progress:
        result = analyse(inspection, options, progress)
    about = {"table": path.name} | result.about | {"versions": provenance.versions()}
    with folders.stage(out, MARKER, reads=[path], overwrite=overwrite) as building:
        result = replace(result, about=about, folder=building)
        _write(result, inspection, options)
    return replace(result, folder=out)


def analyse(
    inspection: Inspection, options: PodOptions, progress: Progress = lambda done, total: None
) -> PodResult:
    """An inspection -> its models, bounds and warnings.

    Raises:
        InputError: the answers do not determine a curve.
    """
    fitted = (
        _fit_hits(inspection, options, progress)
        if inspection.signal is None
        else _fit_signal(inspection, options, progress)
    )
    targets = inspection.trials.on_targets
    warnings = checks.warnings(
        targets, fitted.chosen, inspection.unit, inspection.group, fitted.pooling
    )
    curve = _curve(inspection, fitted.chosen)
    table = pd.DataFrame([record.row(model, fitted, inspection) for model in fitted.models])
    parts = pd.DataFrame(fitted.pooling.rows if fitted.pooling else [])
    about = record.describe(inspection, options, fitted, warnings)
    return PodResult(table, curve, parts, tuple(warnings), about)


def _fit_hits(inspection: Inspection, options: PodOptions, progress: Progress) -> Fitted:
    trials, unit = inspection.trials, inspection.unit
    targets = trials.on_targets
    checks.refuse_unusable(targets, unit)
    all_models, comparison = models.all_models(
        count(trials), options.link, options.scale, options.model
    )
    chosen = next(model for model in all_models if model.chosen)
    checks.refuse_falling(chosen, targets, unit)
    pooled = pooling.pool(trials, options.by, chosen) if options.by else None
    largest = float(targets.size.max())
    all_models = [replace(each, **limits.cap(vars(each), largest)) for each in all_models]
    chosen = next(model for model in all_models if model.chosen)
    bounds = None
    if inspection.group and trials.groups > 1 and not chosen.verdict:
        bounds = resampling.of_hits(trials, chosen, progress=progress)
        bounds = replace(bounds, **limits.cap(vars(bounds), largest))
    return Fitted(all_models, chosen, comparison, pooled, bounds)


def _fit_signal(inspection: Inspection, options: PodOptions, progress: Progress) -> Fitted:
    data, decision = signals_of(inspection, options)
    targets = inspection.trials.on_targets
    largest = float(targets.size.max())
    fits = [signal.fit(data[scale], decision, scale, options.signal_scale) for scale in SCALES]
    allowed = [model for model in fits if options.scale in ("auto", model.scale)]
    best = min(allowed, key=lambda model: (bool(model.verdict), model.deviance))
    checks.refuse_falling(best, targets, inspection.unit)
    fits = [
        replace(model, chosen=model is best, **limits.cap(vars(model), largest)) for model in fits
    ]
    best = next(model for model in fits if model.chosen)
    pooled = None
    if options.by:
        pooled = pooling.pool_signals(targets, data[best.scale], options.by, best, decision)
    bounds = None
    if targets.groups > 1 and not best.verdict:
        # Also without groups: the delta method's bound holds a90 in only 92 % of simulations.
        bounds = signal.bootstrap(
            data[best.scale], targets.group, decision, best.scale, progress=progress
        )
        bounds = replace(bounds, **limits.cap(vars(bounds), largest))
    return Fitted(fits, best, None, pooled, bounds)


def signals_of(inspection: Inspection, options: PodOptions) -> tuple[dict[str, Signals], float]:
    """The signals of the targets by the scale of the size, and the decision value on their scale.

    Raises:
        InputError: they do not determine a line.
    """
    assert inspection.signal is not None
    assert options.decision is not None
    on_target = inspection.trials.size > 0
    size, values = inspection.trials.size[on_target], inspection.signal[on_target]
    if len(np.unique(size)) < checks.MIN_SIZES:
        raise InputError(
            f"the targets have {len(np.unique(size))} different sizes: add targets of others, at "
            f"least {checks.MIN_SIZES}"
        )
    logs = options.signal_scale == "log"
    if logs and values.min() <= 0:
        raise InputError(f"a signal is {values.min():g}: --signal-scale log needs signals above 0")
    forward = SCALES[options.signal_scale][0]
    with np.errstate(divide="ignore", invalid="ignore"):
        decision, high = forward(options.decision), forward(options.censored_above)
        low = -math.inf if options.censored_below <= 0 and logs else forward(options.censored_below)
    answers = forward(values)
    inside = answers[(answers > low) & (answers < high)]
    if len(np.unique(inside)) < checks.MIN_SIZES:
        raise InputError(
            f"{len(inside)} signals are not censored, with {len(np.unique(inside))} different "
            "values: add targets whose signals lie between the limits"
        )
    data = {
        scale: Signals(SCALES[scale][0](size), answers, float(low), float(high)) for scale in SCALES
    }
    return data, float(decision)


def _curve(inspection: Inspection, model: Model | SignalModel) -> pd.DataFrame:
    """The POD of the chosen model over the sizes of the targets and up to a90/95."""
    sizes = inspection.trials.on_targets.size
    low, high = float(sizes.min()), float(sizes.max())
    reached = [value for value in (model.a90, model.a90_95) if math.isfinite(value)]
    high = min(max([1.03 * high, *(1.1 * value for value in reached)]), 3 * high)
    if model.scale == "log" or inspection.unit.side:
        grid = np.geomspace(low / 1.1, high, CURVE_POINTS)
    else:
        grid = np.linspace(0.9 * low, high, CURVE_POINTS)
    if isinstance(model, SignalModel):
        bounds = model.band(grid)
    else:
        bounds = models.band(count(inspection.trials), model, grid)
    columns = {"size": grid, "pod": model.pod(grid), "pod_low": bounds[0], "pod_high": bounds[1]}
    if inspection.unit.side:
        columns["ratio"] = np.array([inspection.unit.ratio(each) for each in grid])
    return pd.DataFrame(columns)


def _targets(inspection: Inspection) -> pd.DataFrame:
    """``targets.csv``: a row per trial, with which this analysis can be compared with another."""
    trials, names = inspection.trials, np.array(inspection.group_names, object)
    columns: dict[str, Any] = {
        "target": trials.target, "size": trials.size,
        "group": names[trials.group] if len(names) else trials.group, "hit": trials.hit,
    }  # fmt: skip
    if inspection.signal is not None:
        columns["signal"] = inspection.signal
    return pd.DataFrame(columns)


def _write(result: PodResult, inspection: Inspection, options: PodOptions) -> None:
    """Writes the tables, the record, the figure and the report."""
    from localize.report import page, plots
    from localize.sharpness.pod import charts

    folder = result.folder
    assert folder is not None
    tables.write(result.models, folder / "pod.csv")
    tables.write(result.curve, folder / "curve.csv")
    tables.write(_targets(inspection), folder / TARGETS)
    if len(result.parts):
        tables.write(result.parts, folder / "parts.csv")
    folders.write(folder / ABOUT, json.dumps(result.about, indent=2) + "\n")
    plots.save(charts.pod_figure(result, inspection, options), folder / "pod")
    page.write(folder)
