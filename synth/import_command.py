"""The command ``synth import``."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from synth import console, coordinate_units
from synth.anomaly import Overflow, Rounding, Shape
from synth.coordinate_units import Unit
from synth.errors import InputError


def import_(
    table: Annotated[Path, typer.Argument(help="CSV table to import.")],
    out: Annotated[Path, typer.Argument(help="Dataset folder to write.")],
    images: Annotated[Path, typer.Option(help="Folder that contains its images.")],
    preset: Annotated[
        str, typer.Option(help="Conventions of the table: plain, or seed (Acuity's predecessor).")
    ] = "plain",
    x: Annotated[Optional[str], typer.Option(help="Name of the column x in the table.")] = None,
    y: Annotated[Optional[str], typer.Option(help="Name of the column y in the table.")] = None,
    r: Annotated[Optional[str], typer.Option(help="Name of the column r in the table.")] = None,
    ratio: Annotated[
        Optional[str], typer.Option(help="Name of the column discolor_ratio in the table.")
    ] = None,
    image: Annotated[
        Optional[str], typer.Option(help="Name of the column with the images' paths.")
    ] = None,
    axes: Annotated[
        Optional[str], typer.Option(help="Meaning of x and y: xy, or rowcol (x is the row).")
    ] = None,
    shape: Annotated[Optional[Shape], typer.Option(help="Shape of all regions.")] = None,
    overflow: Annotated[
        Optional[Overflow], typer.Option(help="What products above 255 became.")
    ] = None,
    rounding: Annotated[Optional[Rounding], typer.Option(help="How products were rounded.")] = None,
    split: Annotated[str, typer.Option(help="Split of all rows.")] = "test",
    unit: Annotated[Optional[Unit], typer.Option(help=coordinate_units.HELP)] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if synth wrote it.")
    ] = False,
) -> None:
    """Convert a foreign table and its images into a dataset.

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
        imported = importer.convert(
            table, out, images, convention,
            split=split, unit=unit, overwrite=overwrite, progress=progress,
            say=lambda line: console.print_line(line, sys.stderr),
        )  # fmt: skip
    console.print_line(f"{len(imported)} rows in {out}, all in split {split}")
