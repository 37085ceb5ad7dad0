"""A folder that ``evaluate``, ``compare`` or ``score`` wrote: columns of ``scores.csv``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from localize.evaluation import by_ratio, tables
from localize.evaluation.detection import IMAGE_METRICS, PIXEL_METRICS
from localize.evaluation.scoring import SCORES
from localize.gate import false_calls, quantities
from localize.gate.estimate import Estimate
from localize.gate.requirement import Requirement
from localize.localizer import HIT_RADIUS
from synth import number_kinds
from synth.errors import InputError

TEXTS = ("method", "split", "note")
DETECTED_ENDS = ("detected_low", "detected_high")
NUMBERS = dict.fromkeys(
    (name for name in (*SCORES, *quantities.KINDS["scores"], *DETECTED_ENDS) if name not in TEXTS),
    number_kinds.INFINITE,
)
PLACES = ("x", "y", "r", "discolor_ratio", "distance")
PREDICTION_TEXTS = ("method", "file_name", "photo")
PREDICTION_NUMBERS = {
    **dict.fromkeys(PLACES, number_kinds.INFINITE),
    "score": number_kinds.INFINITE,
    "seed": number_kinds.FINITE,
}
CLEAN_NUMBERS = {"score": number_kinds.INFINITE, "seed": number_kinds.FINITE}
HITS = ("hit@5", "hit@r")  # whose intervals are computed here, since scores.csv has none


@dataclass(frozen=True, eq=False)
class ScoreRun:
    """Scores of methods on a dataset.

    Args:
        scores: ``scores.csv``.
    """

    folder: Path
    record: dict[str, Any]
    scores: pd.DataFrame
    kind: str = "scores"

    @classmethod
    def read(cls, folder: Path) -> ScoreRun:
        """A folder -> its run.

        Raises:
            InputError: a file is damaged or missing.
        """
        record = tables.read_record(folder / "comparison.json")
        return cls(folder, record, _read(folder / "scores.csv", ["method", "n"], TEXTS, NUMBERS))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods in the order of the table."""
        return tuple(dict.fromkeys(self.scores["method"]))

    def estimate(self, requirement: Requirement, method: str) -> Estimate:
        """A column of ``scores.csv`` with its interval.

        Raises:
            InputError: the requirement does not fit the run.
        """
        quantities.check_words(requirement, "end")
        name = requirement.quantity
        if name == quantities.FALSE_CALLS:
            return false_calls.estimate(self.folder, requirement, method)
        if name not in self.scores:
            options = {
                **dict.fromkeys(quantities.OVER_SEEDS, " with --seeds N"),
                **dict.fromkeys(quantities.CALL_SCORES, " with --false-calls RATE"),
            }
            raise InputError(
                f"'{requirement}': {self.folder / 'scores.csv'} has no column {name}: make it "
                f"again{options.get(name, '')}"
            )
        row = self.scores[self.scores["method"] == method].to_dict("records")[0]
        low, high = self._interval(name, method, row)
        if requirement.end and math.isnan(low) and name not in HITS and f"{name}_low" not in row:
            raise InputError(
                f"'{requirement}': {name} has no interval: leave {requirement.end} out"
            )
        value, note = float(row[name]), str(row.get("note") or "")
        reason = "" if math.isfinite(value) else _why_not(name)
        images = row["n"]
        if name in (*IMAGE_METRICS, *PIXEL_METRICS) and math.isfinite(row.get("n_clean", math.nan)):
            images += row["n_clean"]
        return Estimate(
            value, low, high, f"{images:.0f} images", reason, notes=(note,) if note else ()
        )  # fmt: skip

    def has(self, name: str, method: str) -> bool:
        """Whether a method has a number in a column of ``scores.csv``."""
        own = self.scores[self.scores["method"] == method]
        return name in own and bool(own[name].notna().any())

    def predictions(self, method: str) -> pd.DataFrame:
        """The rows of a method in ``predictions.csv``."""
        table = _read(
            self.folder / "predictions.csv", [*PREDICTION_TEXTS, *PLACES], PREDICTION_TEXTS,
            PREDICTION_NUMBERS,
        )  # fmt: skip
        return table[table["method"] == method]

    def clean(self, method: str) -> pd.DataFrame:
        """The rows of a method in ``clean.csv``; none if there is no such file."""
        table = tables.read(
            self.folder / "clean.csv", [*PREDICTION_TEXTS, "score"], PREDICTION_TEXTS, CLEAN_NUMBERS
        )
        return table[table["method"] == method]

    def _interval(self, name: str, method: str, row: dict[Any, Any]) -> tuple[float, float]:
        if name not in HITS:
            low, high = (float(row.get(f"{name}_{end}", math.nan)) for end in ("low", "high"))
            return low, high
        rows = self.predictions(method)
        hits = rows["distance"] <= (HIT_RADIUS if name == "hit@5" else rows["r"])
        images = len(rows) // seeds_of(rows)
        return by_ratio.rate_interval(hits.to_numpy(float), rows["photo"].tolist(), images)


def seeds_of(rows: pd.DataFrame) -> int:
    """With how many seeds the method of some predictions was trained, at least 1."""
    return max(1, rows["seed"].nunique()) if "seed" in rows else 1


def _why_not(name: str) -> str:
    """Why scores.csv has no number in a column."""
    if name in (*IMAGE_METRICS, "best_f1_threshold", "n_clean"):
        return "the method gives no score, or there are no clean images"
    if name in PIXEL_METRICS:
        return "the method gives no map of the region"
    return "scores.csv has no number there"


def _read(path: Path, needed: list[str], texts: tuple[str, ...], numbers: Any) -> pd.DataFrame:
    """A table that must be there."""
    if not path.is_file():
        raise InputError(f"{path} is missing: make it again")
    return tables.read(path, needed, texts, numbers)
