"""Contact sheets of the smallest changes found and the largest changes missed."""

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

from localize.evaluation.verdicts import NO_THRESHOLD, TOO_FEW
from localize.localizer import HIT_RADIUS
from localize.names import short
from localize.registry import BASELINE
from localize.report.plots import method_styles
from localize.report.style import figure_style, legend
from localize.sharpness.design import TrialImage
from localize.sharpness.thresholds import steps
from synth import anomaly as anomalies

MAX_TRIALS = 6  # per sheet
ROWS = ("image", "region", "region, change amplified")
NAME_WIDTH = 20  # characters of a name above an image
CROP_RADII = 1.8  # half the side of a crop
MAX_FACTOR = 8.0  # by which the step is amplified at most
MAX_STEP = 0.4  # |log ratio| up to which it is amplified

Render = Callable[[Mapping[Any, Any]], TrialImage]


def draw_sheets(
    trials: pd.DataFrame, thresholds: pd.DataFrame, render: Render
) -> dict[str, Figure]:
    """Trials and thresholds -> the two sheets by file name; a sheet without trials is left out.

    Only trials of methods that have a threshold are shown.

    Args:
        render: a row of ``trials.csv`` -> its image.
    """
    with_threshold = thresholds[
        (thresholds["cut"] == "all") & ~thresholds["verdict"].isin((NO_THRESHOLD, TOO_FEW))
    ]
    detecting = trials[trials["method"].isin(set(with_threshold["method"]) - {BASELINE})]
    detecting = detecting[detecting["side"] != "none"]
    detecting = detecting.assign(step=steps(detecting["discolor_ratio"]))
    hits = detecting[(detecting["hit"] == 1) & (detecting["distance"] <= HIT_RADIUS)].sort_values(
        "step", kind="stable"
    )
    misses = detecting[detecting["hit"] == 0].sort_values("step", ascending=False, kind="stable")
    sheets = {}
    for name, title, chosen, rows in (
        ("faintest-hits", "The smallest changes found", hits, ROWS),
        ("strongest-misses", "The largest changes missed", misses, ROWS[:2]),
    ):
        if picks := pick_trials(chosen):
            sheets[name] = draw_sheet(title, picks, rows, render)
    return sheets


def pick_trials(trials: pd.DataFrame, count: int = MAX_TRIALS) -> list[dict[Any, Any]]:
    """The first trials of each method in turn, with different photos as far as possible."""
    queues = [rows.to_dict("records") for _, rows in trials.groupby("method", sort=False)]
    picks: list[dict[Any, Any]] = []
    while len(picks) < count and any(queues):
        for queue in queues:
            picked = {pick["photo"] for pick in picks}
            other_photos = [row for row in queue if row["photo"] not in picked]
            if queue and len(picks) < count:
                row = (other_photos or queue)[0]
                queue.remove(row)
                if not any(
                    row["trial"] == p["trial"] and row["photo"] == p["photo"] for p in picks
                ):
                    picks.append(row)
    return picks


def draw_sheet(
    title: str, picks: list[dict[Any, Any]], rows: Sequence[str], render: Render
) -> Figure:
    """Draws trials in columns: image with truth and answer, region, amplified region."""
    methods = list(dict.fromkeys(row["method"] for row in picks))
    styles = method_styles(methods)
    with figure_style(grid=False):
        size = (2.15 * len(picks) + 0.3, 2.16 * len(rows) + 1.1)
        figure = Figure(figsize=size, dpi=150, layout=ConstrainedLayoutEngine(hspace=0))
        grid = figure.subplots(len(rows), len(picks), squeeze=False)
        for column, row in zip(grid.T, picks, strict=True):
            rendered = render(row)
            _draw_image(column[0], row, rendered, styles[row["method"]])
            window = _crop_window(rendered)
            crops = (rendered.image[window], _amplify(rendered, window))
            for axes, pixels in zip(column[1:], crops, strict=False):
                axes.imshow(pixels)
            for axes in column:
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
        for axes, label in zip(grid[:, 0], rows, strict=True):
            axes.set_ylabel(label, fontsize=9)
        handles = [
            Line2D([], [], ls="", marker=styles[name][1], color=styles[name][0], mec="white", ms=9)
            for name in methods
        ]
        truth = Line2D([], [], ls="", marker="o", mfc="none", mec="black", ms=11)
        labels = ["truth", *(f"answer of {short(name)}" for name in methods)]
        legend(figure, [truth, *handles], labels, below=5)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold", fontsize=12)
    return figure


def _draw_image(
    axes: Axes, row: Mapping[Any, Any], rendered: TrialImage, styles: tuple[str, str]
) -> None:
    """Draws the image with the truth's outline and the answer; ratio and radius are the title."""
    truth = rendered.truth
    height, width = rendered.image.shape[:2]
    off = "no answer" if np.isnan(row["distance"]) else f"{row['distance']:.0f} px off"
    name = short(row["method"], NAME_WIDTH)
    axes.set_title(
        f"ratio {row['discolor_ratio']:.3f}, r {row['r']:g} px\n{name}: {off}",
        fontsize=8, weight="normal",
    )  # fmt: skip
    axes.imshow(rendered.image)
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
        axes.plot(x, y, styles[1], color=styles[0], ms=8, mec="white", mew=1.2)


def _crop_window(rendered: TrialImage) -> tuple[slice, slice]:
    """The square crop around a region, inside the image."""
    height, width = rendered.image.shape[:2]
    half = min(round(CROP_RADII * rendered.truth.r), (min(height, width) - 1) // 2)
    x = int(np.clip(round(rendered.truth.x), half, width - 1 - half))
    y = int(np.clip(round(rendered.truth.y), half, height - 1 - half))
    return slice(y - half, y + half + 1), slice(x - half, x + half + 1)


def _amplify(rendered: TrialImage, window: tuple[slice, slice]) -> np.ndarray:
    """The crop of the clean image with a larger change in the same region."""
    ratio = rendered.truth.discolor_ratio
    power = max(1.0, min(MAX_FACTOR, MAX_STEP / abs(np.log(ratio))))
    stronger = replace(rendered.truth, discolor_ratio=float(ratio**power), rounding="nearest")
    return anomalies.apply(rendered.clean, stronger)[window]
