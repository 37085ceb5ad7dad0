"""The ``localize`` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from synth import console
from synth.errors import Skipped

if TYPE_CHECKING:
    from localize.comparison import Comparison

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Read the chart: train, run and score anything that says where the change is.",
)
Dataset = Annotated[Path, typer.Argument(help="Dataset folder that synth wrote.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is one of ours.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")]
Input = Annotated[
    Optional[str], typer.Option(help="WIDTHxHEIGHT that images are stretched to [800x800].")
]
Scale = Annotated[Optional[float], typer.Option(help="Train this share of the epochs.")]
Batch = Annotated[Optional[int], typer.Option(help="Images a step [10].")]
Patience = Annotated[
    Optional[int], typer.Option(help="Stop after so many epochs without a better validation.")
]
Augment = Annotated[
    Optional[str], typer.Option(help="Any of flip,turn,crop,noise,gain, joined by commas.")
]
Seed = Annotated[Optional[int], typer.Option(help="Of weights, order and augmentation [0].")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Devices = Annotated[Optional[int], typer.Option(help="How many GPUs [all there are].")]
RawNumeric = Annotated[
    bool, typer.Option("--raw-numeric", help="Feed r and ratio unstandardised, as first done.")
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


def _options(**given: Any) -> dict[str, Any]:
    """Flags -> options of a learned method; flags not given are left out."""
    if given.get("input") is not None:
        given["input"] = console.size(given["input"], "--input")
    if given.get("augment") is not None:
        given["augment"] = tuple(given["augment"].split(","))
    return {
        name: value for name, value in given.items() if value is not None and value is not False
    }


@app.command()
def methods() -> None:
    """List the methods: what each learns from, and what it is told.

    Example: `localize methods`
    """
    from localize.localizer import METHODS

    wide = max(map(len, METHODS))
    for name, entry in METHODS.items():
        told = " and ".join(sorted(entry.told)) or "nothing"
        print(f"{name:<{wide}}  learns from: {entry.learns:<8}  told: {told:<20}  {entry.summary}")


@app.command()
def train(
    spec: Annotated[str, typer.Argument(help="Name of a method that learns.", metavar="SPEC")],
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    input: Input = None,
    epochs: Annotated[Optional[int], typer.Option(help="Instead of the method's own.")] = None,
    epochs_scale: Scale = None,
    learning_rate: Annotated[Optional[float], typer.Option(help="Of Adam.")] = None,
    batch: Batch = None,
    patience: Patience = None,
    augment: Augment = None,
    raw_numeric: RawNumeric = False,
    seed: Seed = None,
    device: Device = "auto",
    devices: Devices = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Train a method on a dataset's train split; the best epoch on val is kept.

    Example: `localize train cnn-fuse-last set --out runs/last --input 400x400`
    """
    from localize import api

    options = _options(
        input=input, epochs=epochs, epochs_scale=epochs_scale, learning_rate=learning_rate,
        batch=batch, patience=patience, augment=augment, raw_numeric=raw_numeric, seed=seed,
        devices=devices,
    )  # fmt: skip
    api.train(spec, dataset, out, overwrite=overwrite, resume=resume, device=device, **options)
    about = api.describe(out)
    print(
        f"{out}: best epoch {about['best_epoch']} of {about['last_epoch']}, "
        f"validation distance {about['val_distance']:.1f} px "
        f"(centre guess {about['val_centre_distance']:.1f} px)"
    )


@app.command()
def evaluate(
    specs: Annotated[
        list[str],
        typer.Argument(help="Methods that learn nothing, or run folders.", metavar="SPEC…"),
    ],
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    split: Split = None,
    overwrite: Overwrite = False,
) -> None:
    """Score methods on a dataset; the centre guess is always scored with them.

    Example: `localize evaluate boundary runs/last set --out scores`
    """
    from localize import comparison

    result = comparison.evaluate(
        specs, dataset, out, split=split, overwrite=overwrite, step=console.progress
    )
    _report(result, split)


