"""One method on one dataset: its answers and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from localize.data.folder import Folder
from localize.evaluation import detection, metrics
from localize.evaluation.answer_log import AnswerLog
from localize.evaluation.answers import Answer
from localize.evaluation.detection import MapSummary
from localize.evaluation.inference import Progress, answer_questions, asked_source
from localize.localizer import HIT_RADIUS, Finding, Localizer, as_localizer
from localize.registry import BASELINE
from localize.training.collapse import COLLAPSED, is_constant, relative_spread

PREDICTIONS = (
    "method", "file_name", "photo", "x", "y", "r", "discolor_ratio", "x_pred", "y_pred", "r_pred",
    "ratio_pred", "score", "distance", "normalised_distance", "seconds", "gap_evidence",
)  # fmt: skip
CLEAN = ("method", "file_name", "photo", "score")
ERRORS = ("method", "file_name", "reason")
DETECTION = tuple(
    f"{metric}{end}"
    for metric in (*detection.IMAGE_METRICS, *detection.PIXEL_METRICS)
    for end in ("", "_low", "_high")
)
SCORES = (
    "method", "split", "n", "n_anomalous", "mean_distance", "mean_distance_low",
    "mean_distance_high", "normalised_distance", "normalised_distance_low",
    "normalised_distance_high", "median_distance", "hit@5", "hit@r", "n_clean", *DETECTION,
    "best_f1_threshold", "parameters", "ms_per_image", "answer_spread", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """The answers of one method.

    Args:
        predictions: one row per image with an anomaly; unplaced rows are last, with empty x, y, r,
            discolor_ratio and distances.
        clean: one row per clean image, if the method gives a score or a map of the region.
        errors: the images that it failed on, with the reason.
        maps: photo and summary of every map, if its maps mark the region.
        places: whether the method gives places; if not, its location scores are NaN.
    """

    predictions: pd.DataFrame
    clean: pd.DataFrame
    errors: pd.DataFrame
    maps: list[tuple[str, MapSummary]] = field(default_factory=list)
    places: bool = True


def predict(
    localizer: Localizer,
    name: str,
    source: Folder,
    progress: Progress | None = None,
    answer_log: AnswerLog | None = None,
) -> Answers:
    """Runs a method on every image with an anomaly, then on the clean images.

    Clean images are left out if the method gives neither a score nor a map of the region. Only a
    told method gets r and discolor_ratio; for a clean twin it gets its partner's. Unplaced rows are
    left out for a told method. An image for which the method fails or returns no valid place (see
    ``validity.validate``) has no answer and a row in the errors. Clean images and unplaced rows
    need no place, nor does any image if the method gives no places.

    Args:
        answer_log: keeps the answers; answers of an interrupted run are taken from it.
    """
    localizer = as_localizer(localizer)
    source = asked_source(localizer, source)
    anomalous = answer_questions(localizer, source, False, 0, progress, answer_log)
    clean: list[Answer] = []
    if any(a.finding.score is not None or a.mapped for a in anomalous):
        before = len(anomalous)
        clean = answer_questions(localizer, source, True, before, progress, answer_log)
    both = anomalous + clean
    mapped = any(answer.mapped for answer in both)
    return Answers(
        prediction_table(
            name, source, [a.finding for a in anomalous], [a.seconds for a in anomalous]
        ),
        pd.DataFrame(
            [(name, a.question.name, a.question.photo, a.finding.score) for a in clean],
            columns=list(CLEAN),
        ).astype({"score": float}),
        pd.DataFrame(
            [(name, a.question.name, a.reason) for a in both if a.reason], columns=list(ERRORS)
        ),
        [(a.question.photo, a.summary) for a in both if mapped and a.summary],
        "place" in localizer.gives,
    )


def prediction_table(
    name: str, source: Folder, findings: Sequence[Finding], seconds: Sequence[float]
) -> pd.DataFrame:
    """The rows of ``predictions.csv``: truth, finding and distance of each image.

    Args:
        findings: of the rows with a place, then of the unplaced rows.
    """
    groups = [*source.groups, *(each.photo for each in source.unplaced)]
    records = [*source.table.to_dict("records"), *(each.row for each in source.unplaced)]
    rows = [
        {
            "method": name,
            "file_name": row["file_name"],
            "photo": photo,
            "x": row["x"],
            "y": row["y"],
            "r": row["r"],
            "discolor_ratio": row["discolor_ratio"],
            "x_pred": finding.x,
            "y_pred": finding.y,
            "r_pred": finding.r,
            "ratio_pred": finding.ratio,
            "score": finding.score,
            "seconds": each,
            "gap_evidence": finding.gap_evidence,
        }
        for finding, each, photo, row in zip(findings, seconds, groups, records, strict=True)
    ]
    table = pd.DataFrame(rows)
    predicted, true = table[["x_pred", "y_pred"]].to_numpy(), table[["x", "y"]].to_numpy()
    size = np.array([(row["width"], row["height"]) for row in records], float).reshape(-1, 2)
    table["distance"] = metrics.distance(predicted, true)
    table["normalised_distance"] = metrics.normalised_distance(predicted, true, size)
    table = table.reindex(columns=list(PREDICTIONS))
    numbers = list(PREDICTIONS[3:])
    table[numbers] = table[numbers].astype(float)
    return table


def score(answers: Answers, source: Folder, parameters: int | None) -> dict[str, Any]:
    """One method's answers -> its row of ``scores.csv``; ``parameters`` is None if unknown.

    Means and medians are over the images with an answer; an image without one counts as a miss.
    Intervals are 95 % bootstrap intervals over photos, seed 0. Location scores are over the rows
    with a place; they are NaN if there are none, or if the method gives no places.
    """
    everything = answers.predictions
    table = everything[everything["x"].notna()]
    answered = table["distance"].notna().to_numpy()
    row: dict[str, Any] = {
        "method": everything["method"].iloc[0],
        "split": source.split,
        "n": len(table),
        "n_anomalous": len(everything),
    }
    photos = table["photo"].to_numpy()
    for column, name in (("distance", "mean_distance"), ("normalised_distance",) * 2):
        values = table[column].to_numpy()[answered]
        low, high = metrics.bootstrap(values, photos[answered].tolist())
        row |= {
            name: float(values.mean()) if len(values) else float("nan"),
            f"{name}_low": low,
            f"{name}_high": high,
        }
    distance = table["distance"].to_numpy()
    located = answers.places and len(table) > 0
    row |= {
        "median_distance": float(np.median(distance[answered])) if answered.any() else float("nan"),
        "hit@5": metrics.hit_rate(distance, HIT_RADIUS) if located else float("nan"),
        "hit@r": metrics.hit_rate(distance, table["r"].to_numpy()) if located else float("nan"),
        "parameters": parameters,
        "ms_per_image": float(everything["seconds"].median() * 1000),
        "answer_spread": (spread := _answer_spread(table, source)),
        "note": note_of(everything, is_constant(spread) and row["method"] != BASELINE),
    }
    return row | _detection(answers) if len(answers.clean) else row


def note_of(predictions: pd.DataFrame, collapsed: bool) -> str:
    """What a reader of the scores must know: equal answers, answers that no eye could give."""
    use_gaps = int((predictions["gap_evidence"] > 0).sum())
    gaps = f"rounding gaps in {use_gaps} of {len(predictions)} answers" if use_gaps else ""
    return "; ".join(filter(None, (COLLAPSED if collapsed else "", gaps)))


def _answer_spread(predictions: pd.DataFrame, source: Folder) -> float:
    """The relative spread of the answers, over the images with an answer."""
    answered = predictions["distance"].notna().to_numpy()
    size = source.table[["width", "height"]].to_numpy(float)[answered]
    predicted, true = (
        (predictions[list(names)].to_numpy(float)[answered] + 0.5) / size
        for names in (("x_pred", "y_pred"), ("x", "y"))
    )
    return relative_spread(predicted, true)


def labelled_scores(
    predictions: pd.DataFrame, clean: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """One method's tables -> (N,) scores, (N,) bool: whether the image has an anomaly.

    Clean images come last. A missing score counts as the worst one: -inf for an image with an
    anomaly, inf for a clean one.
    """
    scores = [predictions["score"].fillna(-np.inf), clean["score"].fillna(np.inf)]
    return np.concatenate(scores), np.arange(len(predictions) + len(clean)) < len(predictions)


def _detection(answers: Answers) -> dict[str, float]:
    """The columns of the detection metrics in ``scores.csv``."""
    estimates: dict[str, detection.Estimate] = {}
    row: dict[str, float] = {"n_clean": len(answers.clean)}
    if answers.predictions["score"].notna().any():
        scores, anomalous = labelled_scores(answers.predictions, answers.clean)
        photos = [*answers.predictions["photo"], *answers.clean["photo"]]
        estimates |= detection.image_metrics(scores, anomalous, photos)
        row["best_f1_threshold"] = detection.best_f1_threshold(scores, anomalous)
    if answers.maps:
        photos_of_maps, summaries = zip(*answers.maps, strict=True)
        estimates |= detection.pixel_metrics(summaries, photos_of_maps)
    for name, (value, low, high) in estimates.items():
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return row
