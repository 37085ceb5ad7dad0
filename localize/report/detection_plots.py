"""Figures of the scores of images: ROC curves and reliability diagrams."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from localize.evaluation import calibration, detection
from localize.evaluation.scoring import labelled_scores
from localize.names import short
from localize.report.plots import GREY, method_styles, new_figure
from localize.report.style import figure_style, legend


def roc_curves(predictions: pd.DataFrame, clean: pd.DataFrame) -> Figure:
    """ROC curves of the scores: images with an anomaly against clean images."""
    with figure_style():
        figure = new_figure(8, 4.5)
        axes = figure.subplots()
        handles: list[Artist] = []
        handles += axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1.2)
        labels = ["chance  0.500"]
        styles = method_styles(list(dict.fromkeys(predictions["method"])))
        clean_of = dict(list(clean.groupby("method", sort=False)))
        for name, rows in predictions.groupby("method", sort=False):
            if name not in clean_of or rows["score"].isna().all():
                continue
            scores, anomalous = labelled_scores(rows, clean_of[name])
            false, true = detection.roc(scores, anomalous)
            area = np.trapezoid(true, false)
            colour, _ = styles[str(name)]
            handles += axes.plot(false, true, color=colour, lw=1.8, label=name)
            labels.append(f"{short(str(name))}  {area:.3f}")
        axes.set(
            title="ROC curves: images with an anomaly against clean images",
            xlabel="false positive rate (share of clean images)",
            ylabel="true positive rate (share of images with an anomaly)",
            xlim=(-0.01, 1.01),
            ylim=(-0.01, 1.01),
        )
        legend(figure, handles, labels, title="AUROC")
    return figure


def reliability_diagrams(
    predictions: pd.DataFrame,
    clean: pd.DataFrame,
    methods: Collection[str],
    located: Collection[str] | None = None,
) -> Figure:
    """Reliability diagrams: predicted probability against observed frequency.

    On the left, whether the image has an anomaly, for all images; on the right, whether the
    answer lies inside the region, for images with an anomaly at a known place. The diagonal is
    perfect calibration.

    Args:
        methods: those whose scores are log odds; others are left out.
        located: those with location scores; the others are left out on the right. None: all.
    """
    with figure_style():
        titles = ["The image has an anomaly"]
        if located is None or set(located) & set(methods):
            titles.append("The answer lies inside the region")
        figure = new_figure(4 * len(titles), 4.4)
        panels = figure.subplots(1, len(titles), sharey=True, squeeze=False)[0]
        styles = method_styles(list(dict.fromkeys(predictions["method"])))
        clean_of = dict(list(clean.groupby("method", sort=False)))
        handles: list[Artist] = []
        labels = []
        for name, rows in predictions.groupby("method", sort=False):
            if name not in methods or name not in clean_of:
                continue
            scored = rows["score"].notna()
            anomalous = calibration.sigmoid(rows["score"][scored].to_numpy(float))
            clean_images = calibration.sigmoid(clean_of[name]["score"].dropna().to_numpy(float))
            placed = (rows["r"].notna())[scored].to_numpy(bool)
            inside = (rows["distance"] <= rows["r"])[scored].to_numpy(float)
            cases = [
                (
                    np.r_[anomalous, clean_images],
                    np.r_[np.ones(len(anomalous)), np.zeros(len(clean_images))],
                )
            ]
            if located is None or name in located:
                cases.append((anomalous[placed], inside[placed]))
            colour, _ = styles[str(name)]
            errors = []
            for axes, (probabilities, positive) in zip(panels, cases, strict=False):
                bins = calibration.reliability_bins(probabilities, positive.astype(bool))
                axes.plot(bins.predicted, bins.observed, color=colour, lw=1, alpha=0.5)
                axes.vlines(bins.predicted, bins.low, bins.high, color=colour, lw=1.4)
                sizes = 14 + 150 * bins.count / max(1, bins.count.sum())
                axes.scatter(
                    bins.predicted, bins.observed, sizes, colour, ec="white", lw=0.8, zorder=3
                )
                errors.append(f"{bins.error:.2f}")
            labels.append(f"{short(str(name))}: calibration error {' and '.join(errors)}")
            handles.append(Line2D([], [], color=colour, marker="o", mec="white"))
        for axes, title in zip(panels, titles, strict=True):
            axes.plot([0, 1], [0, 1], color=GREY, ls="--", lw=1.2, zorder=0)
            axes.set(title=title, xlabel="predicted probability")
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
        panels[0].set_ylabel("observed frequency")
        legend(figure, handles, labels, below=1)
    return figure
