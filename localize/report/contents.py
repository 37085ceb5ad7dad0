"""The contents of a report page, and the sections that both kinds of pages share."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from localize.registry import METHODS
from localize.report import figures
from localize.report.markup import Cell, Column, Html, details, el, join, section, table
from localize.report.numbers import enumerate_names

MAX_ERRORS = 50  # rows of the table of errors
Styles = dict[str, tuple[str, str]]  # method -> colour and marker, as in the plots


@dataclass(frozen=True)
class Contents:
    """The contents of a page.

    Args:
        subject: the dataset or photos, and the number of images or trials.
        summary: the main results in sentences.
        small: definitions that are needed to read the summary and the tables.
    """

    title: str
    subject: str
    summary: list[Html]
    small: str
    sections: list[Html]


def method_entries(recorded: dict[str, Any], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The record's entry of each method; what it lacks comes from the registry."""
    entries: dict[str, dict[str, Any]] = {}
    for name in names:
        entry = METHODS.get(name.partition(" (")[0])
        registered: dict[str, Any] = {"summary": entry.summary} if entry else {}
        if entry and name not in recorded:
            registered |= {"told": sorted(entry.told), "learns": entry.learns}
        entries[name] = registered | {
            key: each for key, each in recorded.get(name, {}).items() if each != ""
        }
    return entries


def method_label(method: str, styles: Styles) -> Html:
    """A method's name after a dot in its colour of the plots."""
    colour = figures.theme_colour(styles.get(method, ("#000000", ""))[0])
    return join(el("i", class_="dot", style=f"background: {colour}"), method)


def inputs_text(told: Sequence[str] | frozenset[str] | None) -> str:
    """What a method is told beside the image, for a table."""
    if told is None:
        return "unknown"
    words = {"r": "radius", "discolor_ratio": "ratio"}
    names = [words.get(each, each) for each in sorted(told, reverse=True)]
    return f"told {enumerate_names(names)}" if names else "image-only"


def options_text(options: dict[str, Any]) -> str:
    """The options of a command and their values, for a table."""
    texts = {
        name: "×".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in options.items()
    }
    return ", ".join(f"{name} {text}" for name, text in texts.items())


def methods_table(methods: dict[str, dict[str, Any]], styles: Styles) -> Html:
    """The table of what the methods are told and what they learn from, with descriptions.

    Args:
        methods: of :func:`method_entries`.
    """
    columns = [Column(name, False) for name in ("method", "input", "learns from", "description")]
    rows = [
        [
            Cell(method_label(name, styles), name),
            Cell(inputs_text(entry.get("told"))),
            Cell(str(entry.get("learns") or "–")),
            Cell(str(entry.get("summary") or "–"), kind="long"),
        ]
        for name, entry in methods.items()
    ]
    return table("The methods; a told method is given values beside the image", columns, rows)


def failure_section(errors: pd.DataFrame, styles: Styles) -> Html:
    """The images on which a method failed, with the reason."""
    rows = [
        [Cell(method_label(str(row["method"]), styles), str(row["method"])),
         Cell(str(row["file_name"])), Cell(str(row["reason"]))]
        for row in errors.head(MAX_ERRORS).to_dict("records")
    ]  # fmt: skip
    columns = [Column("method", False), Column("image", False), Column("reason", False)]
    more = len(errors) - len(rows)
    return section(
        "Failures",
        table(f"{len(errors)} images without a valid answer; each counts as a miss", columns, rows)
        if rows
        else "",
        el("p", f"The first {len(rows)}; {more} more are not shown.", class_="small")
        if more > 0
        else "",
        name="errors",
    )


def reproduction_section(about: dict[str, Any], versions: dict[str, Any], *more: Html) -> Html:
    """The command that repeats the run, and the versions of the packages."""
    command = about.get("command")
    steps = el("pre", el("code", shlex.join(map(str, command)))) if command else ""
    lines = "\n".join(f"{name} {version}" for name, version in versions.items())
    return section(
        "How to reproduce",
        steps,
        details("Versions", el("pre", el("code", lines))) if lines else "",
        *more,
        name="repeat",
    )


def json_details(title: str, value: Any) -> Html:
    """A JSON value in a block that opens on click; empty without a value."""
    if not value:
        return Html("")
    return details(title, el("pre", el("code", format_json(value))))


def format_json(value: Any, indent: str = "") -> str:
    """A JSON value as text, with each list on one line.

    >>> print(format_json({"a": [1, 2], "b": {"c": None}}))
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
    lines = [f"{inner}{json.dumps(key)}: {format_json(each, inner)}" for key, each in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
