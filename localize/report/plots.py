"""Figures of a comparison, drawn from its tables."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from localize.localizer import HIT_RADIUS
from localize.names import display_width, short
from localize.registry import BASELINE, METHODS
from localize.report.style import (
    CHARACTER_WIDTH,
    LEGEND_CHARACTERS,
    figure_style,
    legend,
    plain_numbers,
)
from synth import folders

if TYPE_CHECKING:
    import pandas as pd

    from localize.data.folder import Folder

# Okabe and Ito's palette for all kinds of colour vision, and three more; grey is the baseline.
COLOURS = (
    "#D55E00",
    "#8A6D00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#0072B2",
    "#6A3D9A",
    "#86B817",
    "#9C0F3F",
)
MARKERS = "sD^vPX*hpd<>"
GREY = "#6B6B6B"
AXIS_LIMIT = 10.0  # times the centre guess's mean distance; a larger distance becomes an arrow
MAX_DISTANCE_DRAWN = 1e5  # px, where the log axis ends


def method_styles(methods: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker by method; a registered method has the same ones in every figure."""
    registered = [name for name in METHODS if name != BASELINE]
    others = [*registered, *(name for name in methods if name not in METHODS)]
    styles = {
        name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
        for i, name in enumerate(others)
    }
    return {BASELINE: (GREY, "o"), **styles}


