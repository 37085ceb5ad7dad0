"""The ``localize`` command."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from localize.flags import takes_options
from localize.play.command import play
from localize.report.command import report
from localize.score_command import score
from localize.sharpness.command import sharpness
from synth import console
from synth.errors import InputError, Skipped

if TYPE_CHECKING:
    from localize.comparison import Comparison
    from localize.localizer import Finding, Localizer

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


@app.command()
def methods() -> None:
    """List the methods: what each learns from, and what it is told.

    Example: `localize methods`
    """
    from localize.registry import METHODS

    wide = max(map(len, METHODS))
    for name, entry in METHODS.items():
        told = " and ".join(sorted(entry.told)) or "nothing"
        print(f"{name:<{wide}}  learns from: {entry.learns:<8}  told: {told:<20}  {entry.summary}")


@app.command()
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

    Example: `localize train cnn-fuse-last set --out runs/last --input 400x400`

    Example: `localize train ringvote --photos photos --recipe ringvote.json --out ring`

    Example: `localize train anomalib:padim set --out padim` (after `make peers`)
    """
    from localize import api

    api.train(
        spec, dataset, out, photos=photos, recipe=recipe, overwrite=overwrite, resume=resume,
        **options,
    )  # fmt: skip
    if photos is not None:
        console.tell_passed_over(photos)
    print(f"{out}: {_trained(api.describe(out))}")


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


@app.command()
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
    runs in a process of its own. A model of anomalib is trained on the dataset first.

    Example: `localize evaluate boundary runs/last set --out scores`

    Example: `localize evaluate mine.py:find anomalib:padim set --out scores`
    """
    from localize import comparison

    result = comparison.evaluate(
        specs, dataset, out, split=split, overwrite=overwrite, resume=resume,
        step=console.progress, time_limit=time_limit, say=lambda line: print(line, flush=True),
    )  # fmt: skip
    _report(result, split)


@app.command()
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
        say=lambda line: print(line, flush=True),
        **options,
    )
    _report(result, split)


def _report(result: Comparison, wanted: str | None) -> None:
    """Print the scores, the last epoch's beside the best, and where everything is."""
    from rich.console import Console
    from rich.table import Table

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
            row["method"],
            _interval(row, "mean_distance", ".0f"),
            _interval(row, "normalised_distance", ".3f"),
            f"{row['median_distance']:.1f}",
            f"{row['hit@5']:.2f}",
            f"{row['hit@r']:.2f}",
            f"{last[row['method']]:.0f} px" if row["method"] in last else "",
            *([_interval(row, "image_auroc", ".2f")] if row["image_auroc"] >= 0 else []),
        )
    # Wide enough for the whole table when the output goes to a file.
    wide = max(map(len, result.scores["method"])) + (115 if scored else 95)
    Console(width=max(Console().width, wide)).print(table)
    if len(result.last):
        print("last epoch: mean distance with the last epoch's weights; the others are the best's")
    if scored:
        print("AUROC: of the score, anomalies against clean images; scores.csv has more")
    if len(result.errors):
        print(f"{len(result.errors)} answers are missing, see {result.folder / 'errors.csv'}")
    print(f"tables and pictures are in {result.folder}")
    print(f"all on one page: {result.folder / 'report.html'}")


def _interval(row: dict[Any, Any], column: str, form: str) -> str:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return f"{row[column]:{form}} [{low:{form}}, {high:{form}}]"


@app.command()
def find(
    images: Annotated[list[Path], typer.Argument(help="Photos, or folders of them.")],
    method: Annotated[
        Optional[str],
        typer.Option(
            help="A SPEC: name, run folder or file.py:function "
            "[ringvote; where --r and --ratio are one number each ringvote-told].",
            metavar="SPEC",
        ),
    ] = None,
    r: Annotated[
        Optional[str],
        typer.Option(help="Radius in px, right to a pixel, or LOW:HIGH.", metavar="PX"),
    ] = None,
    ratio: Annotated[
        Optional[str],
        typer.Option(help="The ratio, or LOW:HIGH.", metavar="RATIO"),
    ] = None,
    overlay: Annotated[
        Optional[Path], typer.Option(help="Folder for the pictures with the answer drawn.")
    ] = None,
    time_limit: TimeLimit = None,
) -> None:
    """Say where the change is: x (column) and y (row) in px.

    Example: `localize find photo.jpg --overlay drawn`

    Example: `localize find photo.jpg --r 30:50 --ratio 1.02:1.2`

    Example: `localize find photo.jpg --method boundary --r 40 --ratio 1.08`
    """
    from localize import api, plots
    from localize.localizer import Known, Seeker
    from synth import photos

    console.existing(images)
    names = [
        (path, name) if path.is_dir() else (path.parent, path.name)
        for path in images
        for name in (photos.find(path) if path.is_dir() else [path.name])
    ]
    known = Known(
        None if r is None else console.pair(r, "--r"),
        None if ratio is None else console.pair(ratio, "--ratio"),
    )
    if method is None:
        method = "ringvote-told" if known.told else "ringvote"
    localizer = api.load(method, time_limit=time_limit)
    if known != Known() and not (localizer.told or isinstance(localizer, Seeker)):
        raise InputError(f"{method} heeds neither --r nor --ratio: leave them out, or use ringvote")
    failed = 0
    for folder, name in names:
        try:
            image = photos.read(folder, name).pixels
            finding = api.locate(localizer, image, r=known.r, ratio=known.ratio)
        except Skipped as reason:
            failed += 1
            print(f"{folder / name}: {reason}")
            continue
        sure = _confidence(localizer, finding)
        note = "nothing found; likeliest " if sure is not None and sure < 0.5 else ""
        extra = "".join(
            f"  {label} {value:.4g}"
            for label, value in (
                ("r", finding.r), ("ratio", finding.ratio),
                ("score", finding.score) if sure is None else ("confidence", sure),
            )
            if value is not None
        )  # fmt: skip
        print(f"{folder / name}: {note}x {finding.x:.1f}  y {finding.y:.1f}{extra}")
        if overlay is not None:
            overlay.mkdir(parents=True, exist_ok=True)
            size = finding.r or (known.r[0] if known.r and known.r[0] == known.r[1] else None)
            figure = plots.overlay(image, {method: (finding.x, finding.y, size)})
            plots.save(figure, overlay / Path(name).stem, kinds=("png",))
    for path in images:
        if path.is_dir():
            console.tell_passed_over(path)
    if failed:
        print(f"{failed} of {len(names)} pictures have no answer")
        raise typer.Exit(1)


def _confidence(localizer: Localizer, finding: Finding) -> float | None:
    """How sure a method is, 0 to 1; None for one whose scores are no odds."""
    if getattr(localizer, "scores", "") != "log odds" or finding.score is None:
        return None
    return 1 / (1 + math.exp(-max(-500.0, min(500.0, finding.score))))


app.command()(play)
app.command()(score)
app.command()(report)
app.command()(sharpness)


def main() -> None:
    """The console command ``localize``."""
    raise SystemExit(console.run(app, "localize"))
