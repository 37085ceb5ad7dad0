"""Units of coordinates and radii in foreign tables: px, or fraction or percent of the image size.

Fractions count from the outer left and top edge, as in YOLO labels. As pixel centres are at
integers, the fraction f of the width W is x = f W - ½ px, and of the height H y = f H - ½ px. A
radius is a fraction of the width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from synth.errors import InputError
from synth.number_kinds import Number
from synth.tables import Table

Unit = Literal["px", "fraction", "percent"]
UNITS: tuple[str, ...] = get_args(Unit)
ADVICE = "pass --unit fraction or percent to convert them, or --unit px to keep them"
HELP = (
    "Unit of x, y and r in the table: px, or fraction (0 to 1) or percent of the image's width "
    "(y: height), from its outer edge [default: px, but a table with all x and y in 0 to 1 is "
    "rejected]."
)


def check(unit: str | None) -> None:
    """Raises InputError for an unknown unit. None, for px by default, is valid."""
    if unit is not None and unit not in UNITS:
        raise InputError(f"unit '{unit}' is unknown: use {', '.join(UNITS)}")


def numbers(
    table: Table, kinds: dict[str, Number], unit: str | None, advice: str
) -> dict[str, list[float]]:
    """Numbers of the columns of coordinates and radii, in the table's own unit.

    Raises:
        InputError: a cell is not a number, or has a percent sign although the unit is another.
    """
    if unit != "percent":
        for name in kinds:
            for row, cell in enumerate(table.column(name)):
                if cell.endswith("%"):
                    raise InputError(
                        f"{table.place(row)}: {name} is '{cell[:40]}': pass --unit percent"
                    )
    return table.numbers(kinds, advice, signs=unit == "percent")


def refuse_fractions(
    what: object,
    x: Sequence[float],
    y: Sequence[float],
    r: Sequence[float] = (),
    advice: str = ADVICE,
) -> None:
    """Rejects a table without a unit if all its numbers could be fractions of the image size.

    Args:
        what: the table, for the message.
        x, y, r: all its numbers; NaN is ignored.
        advice: what the user should do; ends the message.

    Raises:
        InputError: all x and y are in 0 to 1, or all r are below 0.5 px.
    """
    places = [value for value in (*x, *y) if not math.isnan(value)]
    if places and all(0 <= value <= 1 for value in places):
        raise InputError(
            f"{what}: all x and y are in 0 to 1, so they are probably not px: {advice}"
        )
    radii = [value for value in r if value > 0]
    if radii and all(value < 0.5 for value in radii):
        raise InputError(f"{what}: all r are below 0.5 px: {advice}")


def to_px(value: float, side: int, unit: str | None) -> float:
    """Converts a coordinate along a side of ``side`` px to px from the outer edge.

    >>> to_px(0.5, 100, "fraction"), to_px(25, 200, "percent"), to_px(3.5, 100, "px")
    (50.0, 50.0, 3.5)
    """
    if unit == "fraction":
        return value * side
    return value * side / 100 if unit == "percent" else value
