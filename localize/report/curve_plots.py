"""Figures of learning curves, drawn from the table ``learning_curve_summary.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from localize.localizer import HIT_RADIUS
from localize.names import short
from localize.registry import BASELINE
from localize.report import plots
from localize.report.plots import AXIS_LIMIT, GREY, method_styles, new_figure
from localize.report.style import figure_style, legend, plain_numbers

MIN_TICK_RATIO = 1.12  # numbers of rows that are closer than this factor share a tick


@dataclass(frozen=True)
class Chart:
    """A figure: its file name, the column that it shows, title and label of the y axis.

    Args:
        title: ends with what the x axis shows: :data:`X_AXES`.
        chance: y of the dashed line; None: the value of the centre guess.
    """

    file: str
    metric: str
    title: str
    label: str
    chance: float | None = None


CHARTS = (
    Chart("distance", "mean_distance", "Mean distance", "mean distance (px)"),
    Chart(
        "hits",
        "hit@5",
        f"Hit rate within {HIT_RADIUS:g} px",
        f"share of images within {HIT_RADIUS:g} px",
    ),
    Chart("auroc", "image_auroc", "AUROC of the score", "AUROC", 0.5),
)


# What the numbers of rows are: the end of the title, the label of the x axis.
X_AXES = {
    "rows": ("training rows", "training rows (log)"),
    "labels": ("labelled images", "labelled images with an anomaly, train and val (log)"),
}


def draw(summary: pd.DataFrame, folder: Path, by: str = "rows") -> None:
    """Write all figures for which there are values, as PNG and SVG.

    Args:
        by: a key of :data:`X_AXES`.
    """
    for chart in CHARTS:
        if summary.loc[summary["method"] != BASELINE, chart.metric].notna().any():
            plots.save(learning_curves(summary, chart, by), folder / chart.file)


def learning_curves(summary: pd.DataFrame, chart: Chart, by: str = "rows") -> Figure:
    """A metric by the number of training rows, with 95 % bands; a log x axis.

    A method that learned nothing from the dataset is a horizontal line with a marker at its end.
    """
    known = summary[summary[chart.metric].notna() & (summary["method"] != BASELINE)]
    trained = known[known["rows"] > 0]
    counts = sorted(set(trained["rows"]))
    low, high = _limits(counts)
    styles = method_styles(list(dict.fromkeys(summary["method"])))
    title, x_label = X_AXES[by]
    without = "not trained here" if by == "rows" else "no labels used"
    with figure_style():
        figure = new_figure(8, 4.5)
        axes = figure.subplots()
        handles: list[Artist] = []
        labels: list[str] = []
        for name, rows in known.groupby("method", sort=False):
            rows = rows.sort_values("rows")
            colour, marker = styles[str(name)]
            fixed = not (rows["rows"] > 0).any()
            x = np.array([low, high]) if fixed else rows["rows"].to_numpy(float)
            value, bottom, top = (
                np.resize(rows[f"{chart.metric}{end}"].to_numpy(float), len(x))
                for end in ("", "_low", "_high")
            )
            axes.fill_between(x, bottom, top, color=colour, alpha=0.07 if fixed else 0.15, lw=0)
            handles += axes.plot(
                x, value, color=colour, lw=1.6, ls=":" if fixed else "-", marker=marker,
                ms=9 if fixed else 6, mec="white", mew=0.5 if fixed else 1,
                markevery=[1] if fixed else None, clip_on=not fixed,
            )  # fmt: skip
            labels.append(short(f"{name} ({without})" if fixed else str(name)))
        chance = _chance(summary, chart)
        handles.append(axes.axhline(chance, color=GREY, ls="--", lw=1.6))
        labels.append("centre guess" if chart.chance is None else "chance")
        axes.set(
            title=f"{chart.title} by {title}",
            xlabel=f"{x_label}; bands: 95 % intervals",
            ylabel=chart.label,
            xscale="log",
            xlim=(low, high),
            ylim=_y_limits(known, chart, chance),
        )
        _label_counts(axes, counts)
        legend(figure, handles, labels)
    return figure


def _chance(summary: pd.DataFrame, chart: Chart) -> float:
    if chart.chance is not None:
        return chart.chance
    return float(summary.loc[summary["method"] == BASELINE, chart.metric].iloc[0])


def _limits(counts: Sequence[int]) -> tuple[float, float]:
    """The ends of the x axis: the numbers of rows with a margin."""
    if not counts:
        return 0.9, 1.1
    margin = max(1.1, (counts[-1] / counts[0]) ** 0.05)
    return counts[0] / margin, counts[-1] * margin


def _y_limits(known: pd.DataFrame, chart: Chart, chance: float) -> tuple[float, float]:
    """The ends of the y axis: shares from 0 to 1; distances without those of failed trainings."""
    if chart.metric != "mean_distance":
        return -0.02, 1.04  # so that a line at 0 is seen
    ends = known[[chart.metric, f"{chart.metric}_high"]].to_numpy(float)
    limit = AXIS_LIMIT * chance if chance > 0 else np.finfo(float).max
    return 0.0, 1.08 * max(float(np.max(ends[ends <= limit], initial=0.0)), chance, 1e-9)


def _label_counts(axes: Axes, counts: Sequence[int]) -> None:
    """Ticks at the numbers of rows; of numbers that are too close, the larger ones."""
    ticks: list[int] = []
    for count in reversed(counts):
        if not ticks or count * MIN_TICK_RATIO <= ticks[-1]:
            ticks.append(count)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    plain_numbers(axes.xaxis)
