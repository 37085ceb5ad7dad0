"""One self-contained HTML page of what a folder of tables and pictures says."""

from __future__ import annotations

from pathlib import Path

from synth.paths import path_of

PAGE = "report.html"


def write(folder: str | Path) -> Path:
    """Write ``report.html`` from the files that compare, evaluate, score or sharpness wrote.

    Nothing else is read, so that a report can be made again at any time.

    Raises:
        InputError: the folder is none of ours, or a table in it is damaged.
    """
    from localize.report.page import written

    return written(path_of(folder))
