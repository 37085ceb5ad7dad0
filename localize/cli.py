"""The ``localize`` command."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from localize.find_command import find
from localize.flags import takes_options
from localize.play.command import play
from localize.report.command import report
from localize.score_command import score
from localize.sharpness.command import sharpness
from synth import console

if TYPE_CHECKING:
    from localize.results import Comparison

# torch makes a folder for compiled code when it is imported, by default an empty one among the
# temporary files that nobody removes. The commands compile nothing.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Read the chart: train, run and score anything that says where the change is.",
)
Dataset = Annotated[Path, typer.Argument(help="Dataset folder that synth wrote.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is one of ours.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")]
TimeLimit = Annotated[
    Optional[float], typer.Option(help="Seconds an image, for a SPEC file.py:function [60].")
]
Split = Annotated[Optional[str], typer.Option(help="test, val, train or all [test, else val].")]


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=console.version("localize"), help="Version."
        ),
    ] = False,
) -> None: ...


@console.command(app)
def methods() -> None:
    """List the methods: what each learns from, and what it is told.

    Example: `localize methods`
    """
    from localize.registry import METHODS

    wide = max(map(len, METHODS))
    for name, entry in METHODS.items():
        told = " and ".join(sorted(entry.told)) or "nothing"
        print(f"{name:<{wide}}  learns from: {entry.learns:<8}  told: {told:<20}  {entry.summary}")


@console.command(app)
@takes_options
def train(
    spec: Annotated[
        str, typer.Argument(help="A method that learns, or anomalib:MODEL.", metavar="SPEC")
    ],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    options: dict[str, Any],
    dataset: Annotated[
        Optional[Path], typer.Argument(help="Dataset folder that synth wrote.")
    ] = None,
    photos: Annotated[
        Optional[Path], typer.Option(help="Instead of DATASET: photos to draw on without end.")
    ] = None,
    recipe: Annotated[
        Optional[Path], typer.Option(help="How to draw on them: a preset or a file [default].")
    ] = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Train a method on a dataset's train split; the best epoch on val is kept.

    patchcore has no epochs: it keeps patches of the split's clean images.

    With --photos, photos that are broken, animated, transparent or smaller than the recipe's size
    are skipped, as synth generate does, and listed in skipped.csv in the run folder.

    Example: `localize train cnn-fuse-last set --out runs/last --input 400x400`

    Example: `localize train ringvote --photos photos --recipe ringvote.json --out ring`

    Example: `localize train anomalib:padim set --out padim` (after `make peers`)
    """
    from localize import api

    api.train(
        spec, dataset, out, photos=photos, recipe=recipe, overwrite=overwrite, resume=resume,
        say=console.say, **options,
    )  # fmt: skip
    if photos is not None:
        console.tell_passed_over(photos)
    console.say(f"{out}: {_trained(api.describe(out))}")


def _trained(about: dict[str, Any]) -> str:
    """What came of a training, in a line."""
    if "trained" in about:
        return str(about["trained"])
    if "bank" in about:
        threshold = about["threshold"]
        score = "" if threshold["score"] is None else f" {threshold['score']:.4g}"
        return (
            f"{about['bank'][0]} patches of {about['train_images']} clean images in the bank "
            f"(weights: {about['weights']['source']}); threshold{score}, {threshold['what']}"
        )
    return (
        f"best epoch {about['best_epoch']} of {about['last_epoch']}, "
        f"validation distance {about['val_distance']:.1f} px "
        f"(centre guess {about['val_centre_distance']:.1f} px)"
    )


@console.command(app)
def evaluate(
    specs: Annotated[
        list[str],
        typer.Argument(
            help="Methods, run folders, file.py:function, anomalib:MODEL.", metavar="SPEC…"
        ),
    ],
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    split: Split = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    time_limit: TimeLimit = None,
) -> None:
    """Score methods on a dataset; the centre guess is always scored with them.

    A function of yours takes an (H, W, 3) uint8 array and returns (x, y) or an (H, W) map; it
    runs in a process of its own. The place of a map is the centre of the plateau of its maximum;
    a flat map is no answer. An image without an answer, or with one that is not finite, counts
    as a miss. A model of anomalib is trained on the dataset first.

    Example: `localize evaluate boundary runs/last set --out scores`

    Example: `localize evaluate mine.py:find anomalib:padim set --out scores`
    """
    from localize import comparison

    result = comparison.evaluate(
        specs, dataset, out, split=split, overwrite=overwrite, resume=resume,
        step=console.progress, time_limit=time_limit, say=console.say,
    )  # fmt: skip
    _report(result, split)


@console.command(app)
@takes_options
def compare(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    options: dict[str, Any],
    methods: Annotated[
        Optional[str],
        typer.Option(help="A,B,… by name, as file.py:function or anomalib:MODEL [all ours]."),
    ] = None,
    split: Split = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Train, score and draw methods: the whole comparison.

    Example: `localize compare set --methods cnn-fast,boundary --epochs-scale 0.5 --out results`
    """
    from localize import comparison

    result = comparison.compare(
        dataset,
        out,
        methods.split(",") if methods else comparison.DEFAULT_METHODS,
        split=split,
        overwrite=overwrite,
        resume=resume,
        step=console.progress,
        say=console.say,
        **options,
    )
    _report(result, split)


def _report(result: Comparison, wanted: str | None) -> None:
    """Print the scores, the last epoch's beside the best, and where everything is."""
    from rich.table import Table

    from localize.names import plain

    split = result.scores["split"].iloc[0]
    n = int(result.scores["n"].iloc[0])
    fallback = " (there is no test split)" if wanted is None and split == "val" else ""
    table = Table(title=f"{n} images, split {split}{fallback}; 95 % intervals over photos")
    scored = result.scores["image_auroc"].notna().any()
    headings = ("method", "mean px", "normalised", "median px", "hit@5", "hit@r", "last epoch")
    for heading in (*headings, "AUROC") if scored else headings:
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    last = dict(zip(result.last["method"], result.last["mean_distance"], strict=True))
    for row in result.scores.to_dict("records"):
        table.add_row(
            plain(row["method"]),
            _interval(row, "mean_distance", ".0f"),
            _interval(row, "normalised_distance", ".3f"),
            _number(row["median_distance"], ".1f"),
            f"{row['hit@5']:.2f}",
            f"{row['hit@r']:.2f}",
            f"{_number(last[row['method']], '.0f')} px" if row["method"] in last else "",
            *([_interval(row, "image_auroc", ".2f")] if scored else []),
        )
    console.show(table)
    if len(result.last):
        print("last epoch: mean distance with the last epoch's weights; the others are the best's")
    if scored:
        print("AUROC: of the score, anomalies against clean images; scores.csv has more")
    if len(result.errors):
        print(f"{len(result.errors)} answers are missing, see {result.folder / 'errors.csv'}")
    print(f"tables and pictures are in {result.folder}")
    print(f"all on one page: {result.folder / 'report.html'}")


def _number(value: float, form: str) -> str:
    """A dash where there is no number; a large one with its exponent."""
    if math.isnan(value):
        return "–"
    return f"{value:{form}}" if abs(value) < 1e6 else f"{value:.2g}"


def _interval(row: dict[Any, Any], column: str, form: str) -> str:
    value, low, high = (_number(row[f"{column}{end}"], form) for end in ("", "_low", "_high"))
    return value if low == high == "–" else f"{value} [{low}, {high}]"


for _command in (find, play, score, report, sharpness):
    console.command(app)(_command)
