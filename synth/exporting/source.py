"""The dataset to export: its rows in Python values, and copying of its files."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synth import dataset as datasets
from synth import folders, photos
from synth.errors import InputError, Skipped

Row = dict[str, Any]
Progress = Callable[[int, int], None]

KEY = "(key)"  # key of the row number, which names its files; not a column of a table


@dataclass(frozen=True)
class Source:
    """A checked dataset: its folder and its rows, each with its number."""

    folder: Path
    rows: Sequence[Row]

    def suffix(self, name: str, row: Mapping[str, Any]) -> str:
        """Suffix for a file of a row by its content.

        Raises:
            InputError: the file is not a picture or has another size than in the table.
        """
        path, table_size = self.folder / name, (int(row["width"]), int(row["height"]))
        try:
            with photos.open_image(path) as image:
                file_size, kind = image.size, str(image.format)
        except MemoryError:
            raise
        except Exception as error:  # broken files raise many types
            raise InputError(f"{path} is not a picture: {error}") from None
        if file_size != table_size:
            raise InputError(
                f"{path} is {file_size[0]}x{file_size[1]}, "
                f"in the table {table_size[0]}x{table_size[1]}: "
                "check all rows with synth verify"
            )
        return photos.SUFFIX_OF[kind]

    def copy(self, name: str, row: Mapping[str, Any], into: Path) -> str:
        """Copies a file of a row into a folder, byte for byte; returns its new name."""
        target = row[KEY] + self.suffix(name, row)
        into.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder / name, into / target)
        return target

    def region(self, row: Mapping[str, Any]) -> np.ndarray | None:
        """-> (H, W) bool: the region of a row with an anomaly; None if it is not known.

        Raises:
            InputError: the region covers no pixel, because its radius is almost 0, or the mask
                cannot be used.
        """
        try:
            mask = datasets.region(row, self.folder)
        except Skipped as reason:
            raise InputError(f"row {int(row[KEY])} ({row['file_name']}): {reason}") from None
        if mask is not None and not mask.any():
            raise InputError(
                f"row {int(row[KEY])} ({row['file_name']}): its region covers no pixel, "
                "so it cannot be annotated"
            )
        return mask


def records(table: Any) -> list[Row]:
    """A data frame -> its rows in Python values; empty and non-finite values are None."""
    import pandas as pd

    def plain(value: Any) -> Any:
        empty = value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
        return None if empty else value

    return [{name: plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def columns(row: Row) -> Row:
    """A row without its number, so only columns of the table."""
    return {name: value for name, value in row.items() if name != KEY}


def licences(rows: Sequence[Row]) -> list[str]:
    """The different licences in a table, sorted."""
    return sorted({row["licence"] for row in rows} - {""})


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Writes a value as a JSON file, with keys in their order."""
    folders.write(path, json.dumps(content, ensure_ascii=False, indent=indent) + "\n")
