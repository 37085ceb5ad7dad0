"""The tables of a sharpness measurement."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from localize.sharpness.run_pod import Analysis


@dataclass(frozen=True)
class Measurement:
    """The tables of a run, its record (``about``) and its folder.

    Args:
        false_calls, detected, called: ``false_calls.csv``, ``thresholds-detected.csv`` and
            ``thresholds-called.csv``; empty without calls.
        pod: ``pod.csv``: the probability of detection of each method, side and answer.
        analyses: the same with all models, for the figures and the report.
    """

    trials: pd.DataFrame
    rates: pd.DataFrame
    thresholds: pd.DataFrame
    pairs: pd.DataFrame
    about: dict[str, Any]
    folder: Path
    false_calls: pd.DataFrame = field(default_factory=pd.DataFrame)
    detected: pd.DataFrame = field(default_factory=pd.DataFrame)
    called: pd.DataFrame = field(default_factory=pd.DataFrame)
    pod: pd.DataFrame = field(default_factory=pd.DataFrame)
    analyses: list[Analysis] = field(default_factory=list)
