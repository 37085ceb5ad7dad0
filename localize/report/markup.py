"""Builds HTML; text that is not :class:`Html` is escaped."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

_VOID_TAGS = {"br", "img", "meta", "hr"}
# Characters that XML and HTML do not allow even when escaped, and marks of text direction.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


class Html(str):
    """Text that is HTML markup and is not escaped again."""

    __slots__ = ()


def escape(text: str) -> Html:
    """Text -> HTML that displays it; markup is returned unchanged.

    >>> escape("<b> & 'c'"), escape(Html("<b>"))
    ('&lt;b&gt; &amp; &#x27;c&#x27;', '<b>')
    """
    return text if isinstance(text, Html) else Html(html.escape(_FORBIDDEN.sub("\ufffd", text)))


def join(*parts: str, between: str = "") -> Html:
    """Concatenates texts and markup."""
    return Html(escape(between).join(escape(part) for part in parts))


def el(name: str, /, *children: str, **attributes: str | bool | None) -> Html:
    """An HTML element; write ``class_`` and ``aria_sort`` for ``class`` and ``aria-sort``.

    An attribute that is None or False is left out; one that is True gets no value.

    >>> el("p", "1 < 2", class_="note", hidden=True)
    '<p class="note" hidden>1 &lt; 2</p>'
    """
    opened = name
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        opened += f" {key}" if value is True else f' {key}="{escape(str(value))}"'
    if name in _VOID_TAGS:
        return Html(f"<{opened}>")
    return Html(f"<{opened}>{join(*children)}</{name}>")


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Args:
        text: the displayed text.
        value: the sort key; None means the text. NaN comes last in either direction.
        note: small text below, such as the interval.
        kind: CSS class.
    """

    text: str
    value: float | str | None = None
    note: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        number: whether the cells are right-aligned numbers.
        about: explanation of the heading, shown below the table.
    """

    head: str
    number: bool = True
    about: str = ""


def table(caption: str, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Html:
    """A table with a caption, sortable by any column; its first column names the row."""
    body = [
        el(
            "tr",
            *(_cell(*pair, first=not i) for i, pair in enumerate(zip(row, columns, strict=True))),
        )
        for row in rows
    ]
    notes = [join(el("b", column.head), f" {column.about}") for column in columns if column.about]
    return join(
        el("p", caption, class_="caption"),
        el(
            "div",
            el(
                "table",
                el("thead", el("tr", *map(_head, columns))),
                el("tbody", *body),
                class_="sorts",
                aria_label=caption,
            ),
            class_="scroll",
            role="region",
            aria_label=caption,
            tabindex="0",
        ),
        el("p", join(*notes, between=" · "), class_="small") if notes else "",
    )


def _head(column: Column) -> Html:
    arrow = el("span", class_="arrow", aria_hidden="true")
    button = el("button", column.head, arrow, type="button")
    return el("th", button, scope="col", class_="number" if column.number else None)


def _cell(cell: Cell, column: Column, *, first: bool) -> Html:
    value = cell.text if cell.value is None else cell.value
    sort = "" if isinstance(value, float) and math.isnan(value) else str(value)
    classes = " ".join(filter(None, ("number" if column.number else "", cell.kind)))
    note = el("span", cell.note, class_="note") if cell.note else ""
    return el(
        "th" if first else "td", cell.text, note, class_=classes or None, data_value=sort,
        scope="row" if first else None,
    )  # fmt: skip


def definition_list(pairs: Sequence[tuple[str, str]]) -> Html:
    """Pairs of name and text as a definition list; pairs with an empty text are left out."""
    return el(
        "dl", *(el("div", el("dt", name), el("dd", text)) for name, text in pairs if text),
        class_="facts",
    )  # fmt: skip


def details(title: str, *children: str, is_open: bool = False) -> Html:
    """A block that is hidden until its title is clicked, unless it is open."""
    return el("details", el("summary", title), *children, open=is_open)


def section(title: str, *children: str, name: str) -> Html:
    """A section of the page with a heading; empty if it has no content."""
    if not any(children):
        return Html("")
    return el("section", el("h2", title), *children, id=name)
