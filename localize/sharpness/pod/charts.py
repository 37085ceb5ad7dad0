"""The figure of a POD analysis: the curve with its bound, hits and misses, a90 and a90/95."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from localize.evaluation.calibration import wilson_interval
from localize.names import short
from localize.report.plots import COLOURS, GREY, new_figure
from localize.report.style import figure_style, fixed_ticks, plain_numbers
from localize.sharpness import ratio_ticks
from localize.sharpness.pod.options import PodOptions
from localize.sharpness.pod.results import PodResult
from localize.sharpness.pod.table import Inspection
from localize.sharpness.pod.trials import Trials
from localize.sharpness.pod.units import Unit

CURVE, BOUND = COLOURS[7], COLOURS[0]
MAX_LEVELS = 12  # of sizes, whose rates are drawn one by one
PER_POINT = 15  # trials of a drawn rate, at least


def pod_figure(result: PodResult, inspection: Inspection, options: PodOptions) -> Figure:
    """POD by size; with a signal, a second panel with the signals and their line."""
    logarithmic = bool(inspection.unit.side) or result.chosen["scale"] == "log"
    with figure_style():
        figure = new_figure(12 if inspection.signal is not None else 8, 5.2)
        if inspection.signal is None:
            axes = figure.subplots()
        else:
            left, axes = figure.subplots(1, 2)
            _draw_signals(left, result, inspection, options, logarithmic)
        _draw_curve(axes, result, inspection, logarithmic)
    return figure


def side_panels(panels: Sequence[tuple[str, PodResult, Inspection]]) -> Figure:
    """POD by the ratio, a panel for each (title, result, its trials) of a sharpness run."""
    with figure_style():
        figure = new_figure(5.6 * len(panels), 4.4)
        for axes, (title, result, inspection) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            _draw_curve(axes, result, inspection, True)
            axes.set_title(f"{title} ({result.about['result']['model']})", pad=10, fontsize=10)
    return figure


def _draw_curve(axes: Axes, result: PodResult, inspection: Inspection, logarithmic: bool) -> None:
    curve, row, unit = result.curve, result.chosen, inspection.unit
    targets = inspection.trials.on_targets
    axes.fill_between(
        curve["size"], curve["pod_low"], curve["pod_high"], color=CURVE, alpha=0.15, lw=0
    )
    axes.plot(curve["size"], curve["pod"], color=CURVE, lw=2)
    axes.plot(curve["size"], curve["pod_low"], color=CURVE, lw=1.2, ls="--")
    for answer, y in ((1, 1.045), (0, -0.045)):
        at = targets.size[targets.hit == answer]
        if len(np.unique(targets.size)) <= MAX_LEVELS and len(at) > MAX_LEVELS:
            for size, count in zip(*np.unique(at, return_counts=True), strict=True):
                axes.text(size, y, str(count), ha="center", va="center", fontsize=7)
            continue
        alpha = float(np.clip(25 / max(len(at), 1), 0.12, 0.7))
        axes.plot(at, np.full(len(at), y), "|", color="black", ms=8, mew=1, alpha=alpha)
    at, rate, low, high = observed_rates(targets)
    axes.vlines(at, low, high, color=GREY, lw=1)
    axes.plot(at, rate, "o", color=GREY, ms=5, mec="white", mew=0.8)
    axes.axhline(0.9, color=GREY, lw=0.8, ls=":")
    blanks = inspection.trials.on_blanks
    if len(blanks.hit):
        axes.axhline(blanks.hit.mean(), color=BOUND, lw=0.9, ls="-.", zorder=1)
    low_end, high_end = float(curve["size"].iloc[0]), float(curve["size"].iloc[-1])
    spaced = np.geomspace if logarithmic else np.linspace
    far_right = spaced(low_end, high_end, 9)[-2]
    for name, value, colour in (
        ("a90", row["a90"], CURVE), ("a90/95", row["a90_95_larger"], BOUND),
    ):  # fmt: skip
        if math.isfinite(value) and value <= high_end:
            axes.plot([value, value], [-0.09, 0.9], color=colour, lw=1.4)
            axes.plot(value, 0.9, "o", color=colour, ms=6, mec="white")
            left = name == "a90" or value > far_right
            height = 0.03 if name == "a90" else 0.12
            _label(axes, value, height, f"{name} {_short_text(unit, value)}", colour, left)
    axes.set(
        ylim=(-0.09, 1.09), ylabel="probability of detection (POD)", xlim=(low_end, high_end),
    )  # fmt: skip
    axes.set_title(f"POD by size ({result.about['result']['model']})", pad=10)
    _size_axis(axes, unit, logarithmic, low_end, high_end)


def _label(axes: Axes, x: float, y: float, text: str, colour: str, left: bool) -> None:
    """A label beside a vertical line, left or right of it."""
    axes.annotate(
        text, (x, y), (-5 if left else 5, 0), textcoords="offset points",
        ha="right" if left else "left", color=colour, fontsize=9, fontweight="bold",
        bbox={"boxstyle": "round,pad=0.15", "fc": "#FFFFFF", "ec": "none", "alpha": 0.8},
    )  # fmt: skip


def _short_text(unit: Unit, size: float) -> str:
    return f"{unit.ratio(size):.3f}" if unit.side else f"{size:.4g}"


def _size_axis(axes: Axes, unit: Unit, logarithmic: bool, low: float, high: float) -> None:
    """The axis of sizes; of steps |log ratio|, labelled with ratios and contrasts."""
    if logarithmic:
        axes.set_xscale("log")
    if not unit.side:
        axes.set_xlabel(short(unit.label) + (" (log scale)" if logarithmic else ""))
        if logarithmic:
            plain_numbers(axes.xaxis)
            ticks = round_numbers(low, high)
            fixed_ticks(axes.xaxis, ticks, [f"{tick:g}" for tick in ticks])
        return
    side = "darker" if unit.side == "darker" else "brighter"
    fixed_ticks(axes.xaxis, *ratio_ticks.ratio_ticks(side, low, high))
    words = {"both": "ratio, brighter or inverse for darker regions"}
    axes.set_xlabel(words.get(unit.side, f"ratio, {unit.side}"))
    if np.isfinite(unit.grey):
        top = axes.secondary_xaxis("top")
        contrasts = ratio_ticks.contrast_ticks(side, unit.grey, low, high)
        fixed_ticks(top.xaxis, *contrasts, fontsize=8, color=GREY)
        top.tick_params(color=GREY, length=3)
        top.spines["top"].set_visible(False)
        top.set_xlabel("contrast of luminance", fontsize=8, color=GREY)


def round_numbers(low: float, high: float) -> np.ndarray:
    """Ticks of a logarithmic axis: 1, 2 and 5 times powers of ten, or even steps if it is short.

    >>> round_numbers(0.02, 0.6).tolist()
    [0.02, 0.05, 0.1, 0.2, 0.5]
    """
    powers = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = np.array([float(f"{m * power:.3g}") for power in powers for m in (1, 2, 5)])
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    if len(ticks) > 10:
        ticks = np.array([float(f"{power:.3g}") for power in powers])
        ticks = ticks[(ticks >= low) & (ticks <= high)]
    return ticks if len(ticks) > 1 else np.array([float(f"{v:.3g}") for v in (low, high)])


def observed_rates(targets: Trials) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Trials -> size, hit rate and its 95 % Wilson interval, of each size or of groups of sizes."""
    order = np.argsort(targets.size, kind="stable")
    size, hit = targets.size[order], targets.hit[order].astype(float)
    levels, group = np.unique(size, return_inverse=True)
    if len(levels) > MAX_LEVELS or np.bincount(group).min() < PER_POINT:
        groups = min(MAX_LEVELS, max(2, len(size) // PER_POINT))
        group = (np.arange(len(size)) * groups) // len(size)
    n = np.bincount(group)
    hits = np.bincount(group, weights=hit)
    low, high = wilson_interval(hits, n)
    return np.bincount(group, weights=size) / n, hits / n, low, high


def _draw_signals(
    axes: Axes, result: PodResult, inspection: Inspection, options: PodOptions, logarithmic: bool
) -> None:
    """The signals by size, their line and the decision value."""
    assert inspection.signal is not None
    row: pd.Series = result.chosen
    on_target = inspection.trials.size > 0
    size, signal = inspection.trials.size[on_target], inspection.signal[on_target]
    censored = (signal <= options.censored_below) | (signal >= options.censored_above)
    axes.plot(size[~censored], signal[~censored], "o", color=GREY, ms=4, mec="none", alpha=0.7)
    axes.plot(size[censored], signal[censored], "o", mfc="white", mec=GREY, ms=4)
    grid = result.curve["size"].to_numpy()
    s = np.log(grid) if row["scale"] == "log" else grid
    line = row["line_intercept"] + row["line_slope"] * s
    logs = options.signal_scale == "log"
    axes.plot(grid, np.exp(line) if logs else line, color=CURVE, lw=2)
    for value in (options.censored_below, options.censored_above):
        if math.isfinite(value):
            axes.axhline(value, color=GREY, lw=1, ls="--")
    assert options.decision is not None
    axes.axhline(options.decision, color=BOUND, lw=1.4)
    axes.annotate(
        f"decision value {options.decision:g}", (0.99, options.decision), (0, -4),
        xycoords=axes.get_yaxis_transform(), textcoords="offset points", ha="right", va="top",
        color=BOUND, fontsize=9,
    )  # fmt: skip
    axes.set(ylabel=short(options.signal), xlim=(grid[0], grid[-1]))
    if logs:
        axes.set_yscale("log")
        plain_numbers(axes.yaxis)
    axes.set_title("Signal by size", pad=10)
    _size_axis(axes, inspection.unit, logarithmic, float(grid[0]), float(grid[-1]))
