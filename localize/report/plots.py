"""Pictures of a comparison: figures from its tables, nothing else."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import MaxNLocator

from localize.names import display_width, short
from localize.registry import METHODS
from localize.report.style import COLUMN, USUAL, legend, plain_numbers, styled
from synth import folders

if TYPE_CHECKING:
    import pandas as pd

    from localize.data.folder import Folder

# Okabe and Ito's colours, told apart by all kinds of colour vision, and three; grey: the baseline.
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
BASELINE = "centre"
FAR_OFF = 10.0  # times the mean distance of the centre guess: what is farther is an arrow
FARTHEST_DRAWN = 1e5  # px: the end of the log axis


def look(methods: list[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker by method; a registered method looks the same in every picture."""
    known = [name for name in METHODS if name != BASELINE]
    others = [*known, *(name for name in methods if name not in METHODS)]
    looks = {
        name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)])
        for i, name in enumerate(others)
    }
    return {BASELINE: (GREY, "o"), **looks}


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def validation(history: pd.DataFrame, centre: float) -> Figure:
    """Validation distance (px) per epoch of every method; the centre guess is dashed."""
    with styled():
        figure = _figure(8, 4.5)
        axes = figure.subplots()
        looks = look(list(dict.fromkeys(history["method"])))
        handles: list[Artist] = []
        labels: list[str] = []
        for name, epochs in history.groupby("method", sort=False):
            colour, marker = looks[str(name)]
            at, values = epochs["epoch"].to_numpy(), epochs["val_distance"].to_numpy()
            best = int(np.nan_to_num(values, nan=np.inf).argmin())
            handles += axes.plot(at, values, color=colour, label=name, lw=1.6)
            labels.append(short(str(name)))
            axes.plot(at[best], values[best], marker, color=colour, ms=6, mec="white")
        if np.isfinite(centre):
            handles.append(axes.axhline(centre, color=GREY, ls="--", lw=1.6))
            labels.append("centre guess")
        limit = FAR_OFF * centre if centre > 0 else sys.float_info.max  # some training diverges
        seen = history["val_distance"].to_numpy(float)
        top = np.max(seen[seen <= limit], initial=centre if centre > 0 else 0.0) or 1.0
        axes.set(
            title="Validation distance per epoch (marker: best epoch)",
            xlabel="epoch",
            ylabel="mean distance (px)",
            ylim=(0, 1.1 * top),
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend(figure, handles, labels)
    return figure


def distances(scores: pd.DataFrame) -> Figure:
    """Mean distance (px) of every method with its 95 % interval; the centre guess is dashed."""
    with styled():
        names = [short(name) for name in scores["method"]]
        longest = max(map(display_width, names))
        figure = _figure(8 + COLUMN * max(0, longest - USUAL), 1.4 + 0.42 * len(scores))
        axes = figure.subplots()
        looks = look(scores["method"].tolist())
        ends = scores[["mean_distance", "mean_distance_high"]].to_numpy(float)
        # One method that is far off must not press the others together.
        guess = float(scores.loc[scores["method"] == BASELINE, "mean_distance"].max())
        limit = FAR_OFF * guess if guess > 0 else np.inf
        far = float(np.max(ends[ends <= min(limit, sys.float_info.max)], initial=0)) or 1.0
        for i, row in enumerate(scores.to_dict("records")):
            colour, marker = looks[row["method"]]
            mean = row["mean_distance"]
            if np.isfinite(row["mean_distance_low"]):
                axes.plot(
                    [row["mean_distance_low"], row["mean_distance_high"]], [i, i],
                    color=colour, lw=2.5, solid_capstyle="round",
                )  # fmt: skip
            said = "no answer"
            if np.isfinite(mean):
                beyond = mean > far
                axes.plot(
                    far if beyond else mean, i, ">" if beyond else marker, color=colour, ms=8,
                    mec=colour if beyond else "white", mfc="white" if beyond else colour,
                )  # fmt: skip
                said = f"{mean:.0f}" if mean < 1e5 else f"{mean:.0e}"
            axes.annotate(said, (1.01, i), xycoords=("axes fraction", "data"), va="center")
            if row["method"] == BASELINE:
                axes.axvline(mean, color=GREY, ls="--", lw=1.2, zorder=0)
        axes.set_yticks(range(len(scores)), names)
        axes.set_ylim(-0.6, len(scores) - 0.4)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        n, split = int(scores["n"].max()), scores["split"].iloc[0]
        axes.set(
            title=f"Mean distance on {n} images ({split}), 95 % intervals",
            xlabel="mean distance (px); dashed: the centre guess",
            xlim=(0, 1.04 * far),
        )
    return figure


def found_within(predictions: pd.DataFrame) -> Figure:
    """Fraction of images found within d px, d on a log axis; 0 for a method without answers."""
    with styled():
        figure = _figure(8, 4.5)
        axes = figure.subplots()
        looks = look(list(dict.fromkeys(predictions["method"])))
        seen = predictions["distance"].to_numpy(float)
        far = float(np.max(seen[seen <= FARTHEST_DRAWN], initial=10.0))
        handles: list[Artist] = []
        labels = []
        for name, rows in predictions.groupby("method", sort=False):
            at = np.sort(rows["distance"].dropna().clip(lower=0.1).to_numpy())
            at = at[at <= far]
            share = np.arange(len(at) + 1) / len(rows)
            colour, _ = looks[str(name)]
            handles += axes.step(
                np.r_[0.1, at, far], np.r_[share, share[-1]], where="post", color=colour,
                lw=1.8, ls="--" if name == BASELINE else "-", label=name,
            )  # fmt: skip
            labels.append(short(str(name)))
        axes.axvline(5, color=GREY, lw=0.8, ls=":")
        axes.annotate(
            "5 px",
            (5, 1.0),
            (3, 2),
            textcoords="offset points",
            color=GREY,
            va="bottom",
            fontsize=8,
        )
        axes.set(
            title="Found within d pixels",
            xlabel="distance d (px, log)",
            ylabel="fraction of images",
            xscale="log",
            xlim=(0.1, far),
            ylim=(0, 1.04),
        )
        plain_numbers(axes.xaxis)
        legend(figure, handles, labels)
    return figure


def presence(predictions: pd.DataFrame, clean: pd.DataFrame) -> Figure:
    """ROC curves: which share of the anomalies, at which share of clean images called so."""
    from localize.evaluation import detection
    from localize.evaluation.scoring import ranked

    with styled():
        figure = _figure(8, 4.5)
        axes = figure.subplots()
        handles: list[Artist] = []
        handles += axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1.2)
        labels = ["chance  0.500"]
        looks = look(list(dict.fromkeys(predictions["method"])))
        without = dict(list(clean.groupby("method", sort=False)))
        for name, rows in predictions.groupby("method", sort=False):
            if name not in without or rows["score"].isna().all():
                continue
            scores, hidden = ranked(rows, without[name])
            false, true = detection.roc(scores, hidden)
            area = np.trapezoid(true, false)
            colour, _ = looks[str(name)]
            handles += axes.plot(false, true, color=colour, lw=1.8, label=name)
            labels.append(f"{short(str(name))}  {area:.3f}")
        axes.set(
            title="Anomaly or clean? ROC of the scores",
            xlabel="fraction of clean images called anomalous",
            ylabel="fraction of anomalies called so",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
        )
        legend(figure, handles, labels, title="AUROC")
    return figure


