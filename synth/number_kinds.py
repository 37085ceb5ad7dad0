"""The kinds of numbers that a table's columns may hold, and the parser of their cells."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST = 1e9  # px: no coordinate or size is larger
NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
COMMA_NUMBER = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?", re.ASCII)
_INFINITE = re.compile(r"[+-]?inf(?:inity)?", re.ASCII | re.IGNORECASE)
_DIGITS = frozenset("0123456789+-.eE")
_SHOWN = 60  # characters of a cell in a message


@dataclass(frozen=True)
class Number:
    """What a column of numbers may hold.

    Args:
        low, high: the limits, both included.
        words: the same in words, for messages.
        empty: whether a cell may be empty; it is read as NaN.
        infinite: whether inf and -inf are numbers here.
        nan: whether the word nan is an empty cell.
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
    """The cells of a column -> their numbers, NaN where a cell holds none.

    Args:
        comma: whether a decimal comma is understood.
    """
    if set("".join(column)) <= _DIGITS:  # nearly always, and twenty times as fast
        try:
            return [float(cell) if cell else math.nan for cell in column]
        except ValueError:
            pass
    return [_parse_cell(cell, kind, comma) for cell in column]


def _parse_cell(cell: str, kind: Number, comma: bool) -> float:
    """A cell -> its number, NaN where it is none."""
    if NUMBER.fullmatch(cell) or (kind.infinite and _INFINITE.fullmatch(cell)):
        return float(cell)
    if comma and COMMA_NUMBER.fullmatch(cell):
        return float(cell.replace(",", "."))
    return math.nan


def cell_error(cell: str, value: float, kind: Number, advice: str) -> str:
    """What is wrong with a cell, to stand behind the name of its column in a message."""
    if not cell:
        return f"is '', not a number: {advice}"
    if not math.isnan(value):
        return f"is '{shorten(cell)}', not {kind.words}: {advice}"
    if COMMA_NUMBER.fullmatch(cell):
        return f"is '{shorten(cell)}', not a number: write the decimal point as a point"
    return f"is '{shorten(cell)}', not a number: {advice}"


def shorten(cell: str) -> str:
    """A cell as messages show it: its beginning, on one line."""
    short = cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}…"
    return " ".join(short.split())
