"""The command ``localize learning-curve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import typer

from localize.cli.arguments import Dataset, Overwrite, Resume
from localize.cli.options import add_option_flags
from synth import console
from synth.errors import InputError

if TYPE_CHECKING:
    from localize.evaluation.curve_tables import LearningCurve


@add_option_flags
def learning_curve(
    specs: Annotated[
        list[str],
        typer.Argument(
            help="Methods that learn; also methods, run folders or file.py:function that are "
            "scored once.",
            metavar="SPEC…",
        ),
    ],
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    options: dict[str, Any],
    rows: Annotated[
        Optional[str],
        typer.Option(
            help="Numbers of training images, joined by commas; all is the whole train split "
            "[50, 100, 200 and so on, all]."
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Number of random subsets of each size.")] = 3,
    same_epochs: Annotated[
        bool,
        typer.Option(
            "--same-epochs",
            help="Keep the number of epochs, so that smaller subsets have fewer training steps.",
        ),
    ] = False,
    retrain: Annotated[
        bool,
        typer.Option(
            "--retrain",
            help="Train methods that have weights included; otherwise these weights are scored.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Train methods on subsets of the train split and score them: how many images do they need?

    A subset contains every smaller one. It takes the images of one photo after the other, in a
    random order of the photos; each repeat has another order and another training seed. All
    trainings are validated on the whole val split and scored on the same test split. Methods that
    learn nothing, methods with included weights and run folders are scored once.

    A training on a subset has as many epochs and steps as one on the whole split: within an epoch,
    the images of the subset are repeated. --same-epochs does not repeat them.

    Example: `localize learning-curve cnn-fast unet-dsnt set --rows 50,100,all --out curve`
    """
    from localize import learning_curves

    result = learning_curves.learning_curve(
        specs, dataset, out, rows=None if rows is None else _parse_rows(rows), repeats=repeats,
        same_epochs=same_epochs, retrain=retrain, overwrite=overwrite, resume=resume,
        step=console.progress, say=console.print_line, **options,
    )  # fmt: skip
    _print_summary(result)


def _parse_rows(text: str) -> list[int | Literal["all"]]:
    """``50,100,all`` -> the numbers of rows."""
    counts: list[int | Literal["all"]] = []
    for word in text.split(","):
        if word.strip() == "all":
            counts.append("all")
        elif word.strip().isdecimal():
            counts.append(int(word))
        else:
            raise InputError(f"--rows is '{text}': give whole numbers and all, as in 50,100,all")
    return counts


def _print_summary(result: LearningCurve) -> None:
    """Print the means over the repeats, and the output paths."""
    from rich.table import Table

    from localize.cli.tables import format_interval
    from localize.names import plain

    n, repeats = result.predictions["file_name"].nunique(), int(result.summary["repeats"].max())
    table = Table(title=f"{n} images; repeats: {repeats}; 95 % intervals over both")
    columns = {
        "mean px": ("mean_distance", ".1f"),
        "normalised": ("normalised_distance", ".3f"),
        "hit@5": ("hit@5", ".2f"),
        "AUROC": ("image_auroc", ".2f"),
    }
    if not result.summary["image_auroc"].notna().any():
        del columns["AUROC"]
    for heading in ("method", "rows", *columns):
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    for row in result.summary.to_dict("records"):
        table.add_row(
            plain(row["method"]),
            str(row["rows"]) if row["rows"] else "–",
            *(format_interval(row, *column) for column in columns.values()),
        )
    console.print_table(table)
    if len(result.errors):
        print(f"{len(result.errors)} answers are missing: see {result.folder / 'errors.csv'}")
    print(f"tables and figures are in {result.folder}")
    print(f"report: {result.folder / 'report.html'}")
