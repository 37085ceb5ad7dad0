"""One method on one dataset: its predictions, and their scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from localize import metrics
from localize.localizer import Finding, Localizer, Told
from localize.sources import Folder

CHUNK = 16  # images in memory at a time
PREDICTIONS = (
    "method", "file_name", "x", "y", "r", "discolor_ratio", "x_pred", "y_pred", "r_pred",
    "ratio_pred", "score", "distance", "normalised_distance", "seconds",
)  # fmt: skip
SCORES = (
    "method", "split", "n", "mean_distance", "mean_distance_low", "mean_distance_high",
    "normalised_distance", "normalised_distance_low", "normalised_distance_high",
    "median_distance", "hit@5", "hit@r", "parameters", "ms_per_image",
)  # fmt: skip

Progress = Callable[[int, int], None]


def predict(
    localizer: Localizer, name: str, source: Folder, progress: Progress | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Ask a method about every image with an anomaly -> predictions, errors.

    The method gets r and discolor_ratio only if it is told them. An image that it fails on
    gets no coordinates, and a line among the errors.
    """
    rows: list[dict[str, Any]] = []
    errors: list[dict[str, str]] = []
    for start in range(0, len(source), CHUNK):
        samples = [source[i] for i in range(start, min(start + CHUNK, len(source)))]
        images = [sample.image for sample in samples]
        truths = [source.truth(start + i)[0] for i in range(len(samples))]
        told = [Told(t.r, t.discolor_ratio) for t in truths] if localizer.told else None
        began = time.perf_counter()
        found, reasons = _located(localizer, images, told)
        seconds = (time.perf_counter() - began) / len(samples)
        for sample, truth, finding, reason in zip(samples, truths, found, reasons, strict=True):
            if reason:
                errors.append({"method": name, "file_name": sample.name, "reason": reason})
            rows.append(
                {
                    "method": name,
                    "file_name": sample.name,
                    "x": truth.x,
                    "y": truth.y,
                    "r": truth.r,
                    "discolor_ratio": truth.discolor_ratio,
                    "x_pred": finding.x,
                    "y_pred": finding.y,
                    "r_pred": finding.r,
                    "ratio_pred": finding.ratio,
                    "score": finding.score,
                    "seconds": seconds,
                }
            )
        if progress:
            progress(len(rows), len(source))
    table = pd.DataFrame(rows)
    found_at, true_at = table[["x_pred", "y_pred"]].to_numpy(), table[["x", "y"]].to_numpy()
    size = source.table[["width", "height"]].to_numpy(float)
    table["distance"] = metrics.distance(found_at, true_at)
    table["normalised_distance"] = metrics.normalised_distance(found_at, true_at, size)
    table = table.reindex(columns=list(PREDICTIONS))
    numbers = list(PREDICTIONS[2:])
    table[numbers] = table[numbers].astype(float)
    return table, pd.DataFrame(errors, columns=["method", "file_name", "reason"])


def _located(
    localizer: Localizer, images: list[np.ndarray], told: list[Told] | None
) -> tuple[list[Finding], list[str]]:
    """Findings and reasons of failure; when a group fails, each image is tried alone."""
    try:
        return localizer.locate(images, told), [""] * len(images)
    except Exception as error:
        if len(images) == 1:
            reason = f"{type(error).__name__}: {error}"
            return [Finding(float("nan"), float("nan"))], [reason]
    single = [
        _located(localizer, [image], [told[i]] if told else None) for i, image in enumerate(images)
    ]
    return [found[0] for found, _ in single], [reasons[0] for _, reasons in single]


def score(predictions: pd.DataFrame, source: Folder, parameters: int) -> dict[str, Any]:
    """One method's predictions -> its row of ``scores.csv``.

    Means and medians are over the images that it gave coordinates for; an image without
    counts as a miss. Intervals are 95 % bootstraps over photos, seed 0.
    """
    photos = source.table["photo"].where(source.table["photo"] != "", source.table["file_name"])
    given = predictions["distance"].notna().to_numpy()
    row: dict[str, Any] = {
        "method": predictions["method"].iloc[0],
        "split": source.split,
        "n": len(predictions),
    }
    for column, name in (("distance", "mean_distance"), ("normalised_distance",) * 2):
        values = predictions[column].to_numpy()[given]
        low, high = metrics.bootstrap(values, photos[given].tolist())
        row |= {
            name: float(values.mean()) if len(values) else float("nan"),
            f"{name}_low": low,
            f"{name}_high": high,
        }
    distance = predictions["distance"].to_numpy()
    return row | {
        "median_distance": float(np.median(distance[given])) if given.any() else float("nan"),
        "hit@5": metrics.hit_rate(distance, 5.0),
        "hit@r": metrics.hit_rate(distance, predictions["r"].to_numpy()),
        "parameters": parameters,
        "ms_per_image": float(predictions["seconds"].median() * 1000),
    }
