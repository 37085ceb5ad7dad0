"""Kinds of numbers in table columns, and the parser of their cells."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST = 1e9  # px: largest coordinate or size
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.ASCII | re.IGNORECASE)
_DIGITS = frozenset("0123456789+-.eE")
_SHOWN = 60  # characters of a cell in a message


@dataclass(frozen=True)
class Number:
    """The numbers that a column may hold.

    Args:
        low, high: limits, both included.
        words: the limits in words, for messages.
        empty: whether a cell may be empty; it is read as NaN.
        infinite: whether inf and -inf are allowed.
        nan: whether the word nan counts as an empty cell.
    """

    low: float = -math.inf
    high: float = math.inf
    words: str = "a finite number"
    empty: bool = True
    infinite: bool = False
    nan: bool = False


FINITE = Number()
INFINITE = Number(words="a number", infinite=True)
PIXELS = Number(-MOST, MOST, f"a number of px from {-MOST:g} to {MOST:g}")
SIZE = Number(0, MOST, f"a number of px from 0 to {MOST:g}")
DISTANCE = Number(0, 3 * MOST, f"a number of px from 0 to {3 * MOST:g}")
ABOVE_ZERO = Number(0, words="a finite number from 0")
POSITIVE = Number(math.ulp(0.0), MOST, f"a number above 0, at most {MOST:g}")
SHARE = Number(0, 1, "a number from 0 to 1")
STEP = Number(0, words="a number from 0", infinite=True)


def parse(column: Sequence[str], kind: Number, comma: bool) -> list[float]:
    """Cells of a column -> their numbers; NaN if a cell is not a number.

    Args:
        column: the cells.
        kind: the numbers that the column may hold.
        comma: whether a decimal comma is allowed.
    """
    if set("".join(column)) <= _DIGITS:  # the usual case, 20 times as fast
        try:
            return [float(cell) if cell else math.nan for cell in column]
        except ValueError:
            pass
    return [_parse_cell(cell, kind, comma) for cell in column]


def _parse_cell(cell: str, kind: Number, comma: bool) -> float:
    """A cell -> its number, or NaN."""
    if NUMBER.fullmatch(cell) or (kind.infinite and _INFINITE.fullmatch(cell)):
        return float(cell)
    if comma and COMMA_NUMBER.fullmatch(cell):
        return float(cell.replace(",", "."))
    return math.nan


def cell_error(cell: str, value: float, kind: Number, advice: str) -> str:
    """What is wrong with a cell: the part of a message after the name of the column."""
    if not cell:
        return f"is '', not a number: {advice}"
    if not math.isnan(value):
        return f"is '{shorten(cell)}', not {kind.words}: {advice}"
    if COMMA_NUMBER.fullmatch(cell):
        return f"is '{shorten(cell)}', not a number: write a decimal point, not a comma"
    return f"is '{shorten(cell)}', not a number: {advice}"


def shorten(cell: str) -> str:
    """The beginning of a cell on one line, for messages."""
    short = cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…"
    return " ".join(short.split())
