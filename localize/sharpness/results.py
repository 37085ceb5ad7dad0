"""The tables of a sharpness measurement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Measurement:
    """The tables of a run, its record (``about``) and its folder."""

    trials: pd.DataFrame
    rates: pd.DataFrame
    thresholds: pd.DataFrame
    pairs: pd.DataFrame
    about: dict[str, Any]
    folder: Path
