"""The command ``synth``."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from synth import console, export_commands, folders, output_file, storage
from synth import recipe as recipes
from synth.anomaly import Overflow, Rounding, Shape
from synth.dataset import Form
from synth.engine_names import EngineName
from synth.import_command import import_
from synth.recipe import Codec, Fit, RatioScale, Recipe
from synth.scraping.command import scrape
from synth.storage import place_of

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Make datasets of photos with a faint anomaly and its exact position and strength.",
)
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the output folder if synth wrote it.")
]


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=console.version_callback("synth"),
            help="Print the version.",
        ),
    ] = False,
) -> None: ...


@console.command(app)
def scenes(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    count: Annotated[int, typer.Option(help="Number of scenes.")] = 24,
    size: Annotated[str, typer.Option(help="Size of the scenes: WIDTHxHEIGHT in px.")] = "800x800",
    seed: Annotated[int, typer.Option(help="Seed of the random numbers.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Render scenes: procedural landscape photos, for tests and the demo.

    The same seed gives the same files.

    Example: `synth scenes photos --count 60 --size 800x800 --seed 1`
    """
    from synth import scenes as module

    width, height = console.parse_size(size)
    with (
        folders.stage(out, module.MARKER, overwrite=overwrite) as staging,
        console.progress("scenes") as progress,
    ):
        module.write(staging, count, width, height, seed, lambda done: progress(done, count))
    console.print_line(f"{count} scenes of {width}x{height} in {out}")


