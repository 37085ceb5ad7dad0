"""The command ``localize play``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from localize.cli.arguments import DATASET_HELP, Overwrite
from synth import console, output_file
from synth.errors import InputError
from synth.text_escapes import escape_surrogates


def play(
    dataset: Annotated[str, typer.Argument(help=f"{DATASET_HELP[:-1]}, with clean twins.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")] = Path("play.html"),
    scores: Annotated[
        Optional[Path],
        typer.Option(
            help="Result folder of sharpness, evaluate or compare, whose methods the page shows "
            "beside the person."
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split to use: test, val, train or all.")] = "all",
    count: Annotated[
        Optional[int],
        typer.Option(min=1, help="Maximum number of images [as many as fit into 12 MB]."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write an HTML page with which a person takes the test in a browser, without a server.

    The page changes the regions itself, adapts the ratio to the answers and saves the answers as a
    CSV file for `localize score` and `localize sharpness --trials`.

    Example: `localize play set --scores results --out play.html`
    """
    from localize.play import page

    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"--out is '{out}': give a .html file")
    output_file.check(out, page.is_page, overwrite)
    with console.progress("images") as progress:
        result = page.build(dataset, scores, split=split, count=count, progress=progress)
    output_file.write(out, escape_surrogates(result.html).encode(), overwrite)
    size = len(result.html.encode()) / 1e6
    console.print_line(f"{out}: {result.images} images, {size:.1f} MB")
    if result.left_out:
        reason = "" if result.images == count else f", to stay below {page.MAX_BYTES / 1e6:g} MB"
        console.print_line(f"{result.left_out} images of the dataset were left out{reason}")
