"""What all formats share: a checked dataset, its rows in plain values, its files copied."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synth import anomaly as anomalies
from synth import dataset as datasets
from synth import folders, photos
from synth.errors import InputError

Row = dict[str, Any]
Progress = Callable[[int, int], None]

KEY = "(key)"  # in a row: its number, which names its files; no column of a table


@dataclass(frozen=True)
class Source:
    """A checked dataset: its folder, and its rows, each with its number too."""

    folder: Path
    rows: Sequence[Row]

    def suffix(self, name: str, row: Mapping[str, Any]) -> str:
        """The suffix for a file of a row, by its content; checks that it is a picture of its size.

        Raises:
            InputError: it is none.
        """
        path, size = self.folder / name, (int(row["width"]), int(row["height"]))
        try:
            with photos.open_image(path) as image:
                found, kind = image.size, str(image.format)
        except MemoryError:
            raise
        except Exception as error:  # broken files raise nearly anything
            raise InputError(f"{path} is no picture: {error}") from None
        if found != size:
            raise InputError(
                f"{path} is {found[0]}x{found[1]}, the table says {size[0]}x{size[1]}: "
                "synth verify looks at all rows"
            )
        return photos.SUFFIX_OF[kind]

    def copy(self, name: str, row: Mapping[str, Any], into: Path) -> str:
        """Copy a file of a row into a folder, byte for byte; return its new name there."""
        target = row[KEY] + self.suffix(name, row)
        into.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.folder / name, into / target)
        return target

    def region(self, row: Mapping[str, Any]) -> np.ndarray:
        """-> (H, W) bool: the pixels of a corrupted row's region.

        Raises:
            InputError: there are none (a radius of almost 0), so nothing could be marked.
        """
        truth = datasets.truth(row)
        assert truth is not None
        mask = anomalies.mask(truth, int(row["height"]), int(row["width"]))
        if not mask.any():
            raise InputError(
                f"row {int(row[KEY])} ({row['file_name']}): its region covers no pixel, "
                "so it cannot be marked"
            )
        return mask


def records(table: Any) -> list[Row]:
    """A table -> its rows in plain Python values; what is empty or not finite is None."""
    import pandas as pd

    def plain(value: Any) -> Any:
        empty = value is pd.NA or (isinstance(value, float) and not math.isfinite(value))
        return None if empty else value

    return [{name: plain(value) for name, value in row.items()} for row in table.to_dict("records")]


def columns(row: Row) -> Row:
    """A row without its number: the columns of the table."""
    return {name: value for name, value in row.items() if name != KEY}


def licences(rows: Sequence[Row]) -> list[str]:
    """The licences that a table names, sorted, each once."""
    return sorted({row["licence"] for row in rows} - {""})


def write_json(path: Path, content: Any, indent: int | None = None) -> None:
    """Write a value as a JSON file, in the order that it has."""
    folders.write(path, json.dumps(content, ensure_ascii=False, indent=indent) + "\n")