@console.command(app)
def generate(
    photos: Annotated[
        str, typer.Argument(help="Path or URL of photos, searched with the folders below it.")
    ],
    out: Annotated[str, typer.Argument(help="Dataset folder to write, or its URL.")],
    recipe: Annotated[
        str, typer.Option(help="Preset (default, seed or visible) or JSON file.")
    ] = "default",
    count: Annotated[
        Optional[int], typer.Option(help="Number of rows after which to stop.")
    ] = None,
    per_photo: Annotated[Optional[int], typer.Option(help="Rows per photo.")] = None,
    size: Annotated[
        Optional[str], typer.Option(help="Size of images: WIDTHxHEIGHT in px, or keep (as photo).")
    ] = None,
    fit: Annotated[
        Optional[Fit], typer.Option(help="Crop a random window, or stretch the photo.")
    ] = None,
    ratio: Annotated[
        Optional[str], typer.Option(help="Range LO:HI of the ratio; below 1 darkens.")
    ] = None,
    ratio_scale: Annotated[
        Optional[RatioScale],
        typer.Option(help="Draw the ratio uniformly (linear), or log |log ratio| uniformly (log)."),
    ] = None,
    radius: Annotated[
        Optional[str],
        typer.Option(help="Range of the radius in px: LO:HI, or LO:edge (up to the nearest edge)."),
    ] = None,
    margin: Annotated[
        Optional[float],
        typer.Option(help="Least distance of the centre from an edge, share of the side."),
    ] = None,
    shape: Annotated[Optional[Shape], typer.Option(help="Shape of the region.")] = None,
    overflow: Annotated[
        Optional[Overflow],
        typer.Option(help="Products above 255 become 255 (clip) or are taken modulo 256 (wrap)."),
    ] = None,
    rounding: Annotated[Optional[Rounding], typer.Option(help="How products are rounded.")] = None,
    feather: Annotated[
        Optional[float], typer.Option(help="Width of a soft edge, px; 0: hard edge.")
    ] = None,
    codec: Annotated[Optional[Codec], typer.Option(help="Format of the images.")] = None,
    quality: Annotated[Optional[int], typer.Option(help="JPEG quality, 1 to 100.")] = None,
    clean_fraction: Annotated[
        Optional[float], typer.Option(help="Share of rows without an anomaly.")
    ] = None,
    twins: Annotated[
        Optional[bool], typer.Option("--twins/--no-twins", help="Also write clean twins.")
    ] = None,
    masks: Annotated[
        Optional[bool], typer.Option("--masks/--no-masks", help="Also write masks of the regions.")
    ] = None,
    split: Annotated[
        Optional[str], typer.Option(help="Shares of the splits: TRAIN:VAL:TEST.")
    ] = None,
    seed: Annotated[Optional[int], typer.Option(help="Seed of the random numbers.")] = None,
    keep_profile: Annotated[
        Optional[bool],
        typer.Option(
            "--keep-profile/--no-keep-profile",
            help="Keep the values of photos with a colour profile (Display P3, Adobe RGB ...) "
            "instead of converting them to sRGB.",
            show_default=False,
        ),
    ] = None,
    keep_duplicates: Annotated[
        Optional[bool],
        typer.Option(
            "--keep-duplicates/--no-keep-duplicates",
            help="Treat near-duplicates as different photos, which may be in different splits.",
            show_default=False,
        ),
    ] = None,
    max_pixels: Annotated[
        Optional[int],
        typer.Option(
            help="Skip photos with more pixels than this; default 200000000.", show_default=False
        ),
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of processes; 0: one per core.")] = 0,
    table: Annotated[
        Form, typer.Option(help="Format of the table; parquet for large datasets.")
    ] = ("csv"),
    shards: Annotated[
        Optional[int],
        typer.Option(
            help="Write Parquet files of at most this number of rows, with the images in them. "
            "At a URL and with --engine ray, the default is 1000.",
            show_default=False,
        ),
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="Where the work is done: this machine, or a Ray cluster.")
    ] = "local",
    address: Annotated[
        Optional[str],
        typer.Option(
            help="Ray cluster: HOST:PORT, or auto. Without it, Ray is started on this machine.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")] = False,
) -> None:
    """Put an anomaly into each photo and write a dataset: images, table and recipe.

    Options override the recipe, whose values are the defaults. Photos are found by suffix or
    content, also in linked folders. OUT/skipped.csv lists photos that cannot be used and files
    that are not photos. 16-bit grey is scaled to 8 bits: the least of 255, 1023, 4095, 16383 and
    65535 that is not below its largest value becomes 255.

    Example: `synth generate photos set --recipe seed --per-photo 2 --count 200`
    """
    from synth import generator, photo_search

    given: dict[str, Any] = {
        "per_photo": per_photo, "fit": fit, "margin": margin, "shape": shape, "overflow": overflow,
        "ratio_scale": ratio_scale, "rounding": rounding, "feather": feather, "codec": codec,
        "quality": quality,
        "clean_fraction": clean_fraction, "twins": twins, "masks": masks, "seed": seed,
        "keep_profile": keep_profile, "keep_duplicates": keep_duplicates,
        "max_pixels": max_pixels,
        "size": size if size in (None, "keep") else console.parse_size(size),
        "ratio": ratio and console.parse_range(ratio, "--ratio"),
        "radius": radius and _radius(radius),
        "split": split and tuple(
            console.parse_number(share, "--split", split) for share in split.split(":")
        ),
    }  # fmt: skip
    changed = {name: value for name, value in given.items() if value is not None}
    full: Recipe = dataclasses.replace(recipes.load(recipe), **changed)
    show_progress = console.ray_progress if engine == "ray" else console.progress
    with show_progress("rows") as progress:
        built = generator.build(
            photos,
            out,
            full,
            count=count,
            workers=workers or os.cpu_count() or 1,
            form=table,
            overwrite=overwrite,
            resume=resume,
            progress=progress,
            shards=shards,
            engine=engine,
            address=address,
        )
    list_of_skipped = f"{out.rstrip('/')}/skipped.csv"
    made = built.summary
    splits = ", ".join(f"{n} {name}" for name, n in made.splits.most_common())
    console.print_line(f"{made.rows} rows ({splits}) from {made.photos} photos in {out}")
    if built.unlisted:
        listing = storage.where(place_of(photos), "photos.csv")
        console.print_line(
            f"{listing} does not name {built.unlisted} of the photos: "
            "their source and licence are not recorded"
        )
    if built.skipped:
        console.print_line(f"{len(built.skipped)} photos skipped, see {list_of_skipped}:")
        for reason, n in Counter(built.skipped.values()).most_common(5):
            console.print_line(f"  {n} x {reason}")
    if built.passed_over:
        line = photo_search.summarise(built.passed_over.values())
        console.print_line(f"{line}; see {list_of_skipped}")


