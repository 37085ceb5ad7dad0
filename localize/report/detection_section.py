"""The table of the detection metrics in a comparison's report, and a summary of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from localize.evaluation.detection import Estimate
from localize.report.cells import estimate_cell, number_cell
from localize.report.contents import Styles, method_label
from localize.report.markup import Cell, Column, Html, el, join, table
from localize.report.numbers import interval, number

COLUMNS = {
    "image_auroc": Column(
        "AUROC",
        about="probability that an image with an anomaly scores above a clean one; chance is 0.5",
    ),
    "average_precision": Column("average precision"),
    "best_f1": Column("best F1", about="at the threshold with the highest F1 on these images"),
    "detected": Column(
        "detected",
        about="share of images with the right place, within 5 px or half the radius, "
        "and a call, a score that reaches the threshold",
    ),
    "called": Column("called", about="share of images with an anomaly that are called"),
    "false_calls": Column(
        "false calls", about="share of clean images that are called, by thresholds of other photos"
    ),
    "pixel_auroc": Column("pixel AUROC"),
    "aupro": Column(
        "AUPRO", about="mean overlap with the region, for false positive rates up to 30 %"
    ),
}


def detection_table(scores: pd.DataFrame, styles: Styles, costs: bool = False) -> Html:
    """The detection metrics of images and pixels; metrics that no method has are left out.

    Args:
        costs: with time per image and number of parameters, which otherwise the table of location
            scores has.
    """
    metrics = [name for name in COLUMNS if name in scores and scores[name].notna().any()]
    if not metrics:
        return Html("")
    scored = scores[scores[metrics].notna().any(axis=1)]
    rows = []
    for row in scored.sort_values(metrics[0], ascending=False).to_dict("records"):
        method = str(row["method"])
        rows.append([
            Cell(method_label(method, styles), method),
            *(estimate_cell(_estimate(row, name), 2) for name in metrics),
            number_cell(row.get("n_clean"), 0),
            *([number_cell(row.get("ms_per_image"), 1)] if costs else []),
            *([number_cell(row.get("parameters"), 0)] if costs else []),
        ])  # fmt: skip
    columns = [
        Column("method", False),
        *(COLUMNS[name] for name in metrics),
        Column("clean images"),
        *([Column("ms per image"), Column("parameters")] if costs else []),
    ]
    return table("Methods that give a score or a map of the region", columns, rows)


def summarize(scores: pd.DataFrame, note: str) -> Html:
    """A sentence on which method detects anomalies best, for comparisons without distances.

    Args:
        note: a sentence that follows.
    """
    scored = scores[scores["image_auroc"].notna()] if "image_auroc" in scores else scores[:0]
    if scored.empty:
        return Html(
            "Nothing to compare: no method gave scores of images with and without an anomaly."
            + note
        )
    best = scored.sort_values("image_auroc", ascending=False).iloc[0].to_dict()
    value, low, high = _estimate(best, "image_auroc")
    verdict = "tells" if len(scored) == 1 else "has the highest AUROC: it tells"
    text = f" {verdict} images with an anomaly from clean ones with AUROC "
    chance = "" if low > 0.5 else ", which is not significantly above chance (0.5)"
    if math.isnan(low):
        chance = "; there is no interval, so the difference to chance (0.5) may be due to chance"
    estimate = " ".join(filter(None, (number(value, 2), interval(low, high, 2))))
    return join(
        el("strong", str(best["method"])), f"{text}{estimate}{chance}.{note}",
    )  # fmt: skip


def _estimate(row: Mapping[Any, Any], name: str) -> Estimate:
    return Estimate(row[name], row.get(f"{name}_low", math.nan), row.get(f"{name}_high", math.nan))