def new_figure(width: float, height: float) -> Figure:
    """A figure of a size in inches."""
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def validation_curves(history: pd.DataFrame, centre: float) -> Figure:
    """Validation distance (px) after each epoch, a line per seed; dashed: the centre guess."""
    with figure_style():
        figure = new_figure(8, 4.5)
        axes = figure.subplots()
        styles = method_styles(list(dict.fromkeys(history["method"])))
        handles: list[Artist] = []
        labels: list[str] = []
        for name, epochs in history.groupby("method", sort=False):
            colour, marker = styles[str(name)]
            for _, run in epochs.groupby(epochs.get("seed", epochs["method"]), dropna=False):
                at, values = run["epoch"].to_numpy(), run["val_distance"].to_numpy()
                best = int(np.nan_to_num(values, nan=np.inf).argmin())
                lines = axes.plot(at, values, color=colour, label=name, lw=1.6)
                axes.plot(at[best], values[best], marker, color=colour, ms=6, mec="white")
            handles += lines
            labels.append(short(str(name)))
        if np.isfinite(centre):
            handles.append(axes.axhline(centre, color=GREY, ls="--", lw=1.6))
            labels.append("centre guess")
        limit = AXIS_LIMIT * centre if centre > 0 else sys.float_info.max  # for diverged training
        distances = history["val_distance"].to_numpy(float)
        top = np.max(distances[distances <= limit], initial=centre if centre > 0 else 0.0) or 1.0
        axes.set(
            title="Mean distance on the validation split (marker: best epoch)",
            xlabel="epoch",
            ylabel="mean distance (px)",
            ylim=(0, 1.1 * top),
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend(figure, handles, labels)
    return figure


def mean_distances(scores: pd.DataFrame, seeds: pd.DataFrame | None = None) -> Figure:
    """Mean distance (px) with its 95 % interval; a dashed line for the centre guess.

    Args:
        seeds: the scores of each seed of some methods, drawn as a dot each.
    """
    with figure_style():
        names = [short(name) for name in scores["method"]]
        longest = max(map(display_width, names))
        figure = new_figure(
            8 + CHARACTER_WIDTH * max(0, longest - LEGEND_CHARACTERS), 1.4 + 0.42 * len(scores)
        )
        axes = figure.subplots()
        styles = method_styles(scores["method"].tolist())
        ends = scores[["mean_distance", "mean_distance_high"]].to_numpy(float)
        if of_seeds := _distances_by_method(seeds):
            ends = np.concatenate([ends.ravel(), *of_seeds.values()])
        # A method with very large distances must not compress the axis for the others.
        guess = float(scores.loc[scores["method"] == BASELINE, "mean_distance"].max())
        limit = AXIS_LIMIT * guess if guess > 0 else np.inf
        far = float(np.max(ends[ends <= min(limit, sys.float_info.max)], initial=0)) or 1.0
        for i, row in enumerate(scores.to_dict("records")):
            colour, marker = styles[row["method"]]
            mean = row["mean_distance"]
            if np.isfinite(row["mean_distance_low"]):
                axes.plot(
                    [row["mean_distance_low"], row["mean_distance_high"]], [i, i],
                    color=colour, lw=2.5, solid_capstyle="round",
                )  # fmt: skip
            if (single := of_seeds.get(row["method"])) is not None:
                axes.plot(
                    np.minimum(single, far), np.full(len(single), i + 0.25), "o", color=colour,
                    ms=4, mew=0, alpha=0.6, clip_on=False,
                )  # fmt: skip
            label = "no answer"
            if np.isfinite(mean):
                beyond = mean > far
                axes.plot(
                    far if beyond else mean, i, ">" if beyond else marker, color=colour, ms=8,
                    mec=colour if beyond else "white", mfc="white" if beyond else colour,
                )  # fmt: skip
                label = f"{mean:.0f}" if mean < 1e5 else f"{mean:.0e}"
            axes.annotate(label, (1.01, i), xycoords=("axes fraction", "data"), va="center")
            if row["method"] == BASELINE:
                axes.axvline(mean, color=GREY, ls="--", lw=1.2, zorder=0)
        axes.set_yticks(range(len(scores)), names)
        axes.set_ylim(-0.6, len(scores) - 0.4)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        n, split = int(scores["n"].max()), scores["split"].iloc[0]
        axes.set(
            title=f"Mean distance on {n} images ({split}) with 95 % intervals",
            xlabel="mean distance (px); dashed line: centre guess"
            + ("; small dots: single seeds" if of_seeds else ""),
            xlim=(0, 1.04 * far),
        )
    return figure


def _distances_by_method(seeds: pd.DataFrame | None) -> dict[str, np.ndarray]:
    """The mean distances of the seeds of each method, px."""
    if seeds is None:
        return {}
    return {
        str(name): rows["mean_distance"].dropna().to_numpy(float)
        for name, rows in seeds.groupby("method")
    }


def hit_rate_curves(predictions: pd.DataFrame) -> Figure:
    """Share of images with an answer within d px of the truth, with d on a log axis."""
    with figure_style():
        figure = new_figure(8, 4.5)
        axes = figure.subplots()
        styles = method_styles(list(dict.fromkeys(predictions["method"])))
        distances = predictions["distance"].to_numpy(float)
        far = float(np.max(distances[distances <= MAX_DISTANCE_DRAWN], initial=10.0))
        handles: list[Artist] = []
        labels = []
        for name, rows in predictions.groupby("method", sort=False):
            at = np.sort(rows["distance"].dropna().clip(lower=0.1).to_numpy())
            at = at[at <= far]
            share = np.arange(len(at) + 1) / len(rows)
            colour, _ = styles[str(name)]
            handles += axes.step(
                np.r_[0.1, at, far], np.r_[share, share[-1]], where="post", color=colour,
                lw=1.8, ls="--" if name == BASELINE else "-", label=name,
            )  # fmt: skip
            labels.append(short(str(name)))
        axes.axvline(HIT_RADIUS, color=GREY, lw=0.8, ls=":")
        axes.annotate(
            f"{HIT_RADIUS:g} px",
            (HIT_RADIUS, 1.0),
            (3, 2),
            textcoords="offset points",
            color=GREY,
            va="bottom",
            fontsize=8,
        )
        axes.set(
            title="Hit rate within a distance d",
            xlabel="distance d (px, log)",
            ylabel="share of images",
            xscale="log",
            xlim=(0.1, far),
            ylim=(0, 1.04),
        )
        plain_numbers(axes.xaxis)
        legend(figure, handles, labels)
    return figure


def contact_sheet(predictions: pd.DataFrame, source: Folder, count: int = 12) -> Figure:
    """Some images with the truth (white outline) and the answers of all methods."""
    methods = list(dict.fromkeys(predictions["method"]))
    styles = method_styles(methods)
    picks = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).astype(int))
    columns = min(4, len(picks))
    rows = -(-len(picks) // columns)
    answers = dict(list(predictions.groupby("file_name", sort=False)))
    with figure_style(grid=False):
        figure = new_figure(3 * columns, 3 * rows + 0.6)
        grid = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes in grid:
            axes.set_axis_off()
        for axes, i in zip(grid, picks.tolist(), strict=False):
            sample = source[i]
            truth, (across, down) = source.truth(i)
            axes.imshow(sample.image)
            for line, lw in (("black", 2.6), ("white", 1.3)):
                kwargs: dict[str, Any] = {"fill": False, "ec": line, "lw": lw}
                axes.add_patch(
                    Circle((truth.x, truth.y), truth.r, **kwargs)
                    if truth.shape == "circle"
                    else Rectangle(
                        (truth.x - truth.r, truth.y - truth.r), 2 * truth.r, 2 * truth.r, **kwargs
                    )
                )
            for row in answers[sample.name].to_dict("records"):
                colour, marker = styles[row["method"]]
                if not np.isfinite(row["distance"]):
                    continue
                x, y = np.clip([row["x_pred"], row["y_pred"]], 0, [across - 1, down - 1])
                axes.plot(x, y, marker, color=colour, ms=7, mec="white", mew=1.0)
            axes.set_title(
                f"ratio {truth.discolor_ratio:.3g}, r {truth.r:.3g} px", fontsize=8, weight="normal"
            )
        in_order = [name for name in styles if name in methods]
        handles = [
            Line2D([], [], ls="", marker=styles[name][1], color=styles[name][0], mec="white", ms=8)
            for name in in_order
        ]
        truth_line = Line2D([], [], color="white", lw=1.3)
        truth_line.set_path_effects([Stroke(linewidth=2.6, foreground="black"), Normal()])
        labels = ["truth", *map(short, in_order)]
        legend(figure, [truth_line, *handles], labels, below=4)
    return figure


def answer_overlay(
    image: np.ndarray, findings: dict[str, tuple[float, float, float | None]]
) -> Figure:
    """(H, W, 3) uint8, method -> x, y, r (px) -> the image with the answers drawn on it."""
    height, width = image.shape[:2]
    styles = method_styles(list(findings))
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image)
    axes.set_axis_off()
    size = max(4.0, min(width, height) / 60)
    for name, (x, y, r) in findings.items():
        colour, _ = styles[name]
        for line, lw in (("white", 3.0), (colour, 1.5)):
            axes.plot(x, y, "+", color=line, ms=size * 2, mew=lw, scalex=False, scaley=False)
            if r is not None:
                axes.add_patch(Circle((x, y), r, fill=False, ec=line, lw=lw))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return figure


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as the bytes of a ``png`` or ``svg`` file; the same figure gives the same bytes."""
    data = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with figure_style():
        figure.savefig(data, format=kind, metadata=metadata)
    return data.getvalue()


def save(figure: Figure, path: Path, kinds: Sequence[str] = ("png", "svg")) -> None:
    """Writes a figure as ``path``.png and ``path``.svg."""
    for kind in kinds:
        folders.write(path.with_name(f"{path.name}.{kind}"), figure_bytes(figure, kind))
