"""One method on one dataset: its answers, and their scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from localize.data.folder import Folder
from localize.evaluation import detection, metrics, validity
from localize.evaluation.answer_log import Journal
from localize.evaluation.detection import Sketch
from localize.evaluation.validity import NOTHING
from localize.external.worker import error_text
from localize.localizer import Finding, Localizer, Told, as_localizer
from synth import anomaly
from synth.anomaly import Anomaly
from synth.errors import InputError
from synth.memory import is_out_of_memory, out_of_memory_error

PREDICTIONS = (
    "method", "file_name", "photo", "x", "y", "r", "discolor_ratio", "x_pred", "y_pred", "r_pred",
    "ratio_pred", "score", "distance", "normalised_distance", "seconds",
)  # fmt: skip
CLEAN = ("method", "file_name", "photo", "score")
ERRORS = ("method", "file_name", "reason")
DETECTION = tuple(
    f"{metric}{end}"
    for metric in (*detection.PRESENCE, *detection.PIXELS)
    for end in ("", "_low", "_high")
)
SCORES = (
    "method", "split", "n", "mean_distance", "mean_distance_low", "mean_distance_high",
    "normalised_distance", "normalised_distance_low", "normalised_distance_high",
    "median_distance", "hit@5", "hit@r", "n_clean", *DETECTION, "best_f1_threshold",
    "parameters", "ms_per_image",
)  # fmt: skip
SAID = ("x", "y", "r", "ratio", "score")  # of a finding: all but its map

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Answers:
    """All that one method said.

    Args:
        predictions: a row per image with an anomaly.
        clean: a row per image without, if the method tells the two apart.
        errors: the images that it failed on, with the reason.
        maps: photo and sketch of every map, if its maps mark the region.
    """

    predictions: pd.DataFrame
    clean: pd.DataFrame
    errors: pd.DataFrame
    maps: list[tuple[str, Sketch]] = field(default_factory=list)


@dataclass(frozen=True)
class _Question:
    """An image, what a told method is told, and the truth, None for a clean one."""

    name: str
    photo: str
    read: Callable[[], np.ndarray]
    told: Told
    truth: Anomaly | None


@dataclass(frozen=True)
class _Answer:
    """``sketch`` is of the worst map where there should be one and is none (``mapped``)."""

    question: _Question
    finding: Finding
    reason: str
    seconds: float
    sketch: Sketch | None = None
    mapped: bool = False

    def line(self) -> dict[str, Any]:
        """JSON types: all but the question, for the journal."""
        finding = {name: _plain(getattr(self.finding, name)) for name in SAID}
        return finding | {
            "reason": self.reason,
            "seconds": self.seconds,
            "sketch": self.sketch and self.sketch.packed(),
            "mapped": self.mapped,
        }

    @staticmethod
    def of(question: _Question, line: dict[str, Any]) -> _Answer:
        """What :meth:`line` gave, and the question -> the same again."""
        sketch = line["sketch"] and Sketch.unpacked(line["sketch"])
        finding = Finding(**{name: line[name] for name in SAID})
        return _Answer(question, finding, line["reason"], line["seconds"], sketch, line["mapped"])


def _plain(value: Any) -> float | None:
    return None if value is None else float(value)


def predict(
    localizer: Localizer,
    name: str,
    source: Folder,
    progress: Progress | None = None,
    journal: Journal | None = None,
) -> Answers:
    """Ask a method about every image with an anomaly, then about clean ones if it can tell.

    A method can tell if it gives a score or a map of the region. It gets r and discolor_ratio
    only if it is told them; with a clean twin it gets its partner's. An image that it fails
    on, or gives no place for that can be used (see ``validity.usable``), gets no answer, and a
    line among the errors. A clean image needs no place.

    Args:
        journal: where answers are kept, and those of a run that was stopped are.
    """
    localizer = as_localizer(localizer)
    hidden = _asked(localizer, _hidden(source), 0, progress, journal)
    tells = any(a.finding.score is not None or a.mapped for a in hidden)
    questions = _clean(source, told=bool(localizer.told)) if tells else []
    clean = _asked(localizer, questions, len(hidden), progress, journal)
    both = hidden + clean
    mapped = any(answer.mapped for answer in both)
    return Answers(
        predictions(name, source, [a.finding for a in hidden], [a.seconds for a in hidden]),
        pd.DataFrame(
            [(name, a.question.name, a.question.photo, a.finding.score) for a in clean],
            columns=list(CLEAN),
        ).astype({"score": float}),
        pd.DataFrame(
            [(name, a.question.name, a.reason) for a in both if a.reason], columns=list(ERRORS)
        ),
        [(a.question.photo, a.sketch) for a in both if mapped and a.sketch],
    )


def _hidden(source: Folder) -> list[_Question]:
    questions = []
    for i, (name, photo) in enumerate(zip(source.table["file_name"], source.groups, strict=True)):
        truth, _ = source.truth(i)
        told = Told(truth.r, truth.discolor_ratio)
        questions.append(_Question(name, photo, partial(_image, source, i), told, truth))
    return questions


def _image(source: Folder, index: int) -> np.ndarray:
    return source[index].image


def _clean(source: Folder, told: bool) -> list[_Question]:
    questions = []
    for each in source.negatives(told):
        partner = None if each.partner is None else source.truth(each.partner)[0]
        hint = Told(partner.r, partner.discolor_ratio) if partner else Told(np.nan, np.nan)
        read = partial(source.read_image, each.name)
        questions.append(_Question(each.name, each.photo, read, hint, None))
    return questions


def _asked(
    localizer: Localizer,
    questions: Sequence[_Question],
    before: int,
    progress: Progress | None,
    journal: Journal | None,
) -> list[_Answer]:
    chunk = localizer.batch_size
    groups = [questions[start : start + chunk] for start in range(0, len(questions), chunk)]
    known = journal.take(len(groups)) if journal else []
    answers = [
        _Answer.of(*each)
        for group, lines in zip(groups, known, strict=False)
        for each in zip(group, lines, strict=True)
    ]
    for group in groups[len(known) :]:  # the same groups as ever, for the very same answers
        some = _asked_together(localizer, group)
        answers += some
        if journal:
            journal.add([answer.line() for answer in some])
        if progress:
            progress(before + len(answers), before + len(questions))
    return answers


def _asked_together(localizer: Localizer, questions: Sequence[_Question]) -> list[_Answer]:
    answers, images, readable = [], [], []
    for question in questions:
        try:
            images.append(question.read())
            readable.append(question)
        except InputError as error:
            if question.truth is not None:  # then the table is wrong too, and every score
                raise
            answers.append(_Answer(question, NOTHING, str(error), 0.0))
    told = [question.told for question in readable] if localizer.told else None
    began = time.perf_counter()
    found, reasons = _located(localizer, images, told)
    seconds = (time.perf_counter() - began) / max(1, len(images))
    marks_region = localizer.map_marks == "region"
    for question, image, result, failure in zip(readable, images, found, reasons, strict=True):
        finding, unusable = validity.usable(result)
        if question.truth is None and validity.is_silent(result):
            unusable = ""  # there is nothing to find
        sketch, fault = _sketch(finding, question.truth, image) if marks_region else (None, "")
        mapped = sketch is not None and finding.map is not None and not fault
        # Maps of all images would not fit in memory.
        kept = replace(finding, map=None)
        reason = failure or fault or unusable
        answers.append(_Answer(question, kept, reason, seconds, sketch, mapped))
    return answers


def _sketch(finding: Finding, truth: Anomaly | None, image: np.ndarray) -> tuple[Sketch, str]:
    """The sketch of a map that marks the region, or of the worst; what is wrong with the map."""
    shape = image.shape[:2]
    mask = np.zeros(shape, bool) if truth is None else anomaly.mask(truth, *shape)
    if finding.map is None:
        return detection.sketch(detection.worst(mask), mask), ""
    if fault := validity.map_fault(finding.map, shape):
        return detection.sketch(detection.worst(mask), mask), fault
    return detection.sketch(finding.map, mask), ""


def _located(
    localizer: Localizer, images: list[np.ndarray], told: list[Told] | None
) -> tuple[list[Finding], list[str]]:
    """Findings and reasons of failure; when a group fails, each image is tried alone."""
    if not images:
        return [], []
    try:
        findings = list(localizer.locate(images, told))
        if len(findings) != len(images):
            raise ValueError(f"{len(findings)} answers to {len(images)} images")
        return findings, [""] * len(images)
    except Exception as error:
        if len(images) == 1 and is_out_of_memory(error):
            raise out_of_memory_error("an image") from None
        if len(images) == 1:
            return [NOTHING], [error_text(error)]
    single = [
        _located(localizer, [image], [told[i]] if told else None) for i, image in enumerate(images)
    ]
    return [found[0] for found, _ in single], [reasons[0] for _, reasons in single]


def predictions(
    name: str, source: Folder, findings: Sequence[Finding], seconds: Sequence[float]
) -> pd.DataFrame:
    """Truth and finding of every image with an anomaly, and the distance between them."""
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
        }
        for finding, each, photo, row in zip(
            findings, seconds, source.groups, source.table.to_dict("records"), strict=True
        )
    ]
    table = pd.DataFrame(rows)
    found_at, true_at = table[["x_pred", "y_pred"]].to_numpy(), table[["x", "y"]].to_numpy()
    size = source.table[["width", "height"]].to_numpy(float)
    table["distance"] = metrics.distance(found_at, true_at)
    table["normalised_distance"] = metrics.normalised_distance(found_at, true_at, size)
    table = table.reindex(columns=list(PREDICTIONS))
    numbers = list(PREDICTIONS[3:])
    table[numbers] = table[numbers].astype(float)
    return table


def score(answers: Answers, source: Folder, parameters: int | None) -> dict[str, Any]:
    """One method's answers -> its row of ``scores.csv``; ``parameters`` None: not known.

    Means and medians are over the images that it gave coordinates for; an image without
    counts as a miss. Intervals are 95 % bootstraps over photos, seed 0.
    """
    table = answers.predictions
    photos = np.array(source.groups, dtype=object)
    given = table["distance"].notna().to_numpy()
    row: dict[str, Any] = {
        "method": table["method"].iloc[0],
        "split": source.split,
        "n": len(table),
    }
    for column, name in (("distance", "mean_distance"), ("normalised_distance",) * 2):
        values = table[column].to_numpy()[given]
        low, high = metrics.bootstrap(values, photos[given].tolist())
        row |= {
            name: float(values.mean()) if len(values) else float("nan"),
            f"{name}_low": low,
            f"{name}_high": high,
        }
    distance = table["distance"].to_numpy()
    row |= {
        "median_distance": float(np.median(distance[given])) if given.any() else float("nan"),
        "hit@5": metrics.hit_rate(distance, 5.0),
        "hit@r": metrics.hit_rate(distance, table["r"].to_numpy()),
        "parameters": parameters,
        "ms_per_image": float(table["seconds"].median() * 1000),
    }
    return row | _detection(answers, source) if len(answers.clean) else row


def ranked(predictions: pd.DataFrame, clean: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """One method's tables -> (N,) scores and (N,) bool, which have an anomaly; clean ones last.

    An image without a score counts as the worst answer: -inf with an anomaly, else inf.
    """
    scores = [predictions["score"].fillna(-np.inf), clean["score"].fillna(np.inf)]
    return np.concatenate(scores), np.arange(len(predictions) + len(clean)) < len(predictions)


def _detection(answers: Answers, source: Folder) -> dict[str, float]:
    """How well scores and maps tell anomalies from clean images, and regions from the rest."""
    found: dict[str, detection.Estimate] = {}
    row: dict[str, float] = {"n_clean": len(answers.clean)}
    if answers.predictions["score"].notna().any():
        scores, hidden = ranked(answers.predictions, answers.clean)
        found |= detection.presence(scores, hidden, [*source.groups, *answers.clean["photo"]])
        row["best_f1_threshold"] = detection.threshold(scores, hidden)
    if answers.maps:
        photos, sketches = zip(*answers.maps, strict=True)
        found |= detection.pixelwise(sketches, photos)
    for name, (value, low, high) in found.items():
        row |= {name: value, f"{name}_low": low, f"{name}_high": high}
    return row
