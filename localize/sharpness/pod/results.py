"""The result of a POD analysis: its tables, warnings and record."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True, eq=False)
class PodResult:
    """The probability of detection of an inspection.

    Args:
        models: ``pod.csv``: a row per model, one of them chosen.
        curve: ``curve.csv``: size, POD and its bounds for the chosen model.
        parts: ``parts.csv``: a row for each part of ``by``; empty without.
        warnings: sentences about what makes the estimate doubtful, each with what to add.
        about: the record of the run.
    """

    models: pd.DataFrame
    curve: pd.DataFrame
    parts: pd.DataFrame
    warnings: tuple[str, ...]
    about: dict[str, Any]
    folder: Path | None = field(default=None)

    @property
    def chosen(self) -> pd.Series:
        """The row of the chosen model."""
        row: pd.Series = self.models[self.models["chosen"] == 1].iloc[0]
        return row
