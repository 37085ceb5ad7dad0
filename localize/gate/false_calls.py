"""The rate of false calls: clean images whose score reaches the decision threshold of a method."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from localize.evaluation import tables
from localize.gate.estimate import Estimate
from localize.gate.requirement import Requirement
from synth.errors import InputError
from synth.number_kinds import ABOVE_ZERO, SHARE

FILE = "false_calls.csv"  # in the folder of a run
TEXTS = ("method", "reason")
NUMBERS = {**dict.fromkeys(("rate", "low", "high"), SHARE), "clean": ABOVE_ZERO}


def estimate(folder: Path, requirement: Requirement, method: str) -> Estimate:
    """The measured rate of a method, with the interval of the table.

    Raises:
        InputError: the run has no such table, or the method no row in it.
    """
    if not (folder / FILE).is_file():
        raise InputError(
            f"'{requirement}': {folder} has no {FILE}: measure it again with --false-calls RATE"
        )
    row = _row(folder, method)
    if row is None:
        return Estimate(math.nan, reason=f"{FILE} has no row of {method}")
    value, low, high = (float(row[name]) for name in ("rate", "low", "high"))
    return Estimate(value, low, high, f"{row['clean']:.0f} clean images", row["reason"])


def reason(folder: Path, method: str) -> str:
    """Why a method makes no calls, or ""."""
    row = _row(folder, method)
    return "" if row is None else str(row["reason"])


def _row(folder: Path, method: str) -> dict[Any, Any] | None:
    """The first row of a method, if there is one."""
    table = tables.read(folder / FILE, [*TEXTS, *NUMBERS], TEXTS, NUMBERS)
    rows = table[table["method"] == method].to_dict("records")
    return rows[0] if rows else None