def reliability(predictions: pd.DataFrame, clean: pd.DataFrame, methods: Collection[str]) -> Figure:
    """Of methods whose scores are log odds: the chances they give against what was so.

    On the left: is there an anomaly at all? All images. On the right: is this the place (within
    the region's radius)? Images with an anomaly. The grey diagonal is a method that keeps its word.
    """
    from localize.evaluation import calibration

    with styled():
        figure = _figure(8, 4.4)
        both = figure.subplots(1, 2, sharey=True)
        looks = look(list(dict.fromkeys(predictions["method"])))
        without = dict(list(clean.groupby("method", sort=False)))
        handles: list[Artist] = []
        labels = []
        for name, rows in predictions.groupby("method", sort=False):
            if name not in methods or name not in without:
                continue
            found = rows["score"].notna()
            here = calibration.chance(rows["score"][found].to_numpy(float))
            empty = calibration.chance(without[name]["score"].dropna().to_numpy(float))
            cases = (
                (np.r_[here, empty], np.r_[np.ones(len(here)), np.zeros(len(empty))]),
                (here, (rows["distance"] <= rows["r"])[found].to_numpy(float)),
            )
            colour, _ = looks[str(name)]
            errors = []
            for axes, (said, so) in zip(both, cases, strict=True):
                bins = calibration.reliability(said, so.astype(bool))
                axes.plot(bins.said, bins.so, color=colour, lw=1, alpha=0.5)
                axes.vlines(bins.said, bins.low, bins.high, color=colour, lw=1.4)
                sizes = 14 + 150 * bins.count / max(1, bins.count.sum())
                axes.scatter(bins.said, bins.so, sizes, colour, ec="white", lw=0.8, zorder=3)
                errors.append(f"{bins.error:.2f}")
            labels.append(f"{short(str(name))}: calibration error {' and '.join(errors)}")
            handles.append(Line2D([], [], color=colour, marker="o", mec="white"))
        for axes, title in zip(both, ("Is there an anomaly?", "Is this its place?"), strict=True):
            axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1.2, zorder=0)
            axes.set(title=title, xlabel="chance that the score stands for")
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        both[0].set_ylabel("share in which it was so")
        legend(figure, handles, labels, below=1)
    return figure


