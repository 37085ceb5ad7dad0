"""Import of a foreign table of images with anomalies as a dataset; images are copied unchanged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from synth import anomaly as anomalies
from synth import coordinate_units, dataset, folders, import_files, number_kinds, tables
from synth.anomaly import Anomaly, Overflow, Rounding, Shape
from synth.errors import InputError, Skipped
from synth.paths import fit_name, path_of
from synth.recipe import SPLITS

if TYPE_CHECKING:
    import pandas as pd

# Kinds of numbers in a foreign table; Anomaly checks their ranges.
_PLACES = {name: replace(number_kinds.PIXELS, empty=False) for name in ("x", "y", "r")}
_RATIO = replace(number_kinds.FINITE, empty=False)


@dataclass(frozen=True)
class Columns:
    """Names of the columns in the foreign table."""

    x: str = "x"
    y: str = "y"
    r: str = "r"
    discolor_ratio: str = "discolor_ratio"
    file_name: str = "file_name"


@dataclass(frozen=True)
class Convention:
    """How to read a foreign table.

    Args:
        columns: names of its columns.
        axes: ``xy``: its x is the column; ``rowcol``: its x is the row.
        half_open: its region covers the pixels x-r to x+r-1 (as a Python slice does) rather
            than x-r to x+r. In Acuity's terms its centre is then half a pixel lower and its radius
            half a pixel smaller.
        shape, overflow, rounding: properties of all its anomalies.
    """

    columns: Columns = field(default_factory=Columns)
    axes: Literal["xy", "rowcol"] = "xy"
    half_open: bool = False
    shape: Shape = "circle"
    overflow: Overflow = "clip"
    rounding: Rounding = "nearest"

    def anomaly(
        self,
        x: float,
        y: float,
        r: float,
        discolor_ratio: float,
        unit: str = "px",
        size: tuple[int, int] = (1, 1),
    ) -> Anomaly:
        """Numbers of the foreign table -> anomaly in Acuity's terms.

        Args:
            unit: px, or fraction or percent of the size (see :mod:`synth.coordinate_units`).
            size: width and height of the picture in px, for those.

        >>> PRESETS["seed"].anomaly(x=300, y=200, r=50, discolor_ratio=1.1)
        ... # doctest: +NORMALIZE_WHITESPACE
        Anomaly(x=199.5, y=299.5, r=49.5, discolor_ratio=1.1, shape='square',
                overflow='wrap', rounding='floor', feather=0.0)
        """
        if self.axes == "rowcol":
            x, y = y, x
        smaller = 0.5 if self.half_open else 0.0
        # Fractions and half-open regions count from the outer edge of the image.
        earlier = 0.5 if self.half_open or unit != "px" else 0.0
        x, y = (
            coordinate_units.to_px(x, size[0], unit) - earlier,
            coordinate_units.to_px(y, size[1], unit) - earlier,
        )
        r = coordinate_units.to_px(r, size[0], unit) - smaller
        if unit != "px":
            # A region at the edge extends up to half a pixel beyond the outer pixel centres.
            room = min(x, y, size[0] - 1 - x, size[1] - 1 - y)
            r = room if room < r <= room + 0.5 + 1e-6 else r
        return Anomaly(x, y, r, discolor_ratio, self.shape, self.overflow, self.rounding)


PRESETS = {
    "plain": Convention(),
    # Acuity's predecessor: img[x - r : x + r, y - r : y + r] *= ratio, in uint8.
    "seed": Convention(
        Columns(file_name="img_path"),
        axes="rowcol",
        half_open=True,
        shape="square",
        overflow="wrap",
        rounding="floor",
    ),
}


def convert(
    table: str | Path,
    out: str | Path,
    images: str | Path,
    convention: Convention = PRESETS["plain"],
    *,
    split: str = "test",
    unit: coordinate_units.Unit | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Imports a CSV table and its images into the dataset folder ``out``; returns the new table.

    Images are found below ``images`` by the last parts of their paths and copied unchanged. All
    rows go to one split, so near-duplicates are not searched for.

    Args:
        table: the CSV file.
        out: the dataset folder to write.
        images: folder with the images.
        convention: how to read the table.
        split: the split of all rows.
        unit: of x, y and r: ``px``, or ``fraction`` or ``percent`` of the image's size. None: px,
            but a table whose numbers all look like fractions is rejected.
        overwrite: replace ``out`` if Acuity wrote it.
        progress: called with (rows done, number of rows).
        say: called with a note if the table has an unusual format.

    Raises:
        InputError: a column or image is missing, a value is not a number, or a region is not
            inside its image or covers no pixel; the message names the row.
    """
    if split not in SPLITS:
        raise InputError(f"split '{split}' is unknown: use one of {', '.join(SPLITS)}")
    coordinate_units.check(unit)
    foreign = tables.read(path_of(table), list(vars(convention.columns).values()))
    records = _records(foreign, convention.columns, unit)
    if note := foreign.note(_numbers(convention.columns)):
        say(note)
    find = import_files.finder(path_of(images))
    reads, out = [path_of(table), path_of(images)], path_of(out)
    with folders.stage(out, dataset.MARKER, reads=reads, overwrite=overwrite) as staging:
        (staging / "images").mkdir()
        rows: list[dict[str, Any]] = []
        source_of_name: dict[str, Path] = {}
        for i, record in enumerate(records):
            try:
                rows.append(
                    _row(record, convention, unit or "px", find, source_of_name, staging, split)
                )
            except InputError as error:
                raise InputError(f"{foreign.place(i)}: {error}") from None
            if progress:
                progress(i + 1, len(records))
        imported = dataset.frame(rows)
        about = {
            "made_by": "synth import",
            "table": Path(table).name,
            "versions": dataset.versions(),
        }
        dataset.write(staging, imported, about)
    imported.attrs["folder"] = str(out)
    return imported


