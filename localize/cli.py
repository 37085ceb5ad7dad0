"""The ``localize`` command."""

from __future__ import annotations

import math
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from localize.flags import takes_options
from localize.play.command import play
from localize.report.command import report
from localize.score_command import score
from localize.sharpness.command import sharpness
from synth import console, interrupts
from synth.errors import InputError, Skipped

if TYPE_CHECKING:
    from localize.localizer import Finding, Localizer
    from localize.results import Comparison

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


@console.command(app)
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
        Optional[Path],
        typer.Option(
            help="Folder for PNGs with the answer drawn, each at its photo's path below the "
            "folder named; two of one name get their suffix, folder or a number too. Existing "
            "files are refused before the work begins."
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace drawings of an earlier run in the folder of --overlay, no other files.",
        ),
    ] = False,
    time_limit: TimeLimit = None,
) -> None:
    """Say where the change is: x (column) and y (row) in px.

    Exit code 1 if a picture has no answer.

    Example: `localize find photo.jpg --overlay drawn`

    Example: `localize find photo.jpg --r 30:50 --ratio 1.02:1.2`

    Example: `localize find photo.jpg --method boundary --r 40 --ratio 1.08`
    """
    from localize import api, overlays
    from localize.localizer import Known, Seeker
    from synth import photos

    console.existing(images)
    if overwrite and overlay is None:
        raise InputError("--overwrite is for --overlay: name the folder of the drawings")
    chosen = [
        overlays.Photo(path, name) if path.is_dir() else overlays.Photo(path.parent, path.name)
        for path in images
        for name in (photos.find(path) if path.is_dir() else [path.name])
    ]
    targets: list[Path] = []
    if overlay is not None:
        chosen = overlays.without_drawings(chosen, overlay)
        if not chosen:
            raise InputError(f"all pictures are drawings of an earlier run in {overlay}")
        targets = overlays.plan(chosen, overlay)
        overlays.check(targets, chosen, overlay, overwrite)
    known = Known(
        None if r is None else console.pair(r, "--r"),
        None if ratio is None else console.pair(ratio, "--ratio"),
    )
    if method is None:
        method = "ringvote-told" if known.told else "ringvote"
    localizer = api.load(method, time_limit=time_limit)
    if known != Known() and not (localizer.told or isinstance(localizer, Seeker)):
        raise InputError(f"{method} heeds neither --r nor --ratio: leave them out, or use ringvote")
    overlays.prepare(targets)
    console.begin()
    failed = done = 0
    try:
        for number, photo in enumerate(chosen):
            try:
                image = photos.read(photo.folder, photo.name).pixels
                finding = api.locate(localizer, image, r=known.r, ratio=known.ratio)
                console.say(f"{photo.path}: {_answer(localizer, finding)}")
                if targets:
                    size = known.r[0] if known.r and known.r[0] == known.r[1] else None
                    place = (finding.x, finding.y, finding.r or size)
                    overlays.draw(image, method, place, targets[number])
            except Skipped as reason:
                failed += 1
                console.say(f"{photo.path}: {reason}")
            except FileExistsError:
                failed += 1
                console.say(f"{targets[number]}: another program wrote this file: not drawn")
            done = number + 1
    except KeyboardInterrupt:
        drawn = f", their drawings in {overlay}" if overlay is not None else ""
        raise console.Stopped(
            f"stopped after {done} of {len(chosen)} pictures: their answers are printed{drawn}; "
            "name the others to go on"
        ) from None
    for path in images:
        if path.is_dir():
            console.tell_passed_over(path)
    if failed:
        console.say(f"{failed} of {len(chosen)} pictures have no answer")
        raise typer.Exit(1)


def _answer(localizer: Localizer, finding: Finding) -> str:
    """A finding in words."""
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
    return f"{note}x {finding.x:.1f}  y {finding.y:.1f}{extra}"


def _confidence(localizer: Localizer, finding: Finding) -> float | None:
    """How sure a method is, 0 to 1; None for one whose scores are no odds."""
    if getattr(localizer, "scores", "") != "log odds" or finding.score is None:
        return None
    return 1 / (1 + math.exp(-max(-500.0, min(500.0, finding.score))))


for _command in (play, score, report, sharpness):
    console.command(app)(_command)


def main() -> None:
    """The console command ``localize``."""
    # torch makes a folder for compiled code when it is imported, by default an empty one among the
    # temporary files that nobody removes. Nothing here compiles.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())
    interrupts.start("localize", "localize.cli")
