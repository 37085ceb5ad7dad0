"""The rows of ``pod.csv`` and the record of an analysis, ``pod.json``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from localize.sharpness.pod import resampling
from localize.sharpness.pod.models import Comparison, Model
from localize.sharpness.pod.options import PodOptions
from localize.sharpness.pod.pooling import Pooling
from localize.sharpness.pod.resampling import Bounds
from localize.sharpness.pod.signal import SignalModel
from localize.sharpness.pod.table import Inspection
from localize.sharpness.pod.units import Unit

SIZES = ("a50", "a90", "a90_95", "a90_95_one_sided", "a90_95_larger")  # also shown as ratios
CLOSE = 2.0  # difference of deviances below which two models fit about equally well
DEFAULTS = (("link", "auto"), ("scale", "auto"), ("model", "auto"), ("signal-scale", "linear"))


@dataclass(frozen=True)
class Fitted:
    """What was fitted to a table.

    Args:
        comparison: of the handbook's models with guess and lapse; None for a signal.
        pooling: the test of pooling, if there are parts.
        bounds: by bootstrap, if there are groups.
    """

    models: Sequence[Model | SignalModel]
    chosen: Model | SignalModel
    comparison: Comparison | None
    pooling: Pooling | None
    bounds: resampling.Bounds | None


def row(model: Model | SignalModel, fitted: Fitted, inspection: Inspection) -> dict[str, Any]:
    """The row of ``pod.csv``; only the chosen model has bounds by bootstrap."""
    numbers = model.as_row()
    bounds = (fitted.bounds if model.chosen else None) or Bounds(math.nan, math.nan)
    numbers["a90_95_bootstrap"] = bounds.a90_95
    numbers["a90_95_one_sided_bootstrap"] = bounds.a90_95_one_sided
    numbers["a90_95_larger"] = float(np.fmax(model.a90_95, bounds.a90_95))
    numbers["far"] = max(model.far, bounds.far)
    return numbers | inspection.unit.columns({name: numbers[name] for name in SIZES})


def describe(
    inspection: Inspection, options: PodOptions, fitted: Fitted, warnings: Sequence[str]
) -> dict[str, Any]:
    """The record of the analysis, for the report and for programs that read the folder."""
    trials, unit, chosen = inspection.trials, inspection.unit, fitted.chosen
    targets, blanks = trials.on_targets, trials.on_blanks
    numbers = row(chosen, fitted, inspection)
    basis = "delta method" if isinstance(chosen, SignalModel) else "likelihood ratio"
    if numbers["a90_95_bootstrap"] > numbers["a90_95"]:
        basis = "bootstrap"
    pooled = fitted.pooling
    return {
        "kind": "hits" if inspection.signal is None else "signal",
        "size": unit.label,
        "side": unit.side,
        "group": inspection.group,
        "groups": targets.groups,
        "targets": targets.targets,
        "trials": len(targets.hit),
        "hits": int(targets.hit.sum()),
        "blanks": len(blanks.hit),
        "false_calls": int(blanks.hit.sum()),
        "smallest": unit.text(float(targets.size.min())),
        "largest": unit.text(float(targets.size.max())),
        "result": {
            "model": chosen.name,
            "verdict": chosen.verdict,
            "basis": basis,
            **{name: _text(unit, numbers[name]) for name in SIZES},
        },
        "alike": _alike(fitted, unit),
        "comparison": vars(fitted.comparison) if fitted.comparison else None,
        "pooling": {
            "column": pooled.column, "statistic": pooled.statistic, "degrees": pooled.degrees,
            "p": pooled.p, "differs": pooled.differs,
        } if pooled else None,
        "warnings": list(warnings),
        "notes": list(inspection.notes),
        "options": _options(options),
        "command": _command(options),
        "bootstrap": {"draws": resampling.DRAWS, "seed": resampling.SEED},
    }  # fmt: skip


def _alike(fitted: Fitted, unit: Unit) -> dict[str, Any]:
    """How far a90/95 of the models goes that fit about as well as the chosen one."""
    same = [each for each in fitted.models if each.model == fitted.chosen.model]
    best = min(each.deviance for each in same)
    bounds = [
        each.a90_95 for each in same if each.deviance < best + CLOSE and not math.isnan(each.a90_95)
    ]
    ends = {"low": min(bounds), "high": max(bounds)} if bounds else {}
    texts = {name: _text(unit, size) or "no upper limit" for name, size in ends.items()}
    return {"models": len(bounds), **texts}


def _text(unit: Unit, size: float) -> str:
    """A size in words; "" if there is none."""
    return "" if not math.isfinite(size) else unit.text(size)


def _options(options: PodOptions) -> dict[str, Any]:
    """The options that were given as command-line flags, and their values."""
    values = {
        "size": options.size, "hit": list(options.hits), "signal": options.signal,
        "decision": options.decision,
        "censored-below": _limit(options.censored_below),
        "censored-above": _limit(options.censored_above),
        "signal-scale": options.signal_scale, "by": options.by, "group": options.group,
        "link": options.link, "scale": options.scale, "model": options.model,
        "only": [f"{column}={value}" for column, value in options.only],
    }  # fmt: skip
    given = {name: value for name, value in values.items() if value not in ("", None, [])}
    return {name: value for name, value in given.items() if (name, value) not in DEFAULTS}


def _limit(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _command(options: PodOptions) -> list[str]:
    """The command that repeats the analysis, with TABLE and OUT for the paths."""
    words = ["localize", "pod", "TABLE"]
    for name, value in _options(options).items():
        for each in value if isinstance(value, list) else [value]:
            words += [f"--{name}", f"{each:g}" if isinstance(each, float) else str(each)]
    return [*words, "--out", "OUT"]
