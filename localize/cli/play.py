"""The command ``localize play``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from synth import console, output_file
from synth.errors import InputError
from synth.text_escapes import escape_surrogates


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
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a page of ours.")] = False,
) -> None:
    """Make a page on which a person takes the test: open it in a browser, no server needed.

    The page draws the changes itself, ever fainter, and offers the answers as a CSV file
    that `localize score` and `localize sharpness --trials` read.

    Example: `localize play set --scores results --out play.html`
    """
    from localize.play import page

    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out is '{out}': name a .html file")
    output_file.check(out, page.is_page, overwrite)
    with console.progress("pictures") as progress:
        made = page.build(dataset, scores, split=split, count=count, progress=progress)
    output_file.write(out, escape_surrogates(made.html).encode(), overwrite)
    size = len(made.html.encode()) / 1e6
    console.print_line(f"{out}: {made.shown} pictures, {size:.1f} MB")
    if made.left_out:
        why = "" if made.shown == count else f", to stay below {page.BUDGET / 1e6:g} MB"
        console.print_line(f"{made.left_out} pictures of the dataset were left out{why}")
