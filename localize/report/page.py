"""The page around what a comparison or a measurement of sharpness says."""

from __future__ import annotations

import os
from pathlib import Path

from localize.report import comparison_page, sharpness_page
from localize.report.markup import Html, el, join
from synth import folders, output_file
from synth.errors import InputError
from synth.paths import path_of

PAGE = "report.html"
WEB = Path(__file__).parent / "web"
# A Landolt ring, the eye chart's letter that is the same in all languages.
RING = Html(
    '<svg class="ring" viewBox="-5 -5 10 10" aria-hidden="true">'
    '<path d="M4.97 .5A5 5 0 1 1 4.97-.5H2.96A3 3 0 1 0 2.96 .5Z"/></svg>'
)
KINDS = {"comparison.json": comparison_page.contents, "sharpness.json": sharpness_page.contents}


def write(folder: str | Path) -> Path:
    """Write ``report.html`` from the files that compare, evaluate, score or sharpness wrote.

    Nothing else is read, so that a report can be made again at any time.

    Raises:
        InputError: the folder is none of ours, or a table in it is damaged, or a report.html
            that is no page of ours is in the way.
    """
    path = path_of(folder) / PAGE
    if os.path.lexists(path) and not is_page(path):
        raise InputError(f"{path} is no report of ours, so it is not overwritten: move it")
    return _write_page(path.parent)


def _write_page(folder: Path) -> Path:
    """``folder`` -> its ``report.html``, written whole or not at all.

    Raises:
        InputError: it holds no comparison and no measurement of sharpness, or a damaged one.
    """
    for name, contents in KINDS.items():
        if (folder / name).is_file():
            path = folder / PAGE
            folders.write(path, document(contents(folder)))
            return path
    raise InputError(
        f"{folder} holds no {' and no '.join(KINDS)}: "
        "name a folder that compare, evaluate, score or sharpness wrote"
    )


def is_page(path: Path) -> bool:
    """Whether a file is a page of ours."""
    return output_file.contains(path, RING, "Acuity")


def document(contents: comparison_page.Contents) -> Html:
    """Title, lead and sections -> a whole HTML document that needs nothing else."""
    style, script = ((WEB / f"page.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{contents.title} · {contents.subject}"),
        el("style", Html(style)),
    )
    header = el(
        "header",
        el("p", RING, " Acuity", class_="brand"),
        el("h1", contents.title),
        el("p", contents.subject, class_="subject"),
        el("div", *(el("p", sentence) for sentence in contents.answer), class_="answer"),
        el("p", contents.small, class_="small") if contents.small else "",
    )
    body = el("body", header, el("main", *contents.sections), el("script", Html(script)))
    return join(Html("<!doctype html>\n"), el("html", head, body, lang="en"), "\n")
