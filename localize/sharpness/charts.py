"""Figures of a measurement: psychometric curves, the acuity chart, maps of hit rates."""

from __future__ import annotations

import textwrap
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from localize.evaluation.verdicts import ABOVE, BELOW, FALLS, NO_THRESHOLD, TOO_FEW
from localize.names import short
from localize.report.plots import GREY, method_styles
from localize.report.style import figure_style, fixed_ticks, legend
from localize.sharpness import ratio_ticks
from localize.sharpness import thresholds as tables
from localize.sharpness.results import Measurement
from localize.sharpness.thresholds import steps, trials_of_side

MAX_POINTS = 9  # per curve; further levels are averaged
TRIALS_PER_POINT = 12  # at least
NOT_DRAWN = (NO_THRESHOLD, FALLS, TOO_FEW)  # verdicts without a place in the acuity chart


def bin_steps(trials: pd.DataFrame, max_points: int = MAX_POINTS) -> np.ndarray:
    """Trials -> (N,) steps |log ratio|; if there are too many levels, averaged in groups."""
    x = steps(trials["discolor_ratio"])
    levels, which = np.unique(x, return_inverse=True)
    max_points = min(max_points, max(3, len(x) // TRIALS_PER_POINT))
    if len(levels) <= max_points:
        return x
    share = (np.cumsum(np.bincount(which)) - 0.5 * np.bincount(which)) / len(x)
    group = np.floor(share * max_points).astype(int)[which]
    logs = np.log(np.maximum(x, 1e-12))
    mean = np.bincount(group, weights=logs) / np.maximum(np.bincount(group), 1)
    return np.where(x > 0, np.exp(mean[group]), 0.0)


def legend_labels(thresholds: pd.DataFrame) -> dict[str, str]:
    """Method -> its label in the legend: the name and the threshold of each side."""
    lines = {}
    for name, rows in thresholds[thresholds["cut"] == "all"].groupby("method", sort=False):
        row_of = {row["side"]: row for row in rows.to_dict("records")}
        each = [
            str(row_of[side]["verdict"]) or f"{row_of[side]['threshold']:.3f}"
            for side in ("darker", "brighter")
            if side in row_of
        ]
        lines[str(name)] = f"{short(str(name))}   {' / '.join(dict.fromkeys(each))}"
    return lines


def _mean_grey(trials: pd.DataFrame, side: str) -> float:
    """Mean grey level of the regions of a side; NaN if unknown."""
    return float(trials.loc[trials["side"] == side, "brightness"].mean())


def _sides(trials: pd.DataFrame) -> list[str]:
    return [side for side in ("darker", "brighter") if (trials["side"] == side).any()]


def _suptitle(figure: Figure, text: str) -> None:
    figure.suptitle(text, x=0.01, ha="left", fontweight="bold", fontsize=12)


def psychometric_curves(result: Measurement, false_calls: pd.DataFrame | None = None) -> Figure:
    """Hit rate by ratio: observed rates and fitted curves, with 95 % intervals.

    Args:
        false_calls: ``false_calls.csv`` if a hit is a detected trial; shown at ratio 1.
    """
    trials, thresholds = result.trials, result.thresholds
    sides = _sides(trials)
    x = steps(trials["discolor_ratio"])
    low, high = 0.8 * float(x[x > 0].min()), 1.25 * float(x.max())
    methods = list(dict.fromkeys(trials["method"]))
    styles, guess = method_styles(methods), tables.default_guess(trials)
    with figure_style():
        figure = Figure(figsize=(2.4 + 4 * len(sides), 5.6), dpi=150, layout="constrained")
        order: list[str] = [*sides[:1], "none", *sides[1:]] if len(sides) > 1 else ["none", *sides]
        widths = [0.16 if side == "none" else 1.0 for side in order]
        panels = figure.subplots(1, len(order), sharey=True, width_ratios=widths, squeeze=False)[0]
        for axes, side in zip(panels, order, strict=True):
            if side == "none":
                _chance_panel(axes, trials, methods, styles, false_calls)
                continue
            for number, name in enumerate(methods):
                own = trials[trials["method"] == name]
                if (own["side"] == side).any():
                    row = thresholds.query(
                        "method == @name and cut == 'all' and side == @side"
                    ).iloc[0]
                    offset = 1 + 0.012 * (number - (len(methods) - 1) / 2)
                    _curve(axes, own, row, result.about["curve"], styles[name], offset, guess)
            axes.set(xscale="log", xlim=(low, high) if side == "brighter" else (high, low))
            fixed_ticks(axes.xaxis, *ratio_ticks.ratio_ticks(side, low, high))
            grey = _mean_grey(trials, side)
            if np.isfinite(grey):
                top = axes.secondary_xaxis("top")
                fixed_ticks(
                    top.xaxis,
                    *ratio_ticks.contrast_ticks(side, grey, low, high),
                    fontsize=8,
                    color=GREY,
                )
                top.tick_params(color=GREY, length=3)
                top.spines["top"].set_visible(False)
                top.set_xlabel("contrast of luminance", fontsize=8, color=GREY)
            axes.set_title(side, fontsize=10, pad=10)
            axes.set_xlabel(f"ratio, {side}")
        rate = "hit rate" if false_calls is None else "rate of detected trials"
        panels[0].set(ylim=(-0.03, 1.03), ylabel=rate)
        lines = legend_labels(thresholds)
        handles = [
            Line2D([], [], color=styles[name][0], marker=styles[name][1], mec="white", ms=7, lw=1.8)
            for name in methods
        ]
        legend(
            figure, handles, [lines.get(name) or short(name) for name in methods],
            below=2, fontsize=9,
            title="threshold, darker / brighter (diamond with 95 % interval)",
            title_fontsize=9,
        )  # fmt: skip
        _suptitle(figure, f"Psychometric curves: {rate} by ratio")
    return figure


def _chance_panel(
    axes: Axes, trials: pd.DataFrame, methods: list[str], styles: dict[str, tuple[str, str]],
    false_calls: pd.DataFrame | None,
) -> None:  # fmt: skip
    """The narrow panel of ratio 1: hit rates by chance, or the rates of false calls."""
    rates = {} if false_calls is None else false_calls.set_index("method").to_dict("index")
    for number, name in enumerate(methods):
        own = trials[(trials["method"] == name) & (trials["side"] == "none")]
        if len(own):
            at = (number + 1) / (len(methods) + 1)
            colour, marker = styles[name]
            rate = own["hit"].mean()
            if name in rates:
                rate = rates[name]["rate"]
                axes.vlines(at, rates[name]["low"], rates[name]["high"], color=colour, lw=1.2)
            axes.plot(at, rate, marker, color=colour, ms=6, mec="white", mew=0.8)
    axes.set(xlim=(0, 1), xlabel="1")
    axes.set_xticks([])
    title = "chance" if false_calls is None else "false calls"
    axes.set_title(title, fontsize=8, weight="normal", color=GREY, loc="center", pad=10)
    axes.set_facecolor("#F6F6F6")


def _curve(
    axes: Axes, own: pd.DataFrame, row: pd.Series, curve: Any, styles: tuple[str, str],
    offset: float, guess: float,
) -> None:  # fmt: skip
    """Draws one method on one side; ``row`` is its row of ``thresholds.csv``."""
    colour, marker = styles
    side = str(row["side"])
    trials = own[own["side"] == side]
    rates = tables.rate_table(
        trials.assign(discolor_ratio=np.exp(bin_steps(trials)), side=side, r=np.nan)
    )
    at = np.log(rates["discolor_ratio"].to_numpy())
    middle = rates["hit_rate"].to_numpy()
    error = np.maximum(0, [middle - rates["low"], rates["high"] - middle])
    axes.errorbar(at * offset, middle, error, color=colour, fmt=marker, ms=5.5, mec="white",
                  mew=0.8, elinewidth=0.9, alpha=0.9)  # fmt: skip
    fine = np.geomspace(at.min() * 0.9, at.max() * 1.1, 120)
    chosen = trials_of_side(own, side)
    falls = np.isfinite(row["rises_to"])
    if falls:  # the curve ends at the peak; the measured rates beyond it are connected
        beyond = at >= abs(np.log(row["rises_to"])) * 0.99
        axes.plot(at[beyond] * offset, middle[beyond], color=colour, lw=1.2, ls=":")
    if row["verdict"] in (NO_THRESHOLD, TOO_FEW):
        if not falls:
            axes.plot(fine, np.full_like(fine, chosen["hit"].mean()), color=colour, lw=1.4, ls="--")
        return
    value, low, high = tables.band(chosen, fine, curve, guess)
    axes.fill_between(fine, low, high, color=colour, alpha=0.13, lw=0)
    axes.plot(fine, value, color=colour, lw=2.0)
    if not row["verdict"]:
        height = (row["guess"] + 1 - row["lapse"]) / 2
        x, *limits = _as_steps(row[["threshold", "threshold_low", "threshold_high"]])
        axes.plot(limits, [height, height], color=colour, lw=3.2, solid_capstyle="butt", zorder=4)
        axes.plot(x, height, "D", color="white", mec=colour, mew=1.8, ms=7, zorder=5)


def _as_steps(ratios: pd.Series | pd.DataFrame) -> np.ndarray:
    """Ratios, possibly 0 or inf -> finite steps |log ratio|."""
    return np.abs(np.log(np.clip(ratios.to_numpy(float), 1e-6, 1e6)))


def acuity_chart(result: Measurement) -> Figure:
    """Threshold by radius, with 95 % intervals."""
    trials, thresholds = result.trials, result.thresholds
    rows = thresholds[thresholds["cut"] == "radius"]
    if not len(rows):  # one radius: all trials have it
        rows = thresholds[thresholds["cut"] == "all"].assign(level=f"{trials['r'].iloc[0]:g} px")
    rows = rows.assign(r=rows["level"].str.removesuffix(" px").astype(float))
    rows = rows[rows["r"].isin(_most_common_radii(trials))]
    x = steps(trials["discolor_ratio"])
    low, high = float(x[x > 0].min()), float(x.max())
    sides = _sides(trials)
    verdicts = {str(name): own["verdict"] for name, own in rows.groupby("method", sort=False)}
    styles = method_styles(list(verdicts))
    methods = [name for name, each in verdicts.items() if not _reason_not_drawn(each)]
    with figure_style():
        figure = Figure(figsize=(1.6 + 4.4 * len(sides), 5.4), dpi=150, layout="constrained")
        panels = figure.subplots(1, len(sides), sharey=False, squeeze=False)[0]
        for axes, side in zip(panels, sides, strict=True):
            _acuity_panel(axes, rows[rows["side"] == side], methods, styles, low, high)
            fixed_ticks(axes.yaxis, *ratio_ticks.ratio_ticks(side, low * 0.65, high))
            axes.set_title(side, fontsize=10)
            grey = _mean_grey(trials, side)
            if np.isfinite(grey):
                right = axes.secondary_yaxis("right")
                contrast_ticks = ratio_ticks.contrast_ticks(side, grey, low * 0.65, high * 1.02)
                fixed_ticks(right.yaxis, *contrast_ticks, fontsize=8, color=GREY)
                right.tick_params(color=GREY, length=3)
                right.spines["right"].set_visible(False)
                right.set_ylabel("contrast of luminance", fontsize=8, color=GREY)
        panels[0].set_ylabel("threshold (ratio)\nlower is better")
        handles = [
            Line2D([], [], color=styles[name][0], marker=styles[name][1], mec="white", ms=8, lw=1.2)
            for name in methods
        ]
        lines = []
        for why in NOT_DRAWN:
            names = ", ".join(
                short(name) for name, each in verdicts.items() if _reason_not_drawn(each) == why
            )
            if names:
                text = f"{why}: {names}"
                lines += textwrap.wrap(text, 58 * len(sides), break_on_hyphens=False)
        legend(
            figure, handles, list(map(short, methods)), below=4,
            title="\n".join(lines) or None, title_fontsize=9,
        )  # fmt: skip
        _suptitle(figure, "Acuity chart: threshold by radius of the region")
    return figure


def _reason_not_drawn(verdicts: pd.Series) -> str:
    """Why a method is not in the chart, or ""."""
    if not verdicts.isin(NOT_DRAWN).all():
        return ""
    return next(each for each in NOT_DRAWN if (verdicts == each).any())


def _most_common_radii(trials: pd.DataFrame, most: int = 12) -> np.ndarray:
    """The most common radii; trials of people may have hundreds of radii."""
    return trials["r"].value_counts().index[:most].to_numpy()


def _acuity_panel(
    axes: Axes, rows: pd.DataFrame, methods: list[str], styles: dict[str, tuple[str, str]],
    low: float, high: float,
) -> None:  # fmt: skip
    """Draws one side of the acuity chart."""
    radii = np.sort(rows["r"].unique())
    axes.axhspan(high, high * 2, color="#F1F1F1", lw=0)
    axes.text(0.01, high * 1.9, "above the largest ratio tried", fontsize=8, color=GREY,
              va="top", transform=axes.get_yaxis_transform())  # fmt: skip
    for number, name in enumerate(methods):
        colour, marker = styles[name]
        own = rows[rows["method"] == name].sort_values("r")
        at = own["r"].to_numpy() * np.exp(0.025 * (number - (len(methods) - 1) / 2))
        y = _as_steps(own["threshold"])
        limits = _as_steps(own[["threshold_low", "threshold_high"]])
        limits = np.clip(np.sort(limits, axis=1), low * 0.7, high * 1.4)
        axes.plot(at, y, color=colour, lw=1.2, alpha=0.6)
        axes.vlines(at, *limits.T, color=colour, lw=2.2)
        axes.plot(at, y, marker, color=colour, ms=8, mec="white")
        for verdict, where, arrow in ((ABOVE, high * 1.25, "^"), (BELOW, low * 0.75, "v")):
            beyond = at[(own["verdict"] == verdict).to_numpy()]
            axes.plot(beyond, np.full(len(beyond), where), arrow, mfc="white", mec=colour,
                      mew=1.6, ms=8)  # fmt: skip
    axes.set(xscale="log", yscale="log", ylim=(low * 0.65, high * 2))
    axes.set_xlim(radii[0] / 1.2, radii[-1] * 1.2)
    fixed_ticks(axes.xaxis, radii, [f"{r:g}" for r in radii])
    axes.set_xlabel("radius of the region (px)")


def hit_rate_maps(result: Measurement) -> Figure:
    """Hit rate by ratio and radius, one map per method."""
    trials = result.trials
    sign = np.where(trials["side"] == "darker", -1, 1)
    signed = np.zeros(len(trials))
    for side in ("darker", "brighter"):
        on_side = (trials["side"] == side).to_numpy()
        if on_side.any():
            signed[on_side] = bin_steps(trials[on_side])
    signed = (signed * sign).round(tables.STEP_DECIMALS)
    columns, radii = np.unique(signed), np.sort(trials["r"].dropna().unique())
    methods = list(dict.fromkeys(trials["method"]))
    cells = trials.assign(step=signed).groupby(["method", "r", "step"])["hit"].mean()
    with figure_style(grid=False):
        height = 0.36 * len(radii) + 0.55
        figure = Figure(
            figsize=(2.6 + 0.5 * len(columns), 1.0 + height * len(methods)), dpi=150,
            layout="constrained",
        )  # fmt: skip
        panels = figure.subplots(len(methods), 1, sharex=True, squeeze=False)[:, 0]
        colours = mpl.colormaps["cividis"]
        for axes, name in zip(panels, methods, strict=True):
            table = np.full((len(radii), len(columns)), np.nan)
            for (r, step), rate in cells[name].items():
                table[np.searchsorted(radii, r), np.searchsorted(columns, step)] = rate
            axes.imshow(table, cmap=colours, vmin=0, vmax=1, aspect="auto")
            for (row, column), rate in np.ndenumerate(table):
                if np.isfinite(rate):
                    axes.text(column, row, f"{100 * rate:.0f}", ha="center", va="center",
                              fontsize=8, color="white" if rate < 0.55 else "black")  # fmt: skip
            axes.set_title(short(name), fontsize=9)
            axes.set_yticks(range(len(radii)), [f"{r:g}" for r in radii])
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        labels = [f"{np.exp(step):.3f}" if step else "1" for step in columns]
        panels[-1].set_xticks(range(len(columns)), labels, rotation=45, fontsize=8)
        panels[-1].set_xlabel("ratio")
        figure.supylabel("radius (px)", fontsize=10)
        _suptitle(figure, "Hit rate in percent, by ratio and radius")
    return figure
