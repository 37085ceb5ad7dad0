"""Contact sheets: the faintest changes that were found, the strongest that were missed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from localize.names import short
from localize.report.plots import BASELINE, look
from localize.report.style import legend, styled
from localize.sharpness.design import Picture
from localize.sharpness.thresholds import NEVER, TOO_FEW, steps
from synth import anomaly as anomalies

SHOWN = 6  # trials of a sheet
ROWS = ("the picture", "the region as it is", "the same, step made larger")
NARROW = 20  # columns of a name above a picture
SURE = 5.0  # px: a hit so close is hardly luck
WIDE = 1.8  # radii from the centre of a close-up to its edge
STRONGER = 8.0  # how much larger the step is made in the lowest row, at most
LARGEST = 0.4  # and up to which |log ratio|

Paint = Callable[[Mapping[Any, Any]], Picture]


def both(trials: pd.DataFrame, thresholds: pd.DataFrame, paint: Paint) -> dict[str, Figure]:
    """Trials and thresholds -> the two sheets by file name, as far as there is something to show.

    Only methods that leave chance are shown.
    """
    whole = thresholds[(thresholds["cut"] == "all") & ~thresholds["verdict"].isin((NEVER, TOO_FEW))]
    able = trials[trials["method"].isin(set(whole["method"]) - {BASELINE})]
    able = able[able["side"] != "none"]
    able = able.assign(step=steps(able["discolor_ratio"]))
    hits = able[(able["hit"] == 1) & (able["distance"] <= SURE)].sort_values("step", kind="stable")
    misses = able[able["hit"] == 0].sort_values("step", ascending=False, kind="stable")
    sheets = {}
    for name, title, chosen, rows in (
        ("faintest-hits", "The faintest changes found", hits, ROWS),
        ("strongest-misses", "The strongest changes missed", misses, ROWS[:2]),
    ):
        if picks := choose(chosen):
            sheets[name] = sheet(title, picks, rows, paint)
    return sheets


def choose(trials: pd.DataFrame, count: int = SHOWN) -> list[dict[Any, Any]]:
    """The first trials of each method in turn, no photo twice while there are others."""
    queues = [rows.to_dict("records") for _, rows in trials.groupby("method", sort=False)]
    picks: list[dict[Any, Any]] = []
    while len(picks) < count and any(queues):
        for queue in queues:
            seen = {pick["photo"] for pick in picks}
            fresh = [row for row in queue if row["photo"] not in seen]
            if queue and len(picks) < count:
                row = (fresh or queue)[0]
                queue.remove(row)
                if not any(
                    row["trial"] == p["trial"] and row["photo"] == p["photo"] for p in picks
                ):
                    picks.append(row)
    return picks


def sheet(title: str, picks: list[dict[Any, Any]], rows: Sequence[str], paint: Paint) -> Figure:
    """The picture with truth and answer; below it the region as it is, and with a larger step."""
    methods = list(dict.fromkeys(row["method"] for row in picks))
    looks = look(methods)
    with styled(grid=False):
        size = (2.15 * len(picks) + 0.3, 2.16 * len(rows) + 1.1)
        figure = Figure(figsize=size, dpi=150, layout=ConstrainedLayoutEngine(hspace=0))
        grid = figure.subplots(len(rows), len(picks), squeeze=False)
        for column, row in zip(grid.T, picks, strict=True):
            shown = paint(row)
            _whole(column[0], row, shown, looks[row["method"]])
            around = _around(shown)
            closer = (shown.image[around], _amplified(shown, around))
            for axes, pixels in zip(column[1:], closer, strict=False):
                axes.imshow(pixels)
            for axes in column:
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
        for axes, label in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel(label, fontsize=9)
        handles = [
            Line2D([], [], ls="", marker=looks[name][1], color=looks[name][0], mec="white", ms=9)
            for name in methods
        ]
        truth = Line2D([], [], ls="", marker="o", mfc="none", mec="black", ms=11)
        labels = ["truth", *(f"answer of {short(name)}" for name in methods)]
        legend(figure, [truth, *handles], labels, below=5)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _whole(axes: Axes, row: Mapping[Any, Any], shown: Picture, looks: tuple[str, str]) -> None:
    """The picture, the truth's outline and the answer; what was asked above it."""
    truth = shown.truth
    height, width = shown.image.shape[:2]
    off = "no answer" if np.isnan(row["distance"]) else f"{row['distance']:.0f} px off"
    name = short(row["method"], NARROW)
    axes.set_title(
        f"ratio {row['discolor_ratio']:.3f}, r {row['r']:g} px\n{name}: {off}",
        fontsize=8, weight="normal",
    )  # fmt: skip
    axes.imshow(shown.image)
    for line, lw in (("black", 2.4), ("white", 1.1)):
        kwargs: dict[str, Any] = {"fill": False, "ec": line, "lw": lw}
        corner = (truth.x - truth.r, truth.y - truth.r)
        axes.add_patch(
            Circle((truth.x, truth.y), truth.r, **kwargs)
            if truth.shape == "circle"
            else Rectangle(corner, 2 * truth.r, 2 * truth.r, **kwargs)
        )
    if np.isfinite(row["distance"]):
        x, y = np.clip([row["x_pred"], row["y_pred"]], 0, [width - 1, height - 1])
        axes.plot(x, y, looks[1], color=looks[0], ms=8, mec="white", mew=1.2)


def _around(shown: Picture) -> tuple[slice, slice]:
    """The square window around a region."""
    height, width = shown.image.shape[:2]
    half = min(round(WIDE * shown.truth.r), (min(height, width) - 1) // 2)
    x = int(np.clip(round(shown.truth.x), half, width - 1 - half))
    y = int(np.clip(round(shown.truth.y), half, height - 1 - half))
    return slice(y - half, y + half + 1), slice(x - half, x + half + 1)


def _amplified(shown: Picture, around: tuple[slice, slice]) -> np.ndarray:
    """The close-up of the clean picture with the same change, made larger."""
    ratio = shown.truth.discolor_ratio
    power = max(1.0, min(STRONGER, LARGEST / abs(np.log(ratio))))
    stronger = replace(shown.truth, discolor_ratio=float(ratio**power), rounding="nearest")
    return anomalies.apply(shown.clean, stronger)[around]
