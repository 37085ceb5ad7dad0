"""The dataset to export: its rows in Python values, and copying of its files."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import UnidentifiedImageError

from synth import dataset as datasets
from synth import files, folders, photos
from synth.errors import InputError, Interrupted, Skipped
from synth.files import Files
from synth.paths import name_of

Row = dict[str, Any]
Progress = Callable[[int, int], None]

KEY = "(key)"  # key of the row number, which names its files; not a column of a table


@dataclass(frozen=True)
class Source:
    """A checked dataset: its files and its rows, each with its number."""

    files: Files
    rows: Sequence[Row]

    @property
    def name(self) -> str:
        """The name of the dataset: that of its folder, without links."""
        place = self.files.place
        return place.resolve().name if isinstance(place, Path) else name_of(str(place))

    def read(self, name: str, row: Mapping[str, Any]) -> tuple[bytes, str]:
        """The bytes of a file of a row, and the suffix for it by its content.

        Raises:
            InputError: the file is not a picture or has another size than in the table.
        """
        where, table_size = files.where(self.files, name), (int(row["width"]), int(row["height"]))
        try:
            data = self.files.read_bytes(name)
            with photos.open_image(io.BytesIO(data)) as image:
                file_size, kind = image.size, str(image.format)
        except (MemoryError, Interrupted):
            raise
        except UnidentifiedImageError:
            raise InputError(f"{where} is not a picture") from None
        except Exception as error:  # broken files raise many types
            raise InputError(f"{where} is not a picture: {error}") from None
        if file_size != table_size:
            raise InputError(
                f"{where} is {file_size[0]}x{file_size[1]}, "
                f"in the table {table_size[0]}x{table_size[1]}: "
                "check all rows with synth verify"
            )
        return data, photos.SUFFIX_OF[kind]

    def copy(self, name: str, row: Mapping[str, Any], into: Path) -> str:
        """Copies a file of a row into a folder, byte for byte; returns its new name."""
        data, suffix = self.read(name, row)
        into.mkdir(parents=True, exist_ok=True)
        (into / (row[KEY] + suffix)).write_bytes(data)
        return str(row[KEY] + suffix)

    def region(self, row: Mapping[str, Any]) -> np.ndarray | None:
        """-> (H, W) bool: the region of a row with an anomaly; None if it is not known.

        Raises:
            InputError: the region covers no pixel, because its radius is almost 0, or the mask
                cannot be used.
        """
        try:
            mask = datasets.region(row, self.files)
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
