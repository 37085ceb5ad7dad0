"""The command ``synth import``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from synth import console, coordinate_units
from synth.anomaly import Overflow, Rounding, Shape
from synth.coordinate_units import Unit
from synth.errors import InputError

PLACES = "Tables with places"
LABELS = "Labels only"


def _option(help: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel)


def import_(
    source: Annotated[
        Path, typer.Argument(help="CSV table, or with --labels also a folder of images.")
    ],
    out: Annotated[Path, typer.Argument(help="Dataset folder to write.")],
    images: Annotated[
        Optional[Path], typer.Option(help="Folder that contains the images of the table.")
    ] = None,
    image: Annotated[
        Optional[str], typer.Option(help="Name of the column with the images' paths.")
    ] = None,
    split: Annotated[
        Optional[str],
        typer.Option(
            help="Split of all rows [test]; with --labels also shares TRAIN:VAL:TEST "
            "[the splits of the source, else 0.6:0.2:0.2]."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if synth wrote it.")
    ] = False,
    preset: Annotated[
        Optional[str],
        _option("Conventions of the table: plain, or seed (Acuity's predecessor) [plain].", PLACES),
    ] = None,
    x: Annotated[Optional[str], _option("Name of the column x in the table.", PLACES)] = None,
    y: Annotated[Optional[str], _option("Name of the column y in the table.", PLACES)] = None,
    r: Annotated[Optional[str], _option("Name of the column r in the table.", PLACES)] = None,
    ratio: Annotated[
        Optional[str], _option("Name of the column discolor_ratio in the table.", PLACES)
    ] = None,
    axes: Annotated[
        Optional[str], _option("Meaning of x and y: xy, or rowcol (x is the row).", PLACES)
    ] = None,
    shape: Annotated[Optional[Shape], _option("Shape of all regions.", PLACES)] = None,
    overflow: Annotated[Optional[Overflow], _option("What products above 255 became.", PLACES)] = (
        None
    ),
    rounding: Annotated[Optional[Rounding], _option("How products were rounded.", PLACES)] = None,
    unit: Annotated[Optional[Unit], _option(coordinate_units.HELP, PLACES)] = None,
    labels: Annotated[
        bool,
        _option(
            "Images that are known as normal or anomalous, without places.", LABELS, "--labels"
        ),
    ] = False,
    label: Annotated[
        Optional[str], _option("Name of the column with the labels in the table [label].", LABELS)
    ] = None,
    normal: Annotated[
        Optional[list[str]],
        _option("Class folder, or word in the table, of normal images; repeatable.", LABELS),
    ] = None,
    seed: Annotated[Optional[int], _option("Seed of the random splits [0].", LABELS)] = None,
) -> None:
    """Convert a foreign table and its images, or a folder of images with labels, into a dataset.

    Example: `synth import table.csv set --images pictures --x cx --y cy --image path`

    Example: `synth import pictures set --labels --normal intact`
    """
    of_places = {
        "preset": preset, "x": x, "y": y, "r": r, "ratio": ratio, "axes": axes, "shape": shape,
        "overflow": overflow, "rounding": rounding, "unit": unit,
    }  # fmt: skip
    of_labels = {"label": label, "normal": normal, "seed": seed}
    for name, value in (of_places if labels else of_labels).items():
        if value is not None and value != []:
            what = "tables with places: leave it" if labels else "images with labels: pass --labels"
            raise InputError(f"--{name} is for {what}{' out' if labels else ', or leave it out'}")
    if labels:
        _import_labels(
            source, out, images,
            label=label or "label", image=image or "file_name", normal=normal or [],
            split=_parse_split(split), seed=seed or 0, overwrite=overwrite,
        )  # fmt: skip
    else:
        _import_places(source, out, images, image, split or "test", overwrite, of_places)


def _import_places(
    table: Path,
    out: Path,
    images: Path | None,
    image: str | None,
    split: str,
    overwrite: bool,
    options: dict[str, Any],
) -> None:
    from synth import importer

    preset, axes = options["preset"] or "plain", options["axes"]
    if table.is_dir():
        raise InputError(f"{table} is a folder: name a table, or pass --labels for class folders")
    if images is None:
        raise InputError("--images is missing: name the folder with the images of the table")
    if preset not in importer.PRESETS:
        raise InputError(f"preset '{preset}' is unknown: use {' or '.join(importer.PRESETS)}")
    if axes not in (None, "xy", "rowcol"):
        raise InputError(f"--axes is '{axes}': use xy or rowcol")
    convention = importer.PRESETS[preset]
    names = {"discolor_ratio": options["ratio"], "file_name": image}
    names |= {name: options[name] for name in ("x", "y", "r")}
    words = {name: options[name] for name in ("axes", "shape", "overflow", "rounding")}
    columns = dataclasses.replace(convention.columns, **{k: v for k, v in names.items() if v})
    convention = dataclasses.replace(
        convention, columns=columns, **{k: v for k, v in words.items() if v}
    )
    with console.progress("rows") as progress:
        imported = importer.convert(
            table, out, images, convention,
            split=split, unit=options["unit"], overwrite=overwrite, progress=progress, say=_say,
        )  # fmt: skip
    console.print_line(f"{len(imported)} rows in {out}, all in split {split}")


def _import_labels(source: Path, out: Path, images: Path | None, **options: Any) -> None:
    from synth import label_importer
    from synth.photo_search import summarise
    from synth.recipe import SPLITS

    with console.progress("images") as progress:
        made = label_importer.import_labels(source, out, images, progress=progress, **options)
    if made.note:
        _say(made.note)
    summary = made.summary
    splits = ", ".join(f"{n} {name}" for name in SPLITS if (n := summary.splits[name]))
    anomalous, mask = summary.unplaced, f" ({made.masks} with a mask)" if made.masks else ""
    console.print_line(
        f"{summary.rows} rows ({splits}) in {out}: {summary.rows - anomalous} normal, "
        f"{anomalous} anomalous{mask}"
    )
    for label, word in enumerate(("normal", "anomalous")):
        classes = {kind: n for (kind, of), n in made.classes.items() if of == label and kind}
        if classes:
            console.print_line(f"{word} classes: {_class_text(classes)}")
    if not anomalous:
        console.print_line("all images are normal: methods can be trained on them, but not scored")
    if made.skipped:
        console.print_line(f"{summarise(made.skipped.values())}; see {out / 'skipped.csv'}")


def _class_text(classes: dict[str, int], most: int = 10) -> str:
    """Classes with their numbers of images, the first ``most``."""
    texts = [f"{kind} {n}" for kind, n in sorted(classes.items())]
    more = f" and {len(texts) - most} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _parse_split(text: str | None) -> str | Sequence[float] | None:
    """The value of --split: a split, or shares joined by colons."""
    if text is None or ":" not in text:
        return text
    return tuple(console.parse_number(share, "--split", text) for share in text.split(":"))


def _say(line: str) -> None:
    console.print_line(line, sys.stderr)
