"""Places and radii in tables of others: in pixels, or as parts of the picture's size.

A fraction of the width counts from the picture's left edge, as labels of YOLO do, and pixel
centres are at integers: the fraction f is at x = f W - ½ px, in the row f H - ½. A radius is a
fraction of the width, whatever the height.
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
ADVICE = "pass --unit fraction or percent to convert, --unit px to keep"
HELP = (
    "px; or fraction (0 to 1) or percent of the size: x and r of the width, y of the height, "
    "from the outer edge [px, but a table within 0 to 1 is refused]."
)


def check(unit: str | None) -> None:
    """Refuse a unit that is none; None stands for pixels that nobody vouched for."""
    if unit is not None and unit not in UNITS:
        raise InputError(f"unit '{unit}' is unknown: use {', '.join(UNITS)}")


def numbers(
    table: Table, kinds: dict[str, Number], unit: str | None, advice: str
) -> dict[str, list[float]]:
    """The columns of places and radii -> their numbers, in the table's own unit.

    Raises:
        InputError: a cell is no number, or has a per cent sign where the unit is another.
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
    """Refuse a table, whose unit nobody named, if its numbers look like parts of the size.

    Args:
        what: the table, for the message.
        x, y, r: all numbers of it; NaN is none.

    Raises:
        InputError: all x and y lie within 0 to 1, or all r are below half a pixel.
    """
    places = [value for value in (*x, *y) if not math.isnan(value)]
    if places and all(0 <= value <= 1 for value in places):
        raise InputError(
            f"{what}: all x and y lie within 0 to 1, which are hardly pixels: {advice}"
        )
    radii = [value for value in r if value > 0]
    if radii and all(value < 0.5 for value in radii):
        raise InputError(f"{what}: all r are below half a pixel: {advice}")


def to_px(value: float, side: int, unit: str | None) -> float:
    """A coordinate along a side of so many px -> px from the edge of the picture.

    >>> to_px(0.5, 100, "fraction"), to_px(25, 200, "percent"), to_px(3.5, 100, "px")
    (50.0, 50.0, 3.5)
    """
    if unit == "fraction":
        return value * side
    return value * side / 100 if unit == "percent" else value
