"""Arguments and flags that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

Dataset = Annotated[Path, typer.Argument(help="Dataset folder that synth wrote.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is one of ours.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")]
TimeLimit = Annotated[
    Optional[float], typer.Option(help="Seconds an image, for a SPEC file.py:function [60].")
]
Split = Annotated[Optional[str], typer.Option(help="test, val, train or all [test, else val].")]
