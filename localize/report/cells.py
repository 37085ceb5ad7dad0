"""Cells of the tables of scores: values with intervals, shares, numbers."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from localize.evaluation.detection import Estimate
from localize.report.markup import Cell
from localize.report.numbers import interval, number, percent


def estimate_cell(value: Estimate, digits: int = 1) -> Cell:
    """A value and its interval."""
    limits = interval(value.low, value.high, digits)
    return Cell(number(value.value, digits), float(value.value), limits)


def share_cell(value: Estimate) -> Cell:
    """A share in percent and its interval."""
    limits = interval(value.low, value.high, 0, 100)
    return Cell(percent(value.value), float(value.value), limits)


def number_cell(value: Any, digits: int) -> Cell:
    """A number; a dash if it is missing."""
    as_float = math.nan if value is None or pd.isna(value) else float(value)
    return Cell(number(as_float, digits), as_float)