def _numbers(columns: Columns) -> list[str]:
    """Names of the columns with numbers."""
    return [columns.x, columns.y, columns.r, columns.discolor_ratio]


def _records(foreign: tables.Table, columns: Columns, unit: str | None) -> list[dict[str, Any]]:
    """The rows of a foreign table with Acuity's column names and the table's own unit.

    Raises:
        InputError: there are no rows, a cell is not a number, or the unit is not clear.
    """
    if not foreign.rows:
        raise InputError(f"{foreign.path} has no rows")
    names = vars(columns)
    kinds = {names[name]: kind for name, kind in _PLACES.items()}
    numbers = coordinate_units.numbers(foreign, kinds, unit, "correct it")
    numbers |= foreign.numbers({columns.discolor_ratio: _RATIO})
    if unit is None:
        coordinate_units.refuse_fractions(
            foreign.path, numbers[columns.x], numbers[columns.y], numbers[columns.r]
        )
    cells = [numbers[name] for name in _numbers(columns)] + [foreign.column(columns.file_name)]
    our_columns = ("x", "y", "r", "discolor_ratio", "file_name")
    return [dict(zip(our_columns, row, strict=True)) for row in zip(*cells, strict=True)]


def _row(
    record: dict[str, Any],
    convention: Convention,
    unit: str,
    find: Callable[[str], Path],
    source_of_name: dict[str, Path],
    staging: Path,
    split: str,
) -> dict[str, Any]:
    path = find(record.pop("file_name"))
    try:
        picture = import_files.read(path)
    except Skipped as reason:
        raise InputError(f"{path}: {reason}") from None
    width, height = picture.size
    anomaly = convention.anomaly(**record, unit=unit, size=(width, height))
    if not anomaly.fits(width, height):
        raise InputError(
            f"the region (x {anomaly.x:g}, y {anomaly.y:g}, r {anomaly.r:g}) "
            f"is not inside the {width}x{height} image {path.name}"
        )
    if not anomalies.mask(anomaly, height, width).any():
        raise InputError(
            f"the region (x {anomaly.x:g}, y {anomaly.y:g}, r {anomaly.r:g}) covers no pixel: "
            "correct it, or name the unit with --unit"
        )
    name = path.name
    if source_of_name.setdefault(name, path) != path:
        name = fit_name(f"{path.parent.name}-{path.stem}", path.suffix)
        if source_of_name.setdefault(name, path) != path:
            raise InputError(f"two images would get the name {name}: rename one")
    target = staging / "images" / name
    if target.exists():
        raise InputError(f"an earlier row has the same image {name}")
    shutil.copyfile(path, target)
    return {
        "file_name": f"images/{name}",
        "x": anomaly.x,
        "y": anomaly.y,
        "r": anomaly.r,
        "discolor_ratio": anomaly.discolor_ratio,
        "shape": anomaly.shape,
        "overflow": anomaly.overflow,
        "rounding": anomaly.rounding,
        "feather": 0.0,
        "label": 1,
        "split": split,
        "width": width,
        "height": height,
        "codec": picture.codec,
    }
