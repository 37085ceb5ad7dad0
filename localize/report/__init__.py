"""One self-contained HTML page of what a folder of tables and pictures says."""

from __future__ import annotations

import os
from pathlib import Path

from synth.errors import InputError
from synth.paths import path_of

PAGE = "report.html"


def write(folder: str | Path) -> Path:
    """Write ``report.html`` from the files that compare, evaluate, score or sharpness wrote.

    Nothing else is read, so that a report can be made again at any time.

    Raises:
        InputError: the folder is none of ours, or a table in it is damaged, or a report.html
            that is no page of ours is in the way.
    """
    from localize.report import page

    path = path_of(folder) / PAGE
    if os.path.lexists(path) and not page.is_page(path):
        raise InputError(f"{path} is no report of ours, so it is not overwritten: move it")
    return page.written(path.parent)