def _radius(text: str) -> tuple[float, float | str]:
    low, _, high = text.partition(":")
    if high == "edge":
        return console.parse_number(low, "--radius", text), "edge"
    return console.parse_range(text, "--radius")


@console.command(app)
def verify(
    dataset: Annotated[str, typer.Argument(help=console.DATASET_HELP)],
    photos: Annotated[
        Optional[str], typer.Option(help="Path or URL of its photos; checks the pixels too.")
    ] = None,
) -> None:
    """Check files, columns and ranges of a dataset; with its photos also all pixels.

    The exit code is 1 if a row has a fault.

    Example: `synth verify set --photos photos`
    """
    from synth import replay

    with console.progress("rows") as progress:
        problems = replay.verify(dataset, photos, progress)
    for problem in problems:
        console.print_line(problem)
    if any(isinstance(problem, replay.ShardProblem) for problem in problems):
        console.print_line(
            f"{place_of(dataset)}: {len(problems)} shards differ from manifest.json; their rows "
            "were not checked"
        )
        raise typer.Exit(1)
    depth = "files, table and pixels" if photos else "files and table (pass --photos for pixels)"
    wrong = len({problem.row for problem in problems})
    verdict = (
        f"{wrong} {'row has' if wrong == 1 else 'rows have'} faults"
        if wrong
        else "all rows are correct"
    )
    console.print_line(f"{place_of(dataset)}: {verdict}; checked {depth}")
    if problems:
        raise typer.Exit(1)


@console.command(app)
def rebuild(
    dataset: Annotated[str, typer.Argument(help=console.DATASET_HELP)],
    row: Annotated[str, typer.Argument(help="Number of the row from 0, or file name.")],
    photos: Annotated[str, typer.Option(help="Path or URL of its photos.")],
    out: Annotated[
        Optional[Path],
        typer.Option(help="File to write; default: the image's file name in the current folder."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace a file with the image's name, unless it is in the folder of photos.",
        ),
    ] = False,
) -> None:
    """Make the image file of one row again from its photo, byte for byte.

    The exit code is 1 if it differs from the file in the dataset.

    Example: `synth rebuild set 17 --photos photos`
    """
    from synth import dataset as datasets
    from synth import replay

    files = datasets.open_files(dataset)
    data = replay.rebuild(files, row, photos)
    table = datasets.parse(files)
    name = table["file_name"].iloc[replay.find_row(table, row)]
    where, original = storage.where(files.place, name), Path(name).name
    target, photo_folder = out or Path(original), place_of(photos)

    def is_ours(path: Path) -> bool:
        inside = isinstance(photo_folder, Path) and path.resolve().is_relative_to(
            photo_folder.resolve()
        )
        return path.read_bytes() == data or (path.name == original and not inside)

    output_file.check(target, is_ours, overwrite)
    output_file.write(target, data, overwrite)
    if not files.has(name):
        console.print_line(f"{target}: rebuilt; the dataset's file is missing")
    elif files.read_bytes(name) == data:
        console.print_line(f"{target}: the same {len(data)} bytes as {where}")
    else:
        console.print_line(
            f"{target}: differs from {where}: compare the library versions in recipe.json"
        )
        raise typer.Exit(1)


console.command(app, "import")(import_)
console.command(app)(scrape)
console.command(app)(export_commands.export)
console.command(app)(export_commands.preview)
