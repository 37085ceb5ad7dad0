"""The command ``localize play``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from synth import console, folders
from synth.errors import InputError


def play(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder with twins, from synth.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("play.html"),
    scores: Annotated[
        Optional[Path],
        typer.Option(help="Folder of sharpness, evaluate or compare: whom to play against."),
    ] = None,
    split: Annotated[str, typer.Option(help="test, val, train or all.")] = "all",
    count: Annotated[
        Optional[int], typer.Option(min=1, help="Pictures at most [what fits into 12 MB].")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Make a page on which a person takes the test: open it in a browser, no server needed.

    The page draws the changes itself, ever fainter, and offers the answers as a CSV file
    that `localize score` and `localize sharpness --trials` read.

    Example: `localize play set --scores results --out play.html`
    """
    from localize.play import page

    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out is '{out}': name a .html file")
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"{out} cannot be written: name a file in a folder that exists")
    if out.exists() and not overwrite:
        raise InputError(f"{out} exists: name another file with --out, or pass --overwrite")
    with console.progress("pictures") as progress:
        made = page.build(dataset, scores, split=split, count=count, progress=progress)
    folders.write(out, made.html)
    size = len(made.html.encode()) / 1e6
    console.say(f"{out}: {made.shown} pictures, {size:.1f} MB")
    if made.left_out:
        why = "" if made.shown == count else f", to stay below {page.BUDGET / 1e6:g} MB"
        console.say(f"{made.left_out} pictures of the dataset were left out{why}")
