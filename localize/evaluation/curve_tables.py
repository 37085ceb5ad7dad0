"""The tables of learning curves: scores of every training, and their means over the repeats."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import tables
from localize.evaluation.detection import Estimate
from localize.evaluation.label_gain import COLUMNS as LABEL_GAINS
from localize.evaluation.label_gain import first_above_zero, label_gains
from localize.evaluation.repeats import auroc_over_repeats, mean_over_repeats, photos_of_rows
from localize.evaluation.scoring import CLEAN, ERRORS, PREDICTIONS, Answers, labelled_scores
from localize.localizer import HIT_RADIUS
from localize.registry import BASELINE
from synth.number_kinds import ABOVE_ZERO, DISTANCE, INFINITE, SHARE

ABOUT = "learning_curve.json"
KEY = ("method", "rows", "repeat")
METRICS = ("mean_distance", "normalised_distance", "hit@5", "image_auroc")
SCORES = ("method", "rows", "photos", "repeat", "seed", *METRICS)
# gain: how much closer than the centre guess of the same image; without an answer it is 0 px
SUMMARIZED = (*METRICS, "gain")
SUMMARY = (
    "method", "rows", "repeats",
    *(f"{metric}{end}" for metric in SUMMARIZED for end in ("", "_low", "_high")),
)  # fmt: skip
TABLES = {
    "learning_curve": SCORES,
    "learning_curve_summary": SUMMARY,
    "label_gains": LABEL_GAINS,
    "predictions": (*KEY, *PREDICTIONS[1:]),
    "clean": (*KEY, *CLEAN[1:]),
    "errors": (*KEY, *ERRORS[1:]),
}
# Of one training: the answers, and the row of learning_curve.csv.
Scored = tuple[Answers, dict[str, Any]]
OPTIONAL = ("label_gains", "clean", "errors")  # tables that are written only if they have rows
TEXTS = ("method", "file_name", "photo", "reason", "metric", "baseline")
COUNTS = ("rows", "photos", "repeat", "repeats")
NUMBERS = {
    **dict.fromkeys((*COUNTS, "normalised_distance"), ABOVE_ZERO),
    **dict.fromkeys(("mean_distance", "distance"), DISTANCE),
    **dict.fromkeys(("hit@5", "image_auroc"), SHARE),
    "score": INFINITE,
}


@dataclass(frozen=True)
class LearningCurve:
    """The tables of a run. ``rows`` is 0 for a method that learned nothing from the dataset.

    In a curve over labels, ``rows`` is the number of labelled images with an anomaly.

    Args:
        scores: one row per training: method, number of rows and of photos, repeat, seed, scores.
        summary: one row per method and number of rows: means over the repeats, 95 % intervals.
        label_gains: of a curve over labels: :func:`localize.evaluation.label_gain.label_gains`.
        predictions: one row per training and image with an anomaly.
        clean: one row per training and clean image, for methods that give a score.
        errors: the images that a method failed on, with the reason.
    """

    scores: pd.DataFrame
    summary: pd.DataFrame
    label_gains: pd.DataFrame
    predictions: pd.DataFrame
    clean: pd.DataFrame
    errors: pd.DataFrame
    folder: Path


def collect(
    scored: Sequence[Scored], folder: Path, without_labels: Sequence[str] = ()
) -> LearningCurve:
    """The answers and scores of all trainings -> the tables of the run.

    Args:
        without_labels: of a curve over labels, the methods that learned from clean images only.
    """

    def concatenate(name: str) -> pd.DataFrame:
        columns = list(TABLES[name])
        parts = [
            getattr(each, name).assign(rows=row["rows"], repeat=row["repeat"])
            for each, row in scored
            if len(getattr(each, name))
        ]
        return (
            pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
        )

    predictions, clean = concatenate("predictions"), concatenate("clean")
    table = pd.DataFrame([row for _, row in scored], columns=list(SCORES)).astype({"seed": "Int64"})
    no_places = {row["method"] for each, row in scored if not each.places}
    summary = summarize(predictions, clean, no_places)
    gains = label_gains(summary, predictions, clean, without_labels)
    return LearningCurve(table, summary, gains, predictions, clean, concatenate("errors"), folder)


def summarize(
    predictions: pd.DataFrame, clean: pd.DataFrame, no_places: Collection[str] = ()
) -> pd.DataFrame:
    """Predictions and scores of clean images -> means over the repeats with 95 % intervals.

    The mean of a repeat is that of ``scores.csv``; see :mod:`localize.evaluation.repeats`.

    Args:
        no_places: methods that answer with a score alone: their location scores are NaN.
    """
    placed = predictions[predictions["x"].notna()]
    centre = placed.loc[placed["method"] == BASELINE, "distance"].to_numpy()
    placed_of = dict(list(placed.groupby([*KEY])))
    clean_of = dict(list(clean.groupby(list(KEY))))
    rows = []
    for (method, count), group in predictions.groupby(["method", "rows"], sort=False):
        repeats = [each for _, each in group.groupby("repeat", sort=False)]
        scored = [
            (each, clean_of[key])
            for each in repeats
            if (key := (method, count, each["repeat"].iloc[0])) in clean_of
        ]
        of_placed = [
            placed_of[key]
            for each in repeats
            if method not in no_places
            and (key := (method, count, each["repeat"].iloc[0])) in placed_of
        ]
        estimates = {**_location(of_placed, centre), "image_auroc": _auroc(scored)}
        row: dict[str, Any] = {"method": method, "rows": count, "repeats": len(repeats)}
        for name in SUMMARIZED:
            value, low, high = estimates[name]
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows, columns=list(SUMMARY))


def _location(repeats: Sequence[pd.DataFrame], centre: np.ndarray) -> dict[str, Estimate]:
    """The location scores over repeats with places; NaN without any.

    Args:
        centre: distances of the centre guess to the same images, px.
    """
    if not repeats:
        return dict.fromkeys(
            ("mean_distance", "normalised_distance", "hit@5", "gain"), Estimate(*[np.nan] * 3)
        )
    photos = photos_of_rows(repeats[0])
    distance = np.array([each["distance"] for each in repeats], float)
    normalised = np.array([each["normalised_distance"] for each in repeats], float)
    return {
        "mean_distance": mean_over_repeats(distance, photos),
        "normalised_distance": mean_over_repeats(normalised, photos),
        "hit@5": mean_over_repeats((distance <= HIT_RADIUS).astype(float), photos),
        "gain": mean_over_repeats(np.nan_to_num(centre - distance), photos),
    }


def _auroc(scored: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> Estimate:
    """The AUROC over repeats that have scores: predictions and clean images of each."""
    scored = [pair for pair in scored if pair[0]["score"].notna().any()]
    if not scored:
        return Estimate(*[float("nan")] * 3)
    scores, anomalous = zip(*(labelled_scores(*pair) for pair in scored), strict=True)
    photos = [*photos_of_rows(scored[0][0]), *photos_of_rows(scored[0][1])]
    return auroc_over_repeats(scores, anomalous[0], photos)


def rows_needed(summary: pd.DataFrame, method: str) -> int | None:
    """The fewest rows from which on a method is better than the centre guess; None: never.

    With these rows and with every larger number that was tried, the interval of the gain lies
    above 0 px. A method that learned nothing from the dataset needs 0 rows, or is never better.
    """
    rows = summary[summary["method"] == method]
    return first_above_zero(rows["rows"].tolist(), rows["gain_low"].tolist())


def write(result: LearningCurve) -> None:
    """Write the tables as CSV; those of ``OPTIONAL`` only if they have rows."""
    frames = {"learning_curve": result.scores, "learning_curve_summary": result.summary}
    frames |= {name: getattr(result, name) for name in ("predictions", *OPTIONAL)}
    for name, table in frames.items():
        if len(table) or name not in OPTIONAL:
            tables.write(table, result.folder / f"{name}.csv")


def read(folder: Path) -> LearningCurve:
    """The tables of a finished run.

    Raises:
        InputError: a table is damaged.
    """
    frames = {}
    for name, columns in TABLES.items():
        texts = [each for each in columns if each in TEXTS]
        numbers = {each: NUMBERS[each] for each in columns if each in NUMBERS}
        frame = tables.read(folder / f"{name}.csv", columns, texts, numbers)
        whole = [each for each in COUNTS if each in frame and frame[each].notna().all()]
        frames[name] = frame.astype(dict.fromkeys(whole, int))
    scores = frames["learning_curve"].astype({"seed": "Int64"})
    return LearningCurve(
        scores, frames["learning_curve_summary"], frames["label_gains"], frames["predictions"],
        frames["clean"], frames["errors"], folder,
    )  # fmt: skip
