"""Writes the report page of a result folder."""

from __future__ import annotations

import os
from pathlib import Path

from localize.report import comparison_page, learning_curve_page, pod_page, sharpness_page
from localize.report.markup import Html, el, join
from synth import folders, output_file
from synth.errors import InputError
from synth.paths import path_of

PAGE = "report.html"
WEB = Path(__file__).parent / "web"
# A Landolt ring, the optotype of eye charts.
RING = Html(
    '<svg class="ring" viewBox="-5 -5 10 10" aria-hidden="true">'
    '<path d="M4.97 .5A5 5 0 1 1 4.97-.5H2.96A3 3 0 1 0 2.96 .5Z"/></svg>'
)
KINDS = {
    "comparison.json": comparison_page.contents,
    "learning_curve.json": learning_curve_page.contents,
    "sharpness.json": sharpness_page.contents,
    "pod.json": pod_page.contents,
}


def write(folder: str | Path) -> Path:
    """Writes ``report.html`` from the files that a command wrote into a result folder.

    Only these files are read, so that a report can be written again at any time.

    Raises:
        InputError: the folder holds no results, a table is damaged, or a file ``report.html``
            exists that Acuity did not write.
    """
    path = path_of(folder) / PAGE
    if os.path.lexists(path) and not is_page(path):
        raise InputError(f"{path} was not written by Acuity and is not overwritten: move it")
    return _write_page(path.parent)


def _write_page(folder: Path) -> Path:
    """Writes ``report.html`` completely or not at all.

    Raises:
        InputError: the folder holds no results, or damaged ones.
    """
    for name, contents in KINDS.items():
        if (folder / name).is_file():
            path = folder / PAGE
            folders.write(path, document(contents(folder)))
            return path
    raise InputError(
        f"{folder} holds no {' and no '.join(KINDS)}: "
        "give a folder that compare, evaluate, score, learning-curve, sharpness or pod wrote"
    )


def is_page(path: Path) -> bool:
    """Whether a file is a report written by Acuity."""
    return output_file.contains(path, RING, "Acuity")


def document(contents: comparison_page.Contents) -> Html:
    """Page contents -> a self-contained HTML document."""
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
        el("div", *(el("p", sentence) for sentence in contents.summary), class_="answer"),
        el("p", contents.small, class_="small") if contents.small else "",
    )
    body = el("body", header, el("main", *contents.sections), el("script", Html(script)))
    return join(Html("<!doctype html>\n"), el("html", head, body, lang="en"), "\n")
