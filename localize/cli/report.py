"""The command ``localize report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synth import console


def report(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Result folder of compare, evaluate, score, learning-curve, sharpness or pod."
        ),
    ],
) -> None:
    """Write FOLDER/report.html again: one page with summary, tables and figures.

    Example: `localize report results`
    """
    from localize.report import page

    console.print_line(page.write(folder))