@app.command()
def compare(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    methods: Annotated[Optional[str], typer.Option(help="A,B,… [all].")] = None,
    split: Split = None,
    input: Input = None,
    epochs_scale: Scale = None,
    batch: Batch = None,
    patience: Patience = None,
    augment: Augment = None,
    raw_numeric: RawNumeric = False,
    seed: Seed = None,
    device: Device = "auto",
    devices: Devices = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Train, score and draw methods: the whole comparison.

    Example: `localize compare set --methods cnn-fast,boundary --epochs-scale 0.5 --out results`
    """
    from localize import comparison

    options = _options(
        input=input, epochs_scale=epochs_scale, batch=batch, patience=patience, augment=augment,
        raw_numeric=raw_numeric, seed=seed,
        devices=devices,
    )  # fmt: skip
    result = comparison.compare(
        dataset,
        out,
        methods.split(",") if methods else comparison.DEFAULT_METHODS,
        split=split,
        overwrite=overwrite,
        resume=resume,
        step=console.progress,
        say=lambda line: print(line, flush=True),
        device=device,
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
    for heading in ("method", "mean px", "normalised", "median px", "hit@5", "hit@r", "last epoch"):
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
        )
    # Wide enough for the whole table when the output goes to a file.
    Console(width=max(Console().width, 110)).print(table)
    if len(result.last):
        print("last epoch: mean distance with the last epoch's weights; the others are the best's")
    if len(result.errors):
        print(f"{len(result.errors)} answers are missing, see {result.folder / 'errors.csv'}")
    print(f"tables and pictures are in {result.folder}")


def _interval(row: dict[Any, Any], column: str, form: str) -> str:
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    return f"{row[column]:{form}} [{low:{form}}, {high:{form}}]"


@app.command()
def find(
    images: Annotated[list[Path], typer.Argument(help="Photos, or folders of them.")],
    method: Annotated[str, typer.Option(help="A SPEC: name or run folder.", metavar="SPEC")],
    r: Annotated[Optional[float], typer.Option(help="Radius in px, for a told method.")] = None,
    ratio: Annotated[Optional[float], typer.Option(help="The ratio, for a told method.")] = None,
    overlay: Annotated[
        Optional[Path], typer.Option(help="Folder for the pictures with the answer drawn.")
    ] = None,
) -> None:
    """Say where the change is: x (column) and y (row) in px.

    Example: `localize find photo.jpg --method boundary --r 40 --ratio 1.08 --overlay drawn`
    """
    from localize import api, plots
    from synth import photos

    console.existing(images)
    names = [
        (path, name) if path.is_dir() else (path.parent, path.name)
        for path in images
        for name in (photos.find(path) if path.is_dir() else [path.name])
    ]
    localizer = api.load(method)
    failed = 0
    for folder, name in names:
        try:
            image = photos.read(folder, name).pixels
        except Skipped as reason:
            failed += 1
            print(f"{folder / name}: {reason}")
            continue
        finding = api.locate(localizer, image, r=r, ratio=ratio)
        extra = "".join(
            f"  {label} {value:.4g}"
            for label, value in (
                ("r", finding.r), ("ratio", finding.ratio), ("score", finding.score),
            )
            if value is not None
        )  # fmt: skip
        print(f"{folder / name}: x {finding.x:.1f}  y {finding.y:.1f}{extra}")
        if overlay is not None:
            overlay.mkdir(parents=True, exist_ok=True)
            figure = plots.overlay(image, {method: (finding.x, finding.y, finding.r or r)})
            plots.save(figure, overlay / Path(name).stem, kinds=("png",))
    if failed:
        print(f"{failed} of {len(names)} pictures could not be read")
        raise typer.Exit(1)


def main() -> None:
    """The console command ``localize``."""
    raise SystemExit(console.run(app, "localize"))
