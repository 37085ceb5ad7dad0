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
    labels: Annotated[
        Optional[str],
        typer.Option(
            help="Numbers of labelled images with an anomaly in train and val together, as in "
            "5,10,20,50,100,all. All clean images are used with each number. In place of --rows."
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

    With --labels, the question is how many labelled images with an anomaly are needed before
    labels are better than none. Methods that learn from clean images only are trained once.

    Example: `localize learning-curve cnn-fast unet-dsnt set --rows 50,100,all --out curve`
    """
    from localize import learning_curves

    result = learning_curves.learning_curve(
        specs, dataset, out, rows=None if rows is None else _parse_rows(rows, "--rows"),
        labels=None if labels is None else _parse_rows(labels, "--labels"),
        repeats=repeats, same_epochs=same_epochs, retrain=retrain, overwrite=overwrite,
        resume=resume,
        step=console.progress, say=console.print_line, **options,
    )  # fmt: skip
    _print_summary(result)


def _parse_rows(text: str, option: str) -> list[int | Literal["all"]]:
    """``50,100,all`` -> the numbers of rows."""
    counts: list[int | Literal["all"]] = []
    for word in text.split(","):
        if word.strip() == "all":
            counts.append("all")
        elif word.strip().isdecimal():
            counts.append(int(word))
        else:
            raise InputError(f"{option} is '{text}': give whole numbers and all, as in 50,100,all")
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
    by = "labels" if len(result.label_gains) else "rows"
    for heading in ("method", by, *columns):
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    for row in result.summary.to_dict("records"):
        table.add_row(
            plain(row["method"]),
            str(row["rows"]) if row["rows"] else "–",
            *(format_interval(row, *column) for column in columns.values()),
        )
    console.print_table(table)
    for line in _label_lines(result):
        console.print_line(line)
    if len(result.errors):
        print(f"{len(result.errors)} answers are missing: see {result.folder / 'errors.csv'}")
    print(f"tables and figures are in {result.folder}")
    print(f"report: {result.folder / 'report.html'}")


def _label_lines(result: LearningCurve) -> list[str]:
    """For each metric of a curve over labels, the labels that each method needs to beat none."""
    from localize.evaluation.label_gain import NAMES, labels_needed

    lines = []
    for metric, gains in result.label_gains.groupby("metric", sort=False):
        baseline = gains["baseline"].iloc[0]
        needed = {name: labels_needed(gains, name, str(metric)) for name in gains["method"]}
        words = ", ".join(f"{name} {count or 'never'}" for name, count in needed.items())
        lines.append(f"labels needed to beat {baseline} ({NAMES[str(metric)]}): {words}")
    return lines
