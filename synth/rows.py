"""One row of a dataset's table: its anomaly, its region and its faults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from synth import anomaly as anomalies
from synth import photos
from synth.anomaly import Anomaly, Overflow, Rounding, Shape
from synth.errors import InputError, Skipped
from synth.files import Files, files_of
from synth.recipe import SPLITS, Codec
from synth.storage import Place

if TYPE_CHECKING:
    import pandas as pd

# Column -> the folder of its files.
IMAGE_FOLDERS = {"file_name": "images", "clean_file_name": "clean", "mask_file_name": "masks"}
PLACE = ("x", "y", "r", "discolor_ratio")  # all empty in an unplaced row
_WORDS = {
    "shape": get_args(Shape),
    "overflow": get_args(Overflow),
    "rounding": get_args(Rounding),
    "split": SPLITS,
}


def truth(row: Mapping[Any, Any]) -> Anomaly | None:
    """A row of the table -> its anomaly, or None if the row is clean or unplaced.

    Raises:
        InputError: the row has an anomaly, and some but not all of its numbers are empty.
    """
    if int(row["label"]) == 0 or is_unplaced(row):
        return None
    empty = [name for name in PLACE if _is_empty(row[name])]
    if empty:
        raise InputError(
            f"{', '.join(empty)} empty: fill all of {', '.join(PLACE)}, or leave all of them empty "
            "if the place is not known"
        )
    return Anomaly(
        x=float(row["x"]),
        y=float(row["y"]),
        r=float(row["r"]),
        discolor_ratio=float(row["discolor_ratio"]),
        shape=row["shape"],
        overflow=row["overflow"],
        rounding=row["rounding"],
        feather=float(row["feather"]),
    )


def is_unplaced(row: Mapping[Any, Any]) -> bool:
    """Whether a row is unplaced: it has an anomaly, but x, y, r and discolor_ratio are empty."""
    return int(row["label"]) == 1 and all(_is_empty(row[name]) for name in PLACE)


def _is_empty(value: Any) -> bool:
    return value is None or value != value


def unplaced(table: pd.DataFrame) -> pd.Series[bool]:
    """A typed table -> for each row, whether it is unplaced."""
    return (table["label"] == 1) & table[list(PLACE)].isna().all(axis=1)


def region(row: Mapping[Any, Any], source: Place | Files) -> np.ndarray | None:
    """-> (H, W) bool: the pixels of a row's anomaly; None where they are not known.

    For a row with a place, they follow from its numbers. For an unplaced row they are the pixels of
    its mask that are not black.

    Args:
        source: the dataset.

    Raises:
        Skipped: the mask cannot be read, has another size than the row, or is black.
    """
    height, width = int(row["height"]), int(row["width"])
    if (anomaly := truth(row)) is not None:
        return anomalies.mask(anomaly, height, width)
    if not row["mask_file_name"] or int(row["label"]) == 0:
        return None
    pixels = photos.read(source, row["mask_file_name"], keep_profile=True).pixels
    mask = np.asarray(pixels.any(axis=2))
    if mask.shape != (height, width):
        raise Skipped(f"its mask is {mask.shape[1]}x{mask.shape[0]}, in the table {width}x{height}")
    if not mask.any():
        raise Skipped("its mask is black: it marks no pixel of the anomaly")
    return mask


def is_outside_folder(name: str) -> bool:
    """Whether a file name in a table points outside the folder."""
    return Path(name).is_absolute() or ".." in Path(name).parts


def faults(row: Mapping[Any, Any], source: Place | Files) -> Iterator[str]:
    """The faults of a row of a typed table; files are checked for existence only."""
    files = files_of(source)
    for column in IMAGE_FOLDERS:
        name = row[column]
        if is_outside_folder(name):
            yield f"{column} points outside the folder"
        elif (name or column == "file_name") and not files.has(name):
            yield f"{column} '{name}' is missing on disk"
    for column, words in _WORDS.items():
        if row[column] not in words:
            yield f"{column} is '{row[column]}', not one of {', '.join(words)}"
            return
    if row["label"] not in (0, 1):
        yield "label is neither 0 nor 1"
        return
    if not (row["width"] >= 1 and row["height"] >= 1):
        yield "width or height is below 1 px"
        return
    if row["codec"] not in ("", *get_args(Codec)):
        yield f"codec is '{row['codec']}', not one of {', '.join(get_args(Codec))}"
    if is_outside_folder(row["photo"]):
        yield "photo points outside the folder of photos"
    try:
        anomaly = truth(row)
    except InputError as error:
        yield str(error)
        return
    if anomaly is not None and not anomaly.fits(row["width"], row["height"]):
        yield (
            f"its region (x {anomaly.x:g}, y {anomaly.y:g}, reach {anomaly.reach:g}) "
            f"is not inside the {row['width']}x{row['height']} image"
        )
