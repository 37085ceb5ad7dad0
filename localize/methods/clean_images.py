"""What the methods that learn from clean images share: the threshold of their scores."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from localize.localizer import Source
from synth.errors import InputError

QUANTILE = 0.95  # share of the clean validation images with a score below the threshold


def none_to_learn_from(method: str) -> InputError:
    """The error for a training split without a clean image."""
    return InputError(
        f"{method} learns from clean images and the training split has none: "
        "make the dataset with synth generate --twins"
    )


def groups(images: Iterable[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    """Images -> lists of ``size`` images; the last one may be shorter."""
    remaining = iter(images)
    while group := list(itertools.islice(remaining, size)):
        yield group


def scores(
    val: Source,
    score: Callable[[Sequence[np.ndarray]], Sequence[float]],
    size: int,
    step: Callable[[int, int], None],
) -> list[float]:
    """The image scores of the clean validation images.

    Args:
        score: images -> their scores, for ``size`` images at a time.
        step: called with the number of scored images and of all images.
    """
    found: list[float] = []
    images = val.clean()
    total = operator.length_hint(images, 0)
    for group in groups(images, size):
        found += score(group)
        step(len(found), max(len(found), total))
    return found


def threshold(scores: Sequence[float]) -> float | None:
    """The score that an image with an anomaly exceeds: the QUANTILE of clean validation images.

    None if there are none.
    """
    return float(np.quantile(scores, QUANTILE)) if len(scores) else None


def threshold_entry(scores: Sequence[float]) -> dict[str, Any]:
    """The threshold of these scores, as ``model.json`` holds it."""
    return {
        "score": threshold(scores),
        "what": f"{QUANTILE} quantile of the scores of clean validation images"
        if len(scores)
        else "none: the validation split has no clean image",
        "images": len(scores),
    }
