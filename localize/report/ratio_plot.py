"""The figure and the section of the report that show the hit rate by ratio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from localize.evaluation import by_ratio, tables
from localize.localizer import HIT_RADIUS
from localize.names import short
from localize.registry import BASELINE
from localize.report.figures import figure as figure_element
from localize.report.markup import Html, section
from localize.report.numbers import number, percent
from localize.report.plots import method_styles, new_figure
from localize.report.style import figure_style, fixed_ticks, legend
from synth.number_kinds import ABOVE_ZERO, POSITIVE, SHARE

TICKS = np.array([
    1.001, 1.002, 1.005, 1.01, 1.02, 1.03, 1.05, 1.1, 1.2, 1.35, 1.5, 2, 3, 5, 10, 100, 1000,
])  # fmt: skip
MARGIN = 1.05  # factor of |log ratio| from the faintest and strongest region to the axis ends
OFFSET = 1.012  # factor of |log ratio| between the points of two methods in the same bin
NUMBERS = {
    **dict.fromkeys(("ratio_from", "ratio_to", "ratio"), POSITIVE),
    **dict.fromkeys(("hit@5", "hit@5_low", "hit@5_high"), SHARE),
    "n": ABOVE_ZERO,
}


def hit_rate_by_ratio(rates: pd.DataFrame) -> Figure:
    """Hit rate of each method by |log ratio| on a log axis, with 95 % intervals.

    Args:
        rates: the table of ``by_ratio.hit_rates_by_ratio``.
    """
    with figure_style():
        figure = new_figure(8, 4.5)
        handles = draw_curves(figure.subplots(), rates)
        legend(figure, list(handles.values()), list(map(short, handles)))
    return figure


def draw_curves(axes: Axes, rates: pd.DataFrame) -> dict[str, Artist]:
    """Draws the curves of :func:`hit_rate_by_ratio`; method -> its line, for a legend."""
    methods = list(dict.fromkeys(map(str, rates["method"])))
    styles = method_styles(methods)
    handles: dict[str, Artist] = {}
    for i, name in enumerate(methods):
        own = rates[rates["method"] == name]
        colour, marker = styles[name]
        at = np.log(own["ratio"].to_numpy(float)) * OFFSET ** (i - (len(methods) - 1) / 2)
        limits = own[["hit@5_low", "hit@5_high"]].to_numpy(float).T
        axes.vlines(at, *limits, color=colour, lw=1.2, alpha=0.55)
        (handles[name],) = axes.plot(
            at, own["hit@5"], marker=marker, ms=7, mec="white", color=colour, lw=1.8,
            ls="--" if name == BASELINE else "-",
        )  # fmt: skip
    low = np.log(rates["ratio_from"].min()) / MARGIN
    high = np.log(rates["ratio_to"].max()) * MARGIN
    axes.set(
        title="Hit rate by ratio, with 95 % intervals",
        xlabel="ratio of the region (log scale of |log ratio|; darker regions by 1 / ratio)",
        ylabel=f"share of images found within {HIT_RADIUS:g} px",
        xscale="log",
        xlim=(low, high),
        ylim=(-0.02, 1.04),
    )
    inside = TICKS[(np.log(TICKS) > low) & (np.log(TICKS) < high)]
    fixed_ticks(axes.xaxis, np.log(inside), [f"{ratio:g}" for ratio in inside])
    return handles


def ratio_section(folder: Path) -> Html:
    """The section of the report; empty if the folder has no table of the hit rate by ratio.

    Raises:
        InputError: the table or the figure is damaged.
    """
    rates = tables.read(
        folder / f"{by_ratio.FILE}.csv", by_ratio.COLUMNS, texts=("method",), numbers=NUMBERS
    )
    if rates.empty:
        return Html("")
    caption = (
        f"Share of images with an answer within {HIT_RADIUS:g} px of the true centre, by the ratio "
        "of the region; a darker region counts as 1 / ratio. Each point is the mean of a group of "
        f"images with similar |log ratio| ({_range(rates['n'], 0)} images); vertical lines are "
        "95 % intervals. The dashed line is the centre guess, which does not look at the image."
    )
    return section(
        "Hit rate by ratio",
        figure_element(folder, by_ratio.FILE, caption, label=_description(rates)),
        name="by-ratio",
    )


def _description(rates: pd.DataFrame) -> str:
    """The figure as text: each method's hit rate in the bins of the faintest and strongest."""
    ends = rates["ratio"].min(), rates["ratio"].max()
    parts = []
    for name, own in rates.groupby("method", sort=False):
        first, last = (percent(own.loc[own["ratio"] == end, "hit@5"].mean()) for end in ends)
        parts.append(f"{name} {first} and {last}")
    faint, strong = (number(end, 2) for end in ends)
    return f"Hit rate at ratio {faint} and at ratio {strong}: {'; '.join(parts)}."


def _range(values: pd.Series, digits: int) -> str:
    low, high = number(values.min(), digits), number(values.max(), digits)
    return low if low == high else f"{low} to {high}"
