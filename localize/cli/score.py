"""The command ``localize score``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from localize.cli.arguments import Dataset, FalseCalls, Overwrite
from synth import console, coordinate_units
from synth.coordinate_units import Unit


def score(
    predictions: Annotated[
        Path, typer.Argument(help="CSV with the columns file_name, x_pred, y_pred.")
    ],
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    clean: Annotated[
        Optional[Path],
        typer.Option(help="CSV with the scores of clean images, if they are not in PREDICTIONS."),
    ] = None,
    split: Annotated[
        Optional[str],
        typer.Option(
            help="Split to score: test, val, train or all [the split of the images in PREDICTIONS, "
            "if all are in one split]."
        ),
    ] = None,
    unit: Annotated[Optional[Unit], typer.Option(help=coordinate_units.HELP)] = None,
    false_calls: FalseCalls = None,
    overwrite: Overwrite = False,
) -> None:
    """Score the predictions of another program or of a person.

    Optional columns: method, r_pred, ratio_pred, score, seconds, discolor_ratio, trial. Rows of
    clean images need only file_name and score.

    Example: `localize score mine.csv set --out scores`

    Example: `localize score scores/predictions.csv set --clean scores/clean.csv --out again`
    """
    from localize import external_predictions
    from localize.cli import tables

    result = external_predictions.score(
        predictions, dataset, out,
        clean=clean, split=split, unit=unit, false_calls=false_calls, overwrite=overwrite,
        say=console.print_line,
    )  # fmt: skip
    tables.print_scores(result, split)
