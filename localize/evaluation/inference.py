"""Asks a localizer the questions about the images of a dataset, in groups."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from localize.data.folder import Folder
from localize.evaluation import detection, validity
from localize.evaluation.answer_log import AnswerLog
from localize.evaluation.answers import Answer, Question
from localize.evaluation.detection import MapSummary
from localize.evaluation.questions import questions_of
from localize.evaluation.validity import NO_ANSWER
from localize.external.worker import error_text
from localize.localizer import Finding, Localizer, Told
from synth.errors import InputError
from synth.memory import is_out_of_memory, out_of_memory_error

Progress = Callable[[int, int], None]


def answer_questions(
    localizer: Localizer,
    source: Folder,
    clean: bool,
    before: int,
    progress: Progress | None,
    answer_log: AnswerLog | None,
) -> list[Answer]:
    """The answers to the questions about the anomalous or the clean images of a source.

    Args:
        clean: whether the clean images are asked about.
        before: number of questions that were answered before.
        answer_log: keeps the answers; answers of an interrupted run are taken from it.
    """
    questions = questions_of(source, clean, bool(localizer.told))
    groups = group_ranges(len(questions), localizer.batch_size)
    logged = answer_log.take(len(groups)) if answer_log else []
    answers = [
        Answer.from_json(questions[i], line)
        for group, lines in zip(groups, logged, strict=False)
        for i, line in zip(group, lines, strict=True)
    ]
    for group in groups[len(logged) :]:  # as in an uninterrupted run: the same answers
        batch = answer_batch(localizer, [questions[i] for i in group])
        answers += batch
        if answer_log:
            answer_log.add([answer.to_json() for answer in batch])
        if progress:
            progress(before + len(answers), before + len(questions))
    return answers


def asked_source(localizer: Localizer, source: Folder) -> Folder:
    """The images that a localizer is asked about; for a told one without the unplaced rows."""
    return source.select_unplaced([]) if localizer.told else source


def group_ranges(count: int, size: int) -> list[range]:
    """The indices of ``count`` questions in groups that are asked at once.

    >>> group_ranges(5, 2)
    [range(0, 2), range(2, 4), range(4, 5)]
    """
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def answer_batch(localizer: Localizer, questions: Sequence[Question]) -> list[Answer]:
    """The answers to questions that are asked at once.

    Raises:
        InputError: an image with an anomaly cannot be read.
    """
    answers, images, readable = [], [], []
    for question in questions:
        try:
            images.append(question.read())
            readable.append(question)
        except InputError as error:
            if not question.is_clean:  # an unreadable row of the table makes all scores wrong
                raise
            answers.append(Answer(question, NO_ANSWER, str(error), 0.0))
    told = [question.told for question in readable] if localizer.told else None
    began = time.perf_counter()
    results, failures = _locate_batch(localizer, images, told)
    seconds = (time.perf_counter() - began) / max(1, len(images))
    marks_region = localizer.map_marks == "region"
    for question, image, result, failure in zip(readable, images, results, failures, strict=True):
        finding, invalid = validity.validate(result)
        if "place" not in localizer.gives:
            finding = replace(finding, x=math.nan, y=math.nan)
        needs_place = question.truth is not None and "place" in localizer.gives
        if not needs_place and validity.has_no_place(result):
            invalid = ""
        summary, fault = _summarize_map(finding, question, image) if marks_region else (None, "")
        mapped = marks_region and finding.map is not None and not fault
        # The maps of all images would not fit in memory.
        without_map = replace(finding, map=None)
        reason = failure or fault or invalid
        answers.append(Answer(question, without_map, reason, seconds, summary, mapped))
    return answers


def _summarize_map(
    finding: Finding, question: Question, image: np.ndarray
) -> tuple[MapSummary | None, str]:
    """The summary of a map that marks the region, and why the map is invalid, or "".

    A missing or invalid map is replaced by the worst one. There is no summary if it is not known
    which pixels have the anomaly.
    """
    shape = image.shape[:2]
    mask = question.region(shape)
    if mask is None:
        return None, "" if finding.map is None else validity.map_fault(finding.map, shape)
    if finding.map is None:
        return detection.summarize_map(detection.worst_map(mask), mask), ""
    if fault := validity.map_fault(finding.map, shape):
        return detection.summarize_map(detection.worst_map(mask), mask), fault
    return detection.summarize_map(finding.map, mask), ""


def _locate_batch(
    localizer: Localizer, images: list[np.ndarray], told: list[Told] | None
) -> tuple[list[Finding], list[str]]:
    """Findings and reasons of failure; if the batch fails, each image is tried alone."""
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
            return [NO_ANSWER], [error_text(error)]
    single = [
        _locate_batch(localizer, [image], [told[i]] if told else None)
        for i, image in enumerate(images)
    ]
    return [findings[0] for findings, _ in single], [reasons[0] for _, reasons in single]
