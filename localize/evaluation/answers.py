"""Questions to a localizer, one per image, and its answers in JSON types for the answer log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from localize.evaluation.detection import MapSummary
from localize.localizer import Finding, Told
from synth.anomaly import Anomaly

# The fields of a Finding except its map.
FINDING_FIELDS = ("x", "y", "r", "ratio", "score", "gap_evidence")


@dataclass(frozen=True)
class Question:
    """An image, what a told method is given with it, and what is known of its anomaly.

    Args:
        told: r and ratio; NaN where they are not known.
        truth: the anomaly; None for a clean image, and where the place is not known.
        is_clean: whether the image has no anomaly.
        region: (H, W) -> (H, W) bool: the pixels of the anomaly; None if they are not known.
    """

    name: str
    photo: str
    read: Callable[[], np.ndarray]
    told: Told
    truth: Anomaly | None
    is_clean: bool
    region: Callable[[tuple[int, ...]], np.ndarray | None]


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Args:
        reason: why there is no valid place or map, or "".
        seconds: inference time.
        summary: of the map; of the worst map where a method whose maps mark the region gave none.
        mapped: whether the method gave a valid map.
    """

    question: Question
    finding: Finding
    reason: str
    seconds: float
    summary: MapSummary | None = None
    mapped: bool = False

    def to_json(self) -> dict[str, Any]:
        """All fields but the question in JSON types, for the answer log."""
        finding = {name: _float_or_none(getattr(self.finding, name)) for name in FINDING_FIELDS}
        return finding | {
            "reason": self.reason,
            "seconds": self.seconds,
            "sketch": self.summary and self.summary.to_json(),
            "mapped": self.mapped,
        }

    @staticmethod
    def from_json(question: Question, line: dict[str, Any]) -> Answer:
        """The inverse of :meth:`to_json`."""
        summary = line["sketch"] and MapSummary.from_json(line["sketch"])
        fields: dict[str, Any] = {name: line.get(name) for name in FINDING_FIELDS}
        finding = Finding(**fields)
        return Answer(question, finding, line["reason"], line["seconds"], summary, line["mapped"])


def _float_or_none(value: Any) -> float | None:
    return None if value is None else float(value)
