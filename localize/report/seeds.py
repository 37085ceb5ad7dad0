"""The column of the score table about methods that were trained with several seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from localize.report.markup import Cell, Column
from localize.report.numbers import number

COLUMN = Column(
    "SD over seeds, px",
    about="standard deviation of the mean distance over the seeds that a method was trained with; "
    "all other values of such a method are over all its seeds, and intervals are over photos",
)


def deviation_cell(score: Mapping[Any, Any]) -> Cell:
    """A row of the scores -> the standard deviation over the method's seeds, and their number."""
    seeds = float(score.get("seeds", math.nan))
    deviation = float(score.get("mean_distance_sd", math.nan))
    return Cell(number(deviation), deviation, "" if math.isnan(seeds) else f"{seeds:.0f} seeds")