def contact_sheet(predictions: pd.DataFrame, source: Folder, count: int = 12) -> Figure:
    """Images with the truth (white outline) and every method's answer."""
    methods = list(dict.fromkeys(predictions["method"]))
    looks = look(methods)
    picks = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).astype(int))
    columns = min(4, len(picks))
    rows = -(-len(picks) // columns)
    answers = dict(list(predictions.groupby("file_name", sort=False)))
    with styled(grid=False):
        figure = _figure(3 * columns, 3 * rows + 0.6)
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
                colour, marker = looks[row["method"]]
                if not np.isfinite(row["distance"]):
                    continue
                x, y = np.clip([row["x_pred"], row["y_pred"]], 0, [across - 1, down - 1])
                axes.plot(x, y, marker, color=colour, ms=7, mec="white", mew=1.0)
            axes.set_title(
                f"ratio {truth.discolor_ratio:.3g}, r {truth.r:.3g} px", fontsize=8, weight="normal"
            )
        shown = [name for name in looks if name in methods]
        handles = [
            Line2D([], [], ls="", marker=looks[name][1], color=looks[name][0], mec="white", ms=8)
            for name in shown
        ]
        truth_line = Line2D([], [], color="white", lw=1.3)
        truth_line.set_path_effects([Stroke(linewidth=2.6, foreground="black"), Normal()])
        labels = ["truth", *map(short, shown)]
        legend(figure, [truth_line, *handles], labels, below=4)
    return figure


def overlay(image: np.ndarray, findings: dict[str, tuple[float, float, float | None]]) -> Figure:
    """(H, W, 3) uint8 and x, y, r (px) by method -> the image with the answers drawn."""
    height, width = image.shape[:2]
    looks = look(list(findings))
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(image)
    axes.set_axis_off()
    size = max(4.0, min(width, height) / 60)
    for name, (x, y, r) in findings.items():
        colour, _ = looks[name]
        for line, lw in (("white", 3.0), (colour, 1.5)):
            axes.plot(x, y, "+", color=line, ms=size * 2, mew=lw, scalex=False, scaley=False)
            if r is not None:
                axes.add_patch(Circle((x, y), r, fill=False, ec=line, lw=lw))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    return figure


def picture(figure: Figure, kind: str) -> bytes:
    """A figure as the bytes of a ``png`` or ``svg`` file, the same every time."""
    data = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with styled():
        figure.savefig(data, format=kind, metadata=metadata)
    return data.getvalue()


def save(figure: Figure, path: Path, kinds: Sequence[str] = ("png", "svg")) -> None:
    """Write a figure as ``path``.png and ``path``.svg."""
    for kind in kinds:
        folders.write(path.with_name(f"{path.name}.{kind}"), picture(figure, kind))
