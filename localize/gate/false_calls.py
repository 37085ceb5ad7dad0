"""The rate of false calls: clean images whose score reaches the decision threshold of a method."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from localize.evaluation import tables
from localize.gate.estimate import Estimate
from localize.gate.requirement import Requirement
from synth.errors import InputError
from synth.number_kinds import ABOVE_ZERO, FINITE, SHARE

FILE = "false_calls.csv"  # in the folder of a run
TEXTS = ("method", "reason")
NUMBERS = {**dict.fromkeys(("wanted", "rate", "low", "high"), SHARE), "clean": ABOVE_ZERO}
LATER = dict.fromkeys(("photos", "seed"), FINITE)  # not in all tables


def estimate(folder: Path, requirement: Requirement, method: str) -> Estimate:
    """The measured rate of a method, with the interval of the table.

    Of several seeds, it is the mean rate, and the interval holds those of all seeds.

    Raises:
        InputError: the run has no such table, or the method no row in it.
    """
    if not (folder / FILE).is_file():
        raise InputError(
            f"'{requirement}': {folder} has no {FILE}: measure it again with --false-calls RATE"
        )
    rows = _rows(folder, method)
    if not len(rows):
        return Estimate(math.nan, reason=f"{FILE} has no row of {method}")
    first = rows.iloc[0]
    basis = f"{first['clean']:.0f} clean images"
    if first.get("photos", math.nan) > 0:
        basis += f", {first['photos']:.0f} photos"
    if len(rows) > 1:
        basis += f", {len(rows)} seeds"
    reasons = [reason for reason in rows["reason"] if reason]
    if reasons:
        return Estimate(math.nan, basis=basis, reason=reasons[0])
    ends = float(rows["low"].min()), float(rows["high"].max())
    return Estimate(float(rows["rate"].mean()), *ends, basis)


def reason(folder: Path, method: str) -> str:
    """Why a method makes no calls, or ""."""
    reasons = [str(each) for each in _rows(folder, method)["reason"] if each]
    return reasons[0] if reasons else ""


def wanted(folder: Path, method: str) -> float | None:
    """The wanted rate of false calls of a method; None if the run has no calls of it."""
    rows = _rows(folder, method)
    return float(rows["wanted"].iloc[0]) if len(rows) and not rows["reason"].any() else None


def _rows(folder: Path, method: str) -> pd.DataFrame:
    """The rows of a method: one, or one for each seed; none if there is no such table."""
    table = tables.read(folder / FILE, [*TEXTS, *NUMBERS], TEXTS, {**NUMBERS, **LATER})
    return table[table["method"] == method]
