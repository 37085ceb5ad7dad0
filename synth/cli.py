"""The ``synth`` command."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from synth import console, coordinate_units, export_commands, folders, output_file
from synth import recipe as recipes
from synth.anomaly import Overflow, Rounding, Shape
from synth.coordinate_units import Unit
from synth.dataset import Form
from synth.errors import InputError
from synth.recipe import Codec, Fit, Recipe
from synth.scraping.command import scrape

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Make the chart: hide faint changes in photos and write down exactly where they are.",
)
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is one of ours.")]


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=console.version_callback("synth"), help="Version."
        ),
    ] = False,
) -> None: ...


@console.command(app)
def scenes(
    out: Annotated[Path, typer.Argument(help="Folder to write the pictures to.")],
    count: Annotated[int, typer.Option(help="How many.")] = 24,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in px.")] = "800x800",
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Render procedural landscape photos: no network needed.

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
    photos: Annotated[Path, typer.Argument(help="Folder of photos.")],
    out: Annotated[Path, typer.Argument(help="Dataset folder to write.")],
    recipe: Annotated[str, typer.Option(help="Preset (default, seed) or JSON file.")] = "default",
    count: Annotated[Optional[int], typer.Option(help="Stop after this many rows.")] = None,
    per_photo: Annotated[Optional[int], typer.Option(help="Rows a photo.")] = None,
    size: Annotated[Optional[str], typer.Option(help="WIDTHxHEIGHT in px, or keep.")] = None,
    fit: Annotated[Optional[Fit], typer.Option(help="How a photo gets that size.")] = None,
    ratio: Annotated[Optional[str], typer.Option(help="LO:HI; below 1 darkens.")] = None,
    radius: Annotated[Optional[str], typer.Option(help="LO:HI or LO:edge, px.")] = None,
    margin: Annotated[Optional[float], typer.Option(help="Share of the side.")] = None,
    shape: Annotated[Optional[Shape], typer.Option()] = None,
    overflow: Annotated[Optional[Overflow], typer.Option(help="Above 255.")] = None,
    rounding: Annotated[Optional[Rounding], typer.Option()] = None,
    feather: Annotated[Optional[float], typer.Option(help="Soft edge, px.")] = None,
    codec: Annotated[Optional[Codec], typer.Option()] = None,
    quality: Annotated[Optional[int], typer.Option(help="Of JPEG, 1 to 100.")] = None,
    clean_fraction: Annotated[
        Optional[float], typer.Option(help="Share of rows without anomaly.")
    ] = None,
    twins: Annotated[
        Optional[bool], typer.Option("--twins/--no-twins", help="Write clean twins too.")
    ] = None,
    masks: Annotated[
        Optional[bool], typer.Option("--masks/--no-masks", help="Write masks too.")
    ] = None,
    split: Annotated[Optional[str], typer.Option(help="TRAIN:VAL:TEST shares.")] = None,
    seed: Annotated[Optional[int], typer.Option(help="Same seed, same bytes.")] = None,
    keep_profile: Annotated[
        Optional[bool],
        typer.Option(
            "--keep-profile/--no-keep-profile",
            help="Keep the values of photos with a colour profile (Display P3, Adobe RGB ...); "
            "else they become sRGB.",
            show_default=False,
        ),
    ] = None,
    keep_duplicates: Annotated[
        Optional[bool],
        typer.Option(
            "--keep-duplicates/--no-keep-duplicates",
            help="Treat near-duplicates as different photos: they may lie in different splits.",
            show_default=False,
        ),
    ] = None,
    max_pixels: Annotated[
        Optional[int],
        typer.Option(help="Most pixels of a photo; default 200000000.", show_default=False),
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes; 0: one per core.")] = 0,
    table: Annotated[Form, typer.Option(help="The table's format; parquet for large sets.")] = (
        "csv"
    ),
    overwrite: Overwrite = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")] = False,
) -> None:
    """Hide an anomaly in each photo and write pictures, table and recipe.

    Flags override the recipe's fields. Files are taken for photos by suffix or content, in
    linked folders too; what is skipped or passed over stands in OUT/skipped.csv. 16-bit grey
    is scaled to 8 bits by its largest value: up to 255, 1023, 4095, 16383 or 65535 becomes 255.

    Example: `synth generate photos set --recipe seed --per-photo 2 --count 200`
    """
    from synth import generator, photo_search

    given: dict[str, Any] = {
        "per_photo": per_photo, "fit": fit, "margin": margin, "shape": shape, "overflow": overflow,
        "rounding": rounding, "feather": feather, "codec": codec, "quality": quality,
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
    with console.progress("rows") as progress:
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
        )
    made = built.summary
    splits = ", ".join(f"{n} {name}" for name, n in made.splits.most_common())
    console.print_line(f"{made.rows} rows ({splits}) from {made.photos} photos in {out}")
    if built.unlisted:
        console.print_line(
            f"{photos / 'photos.csv'} does not name {built.unlisted} of the photos: "
            "their source and licence are not recorded"
        )
    if built.skipped:
        console.print_line(f"{len(built.skipped)} photos skipped, see {out / 'skipped.csv'}:")
        for reason, n in Counter(built.skipped.values()).most_common(5):
            console.print_line(f"  {n} x {reason}")
    if built.passed_over:
        line = photo_search.summarise(built.passed_over.values())
        console.print_line(f"{line}; see {out / 'skipped.csv'}")


def _radius(text: str) -> tuple[float, float | str]:
    low, _, high = text.partition(":")
    if high == "edge":
        return console.parse_number(low, "--radius", text), "edge"
    return console.parse_range(text, "--radius")


@console.command(app)
def verify(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    photos: Annotated[Optional[Path], typer.Option(help="Its photos: check pixels too.")] = None,
) -> None:
    """Check files, schema and ranges; with the photos, that the pixels obey every row.

    Exit code 1 if a row does not.

    Example: `synth verify set --photos photos`
    """
    from synth import replay

    with console.progress("rows") as progress:
        found = replay.verify(dataset, photos, progress)
    for problem in found:
        console.print_line(problem)
    depth = "files, table and pixels" if photos else "files and table (pass --photos for pixels)"
    wrong = len({problem.row for problem in found})
    verdict = (
        f"{wrong} {'row is' if wrong == 1 else 'rows are'} wrong" if wrong else "all rows hold"
    )
    console.print_line(f"{dataset}: {verdict}; looked at {depth}")
    if found:
        raise typer.Exit(1)


@console.command(app)
def rebuild(
    dataset: Annotated[Path, typer.Argument(help="Dataset folder.")],
    row: Annotated[str, typer.Argument(help="Row number from 0, or file name.")],
    photos: Annotated[Path, typer.Option(help="Folder of its photos.")],
    out: Annotated[Optional[Path], typer.Option(help="File; default: its name, here.")] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace a file of the picture's own name, but none of the photos."
        ),
    ] = False,
) -> None:
    """Make one row's image file again, byte for byte.

    Example: `synth rebuild set 17 --photos photos`
    """
    from synth import dataset as datasets
    from synth import replay

    data = replay.rebuild(dataset, row, photos)
    table = datasets.parse(dataset)
    original = dataset / table["file_name"].iloc[replay.find_row(table, row)]
    target = out or Path(original.name)

    def is_ours(path: Path) -> bool:
        inside = path.resolve().is_relative_to(photos.resolve())
        return path.read_bytes() == data or (path.name == original.name and not inside)

    output_file.check(target, is_ours, overwrite)
    output_file.write(target, data, overwrite)
    if not original.is_file():
        console.print_line(f"{target}: rebuilt; the dataset's own file is missing")
    elif original.read_bytes() == data:
        console.print_line(f"{target}: the same {len(data)} bytes as {original}")
    else:
        console.print_line(f"{target}: differs from {original}: see the versions in recipe.json")
        raise typer.Exit(1)


@console.command(app, "import")
def import_(
    table: Annotated[Path, typer.Argument(help="CSV table.")],
    out: Annotated[Path, typer.Argument(help="Dataset folder to write.")],
    images: Annotated[Path, typer.Option(help="Folder below which its images lie.")],
    preset: Annotated[
        str, typer.Option(help="plain, or seed: the table of the project that started this.")
    ] = "plain",
    x: Annotated[Optional[str], typer.Option(help="The table's column for x.")] = None,
    y: Annotated[Optional[str], typer.Option(help="... for y.")] = None,
    r: Annotated[Optional[str], typer.Option(help="... for r.")] = None,
    ratio: Annotated[Optional[str], typer.Option(help="... for discolor_ratio.")] = None,
    image: Annotated[Optional[str], typer.Option(help="... for the image's path.")] = None,
    axes: Annotated[Optional[str], typer.Option(help="xy, or rowcol: x is the row.")] = None,
    shape: Annotated[Optional[Shape], typer.Option()] = None,
    overflow: Annotated[Optional[Overflow], typer.Option()] = None,
    rounding: Annotated[Optional[Rounding], typer.Option()] = None,
    split: Annotated[str, typer.Option(help="The split that all rows go to.")] = "test",
    unit: Annotated[Optional[Unit], typer.Option(help=coordinate_units.HELP)] = None,
    overwrite: Overwrite = False,
) -> None:
    """Turn a foreign table and its images into a dataset of ours.

    Example: `synth import labels.csv set --images pictures --x cx --y cy --image path`
    """
    from synth import importer

    if preset not in importer.PRESETS:
        raise InputError(f"preset '{preset}' is unknown: use {' or '.join(importer.PRESETS)}")
    if axes not in (None, "xy", "rowcol"):
        raise InputError(f"--axes is '{axes}': use xy or rowcol")
    convention = importer.PRESETS[preset]
    names = {"x": x, "y": y, "r": r, "discolor_ratio": ratio, "file_name": image}
    words = {"axes": axes, "shape": shape, "overflow": overflow, "rounding": rounding}
    columns = dataclasses.replace(convention.columns, **{k: v for k, v in names.items() if v})
    convention = dataclasses.replace(
        convention,
        columns=columns,
        **{k: v for k, v in words.items() if v},  # type: ignore[arg-type]
    )
    with console.progress("rows") as progress:
        ours = importer.convert(
            table, out, images, convention,
            split=split, unit=unit, overwrite=overwrite, progress=progress,
            say=lambda line: console.print_line(line, sys.stderr),
        )  # fmt: skip
    console.print_line(f"{len(ours)} rows in {out}, all in split {split}")


console.command(app)(scrape)
console.command(app)(export_commands.export)
console.command(app)(export_commands.preview)
