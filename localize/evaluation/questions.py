"""The questions about the images of a dataset, in the order in which they are asked."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from localize.data.folder import Folder, Unplaced
from localize.evaluation.answers import Question
from localize.localizer import Told
from synth import anomaly
from synth.anomaly import Anomaly

UNKNOWN = Told(math.nan, math.nan)


def questions_of(source: Folder, clean: bool, told: bool) -> list[Question]:
    """The questions about the images with an anomaly, or about the clean ones."""
    return clean_questions(source, told) if clean else anomaly_questions(source)


def anomaly_questions(source: Folder) -> list[Question]:
    """One question for each image with an anomaly: those with a place, then the unplaced ones."""
    questions = []
    for i, (name, photo) in enumerate(zip(source.table["file_name"], source.groups, strict=True)):
        truth, _ = source.truth(i)
        told, read = Told(truth.r, truth.discolor_ratio), partial(_read_image, source, i)
        region = partial(_region, truth)
        questions.append(Question(name, photo, read, told, truth, False, region))
    for each in source.unplaced:
        read, mask = partial(source.read_row, each.row), partial(_mask, source, each)
        questions.append(Question(each.name, each.photo, read, UNKNOWN, None, False, mask))
    return questions


def clean_questions(source: Folder, told: bool) -> list[Question]:
    """One question for each clean image; for a told method the clean twins alone."""
    questions = []
    for each in source.negatives(told):
        partner = None if each.partner is None else source.truth(each.partner)[0]
        values = Told(partner.r, partner.discolor_ratio) if partner else UNKNOWN
        read, region = partial(source.read_image, each.name), partial(np.zeros, dtype=bool)
        questions.append(Question(each.name, each.photo, read, values, None, True, region))
    return questions


def _read_image(source: Folder, index: int) -> np.ndarray:
    return source[index].image


def _region(truth: Anomaly, shape: tuple[int, ...]) -> np.ndarray:
    return anomaly.mask(truth, *shape)


def _mask(source: Folder, unplaced: Unplaced, shape: tuple[int, ...]) -> np.ndarray | None:
    return source.region(unplaced)
