"""What a page consists of, and the parts that pages share."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from localize.registry import METHODS
from localize.report import figures
from localize.report.markup import Cell, Column, Html, el, folded, join, section, table
from localize.report.numbers import listed

MOST_ERRORS = 50  # rows of the table of errors
Looks = dict[str, tuple[str, str]]  # colour and marker by method, as in the plots


@dataclass(frozen=True)
class Contents:
    """A page: what it is about, the answer, and its sections; ``small`` says how to read it."""

    title: str
    subject: str
    answer: list[Html]
    small: str
    sections: list[Html]


def known(noted: dict[str, Any], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What is known of each method: noted when it was asked, else from the registry."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        entry = METHODS.get(name.partition(" (")[0])
        registered: dict[str, Any] = {"summary": entry.summary} if entry else {}
        if entry and name not in noted:
            registered |= {"told": sorted(entry.told), "learns": entry.learns}
        found[name] = registered | {
            key: each for key, each in noted.get(name, {}).items() if each != ""
        }
    return found


def named(method: str, colours: Looks) -> Html:
    """A method's name beside its colour in the plots."""
    colour = figures.colour(colours.get(method, ("#000000", ""))[0])
    return join(el("i", class_="dot", style=f"background: {colour}"), method)


def told(what: Sequence[str] | frozenset[str] | None) -> str:
    """What a method is told, in words."""
    if what is None:
        return "not known"
    words = {"r": "radius", "discolor_ratio": "ratio"}
    names = [words.get(each, each) for each in sorted(what, reverse=True)]
    return listed(names or ["picture alone"])


def failures(errors: pd.DataFrame, colours: Looks) -> Html:
    """Which method failed on which image, and why."""
    rows = [
        [Cell(named(str(row["method"]), colours), str(row["method"])), Cell(str(row["file_name"])),
         Cell(str(row["reason"]))]
        for row in errors.head(MOST_ERRORS).to_dict("records")
    ]  # fmt: skip
    columns = [Column("method", False), Column("image", False), Column("reason", False)]
    more = len(errors) - len(rows)
    return section(
        "What failed",
        table(f"{len(errors)} answers are missing; each counts as a miss", columns, rows)
        if rows
        else "",
        el("p", f"The first {len(rows)}; errors.csv lists the other {more}.", class_="small")
        if more > 0
        else "",
        name="errors",
    )


def repeat(about: dict[str, Any], versions: dict[str, Any], *more: Html) -> Html:
    """The command, the request as JSON, and the versions."""
    command = about.get("command")
    steps = el("pre", el("code", shlex.join(map(str, command)))) if command else ""
    lines = "\n".join(f"{name} {version}" for name, version in versions.items())
    return section(
        "To repeat it",
        steps,
        folded("Versions", el("pre", el("code", lines))) if lines else "",
        *more,
        name="repeat",
    )


def as_json(title: str, value: Any) -> Html:
    """A JSON value, folded."""
    if not value:
        return Html("")
    return folded(title, el("pre", el("code", pretty(value))))


def pretty(value: Any, indent: str = "") -> str:
    """A JSON value as text, lists in a line each.

    >>> print(pretty({"a": [1, 2], "b": {"c": None}}))
    {
      "a": [1, 2],
      "b": {
        "c": null
      }
    }
    """
    if not isinstance(value, dict) or not value:
        return json.dumps(value, ensure_ascii=False)
    inner = indent + "  "
    lines = [f"{inner}{json.dumps(key)}: {pretty(each, inner)}" for key, each in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
