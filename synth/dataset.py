"""The dataset folder and its table: reading, writing and checking."""

from __future__ import annotations

import csv
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from synth import card, folders, tables
from synth.card import Summary
from synth.csv_cells import escape, unescape
from synth.errors import InputError
from synth.paths import path_of
from synth.rows import IMAGE_FOLDERS as IMAGE_FOLDERS
from synth.rows import faults
from synth.rows import is_outside_folder as is_outside_folder
from synth.rows import is_unplaced as is_unplaced
from synth.rows import region as region
from synth.rows import truth as truth
from synth.rows import unplaced as unplaced

if TYPE_CHECKING:
    import pandas as pd

Form = Literal["csv", "parquet"]
TABLE = "metadata.csv"
TABLES: dict[Form, str] = {"csv": TABLE, "parquet": "metadata.parquet"}
RECIPE = "recipe.json"  # in every dataset that Acuity writes
MARKER = folders.Marker(
    RECIPE,
    lambda about: (
        about.get("made_by") in ("synth generate", "synth import")
        and isinstance(about.get("versions"), dict)
    ),
)

# Column -> kind. "text" may be empty; "number" may be empty only in a clean or unplaced row.
COLUMNS = {
    "file_name": "text",
    "x": "number",
    "y": "number",
    "r": "number",
    "discolor_ratio": "number",
    "shape": "text",
    "overflow": "text",
    "rounding": "text",
    "feather": "number",
    "label": "whole",
    "split": "text",
    "photo": "text",
    "photo_sha256": "text",
    "source_url": "text",
    "licence": "text",
    "width": "whole",
    "height": "whole",
    "crop_x": "whole or empty",
    "crop_y": "whole or empty",
    "codec": "text",
    "quality": "whole or empty",
    "row_seed": "whole or empty",
    "clipped_fraction": "number or empty",
    "realised_ratio": "number or empty",
    "clean_file_name": "text",
    "mask_file_name": "text",
}
# Columns whose text may come from web pages. In the CSV an apostrophe stands before text that a
# spreadsheet would take for a formula; reading removes it.
FROM_WEB = ("source_url", "licence")
REQUIRED = ("file_name", "x", "y", "r", "discolor_ratio", "width", "height")
_DEFAULTS: dict[str, Any] = {
    "shape": "circle",
    "overflow": "clip",
    "rounding": "nearest",
    "feather": 0.0,
    "label": 1,
    "split": "test",
}


@dataclass(frozen=True)
class Problem:
    """A fault of one row: row number from 0, file name and description."""

    row: int
    file_name: str
    what: str

    def __str__(self) -> str:
        return f"row {self.row} ({self.file_name}): {self.what}"


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows -> a table with all columns in order and typed; missing values are empty."""
    import pandas as pd

    table = pd.DataFrame(rows).reindex(columns=list(COLUMNS))
    for column, kind in COLUMNS.items():
        if kind == "text":
            table[column] = table[column].astype(object).fillna("")
        elif kind.startswith("whole"):
            table[column] = table[column].astype("Int64")
        else:
            table[column] = table[column].astype("float64")
    return table


def read(folder: str | Path) -> pd.DataFrame:
    """Reads and checks the table of a dataset folder: one row per image.

    Missing optional columns get their defaults: shape circle, overflow clip, rounding nearest,
    feather 0, label 1, split test. ``attrs["folder"]`` is the folder.

    Raises:
        InputError: the folder is not a dataset, a column is missing, or a row is invalid.
    """
    folder = path_of(folder)
    table = parse(folder)
    for problem in problems(table, folder):
        raise InputError(f"{table_of(folder)}, {problem}")
    return table


def table_of(folder: Path) -> Path:
    """Path of the table of a dataset: the CSV, else the parquet file.

    Raises:
        InputError: the folder does not exist or has neither file.
    """
    for name in TABLES.values():
        if (folder / name).is_file():
            return folder / name
    where = "no folder" if not folder.is_dir() else f"no {TABLE} in the folder"
    raise InputError(f"{where} {folder}: name a dataset that synth wrote")


def parse(folder: Path) -> pd.DataFrame:
    """Reads the table of a dataset folder without checking its rows; see :func:`read`.

    Raises:
        InputError: the folder is not a dataset, a column is missing, or a cell has a wrong type.
    """
    import pandas as pd

    path = table_of(folder)
    raw = _raw(path)
    if missing := [name for name in REQUIRED if name not in raw.columns]:
        raise InputError(
            f"{path} lacks the column {', '.join(missing)}: see the list of columns in the README"
        )
    if raw.empty:
        raise InputError(f"{path} has no rows")
    table = raw.copy()
    for column, kind in COLUMNS.items():
        if column not in raw:
            table[column] = _DEFAULTS.get(column, "" if kind == "text" else pd.NA)
        if kind == "text":
            continue
        values = pd.to_numeric(table[column].replace("", pd.NA), errors="coerce")
        strange = values.isna() & table[column].notna() & (table[column].astype(str) != "")
        if strange.any():
            row = int(np.flatnonzero(strange)[0])
            value = table[column].iloc[row]
            name = raw["file_name"].iloc[row]
            raise InputError(f"{path}, row {row} ({name}): {column} is '{value}', not a number")
        empty = values.isna() if kind == "whole" else values.isna() & False
        if empty.any():
            raise InputError(f"{path}, row {int(np.flatnonzero(empty)[0])}: {column} is empty")
        if kind.startswith("whole"):
            broken = values.notna() & ((values % 1 != 0) | (values.abs() > 2**53))
            if broken.any():
                row = int(np.flatnonzero(broken)[0])
                value = table[column].iloc[row]
                raise InputError(f"{path}, row {row}: {column} is '{value}', not a whole number")
            table[column] = values.astype("Int64")
        else:
            table[column] = values.astype("float64")
    table = table[[*COLUMNS, *(c for c in raw.columns if c not in COLUMNS)]]
    table.attrs["folder"] = str(folder)
    return table


def _raw(path: Path) -> pd.DataFrame:
    """A table file -> its cells; those of a CSV as text."""
    import pandas as pd

    if path.suffix == ".csv":
        cells = tables.frame(path, REQUIRED, COLUMNS)
        for name in cells.columns.intersection(list(FROM_WEB)):
            cells[name] = cells[name].map(unescape)
        return cells
    try:
        table = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many types
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{path} cannot be read as parquet: {reason}") from None
    texts = [name for name in table if COLUMNS.get(str(name)) == "text"]
    return table.fillna(dict.fromkeys(texts, ""))


def problems(table: pd.DataFrame, folder: Path) -> Iterator[Problem]:
    """The faults of the rows of a typed table; files are checked for existence only."""
    twice = table["file_name"].duplicated().tolist()
    split_of: dict[str, str] = {}
    for i, row in enumerate(table.to_dict("records")):
        found = list(faults(row, folder))
        if twice[i]:
            found.append("an earlier row has the same file name")
        photo, split = row["photo"], row["split"]
        if photo and split_of.setdefault(photo, split) != split:
            found.append(f"photo {photo} is in splits {split_of[photo]} and {split}")
        for what in found:
            yield Problem(i, row["file_name"], what)


def versions() -> dict[str, str]:
    """Versions of the libraries that determine the pixels."""
    from PIL import features

    return {
        "acuity": importlib.metadata.version("acuity"),
        "python": platform.python_version(),
        "numpy": importlib.metadata.version("numpy"),
        "pillow": importlib.metadata.version("pillow"),
        "libjpeg": str(features.version("libjpeg_turbo") or features.version("jpg")),
        "zlib": str(features.version("zlib")),
    }


def write(folder: Path, table: pd.DataFrame, about: dict[str, Any]) -> None:
    """Writes table, recipe.json and dataset card into a folder with images."""
    write_recipe_and_card(folder, write_table(folder, [table]), about)


def write_table(folder: Path, parts: Iterable[pd.DataFrame], form: Form = "csv") -> Summary:
    """Writes a table part by part and returns its summary."""
    summary = Summary()

    def count_parts() -> Iterator[pd.DataFrame]:
        for part in parts:
            summary.add(part)
            yield part

    with folders.replace_atomically(folder / TABLES[form]) as temporary:
        (_write_csv if form == "csv" else _write_parquet)(temporary, count_parts())
    return summary


def write_recipe_and_card(
    folder: Path, summary: Summary, about: dict[str, Any], form: Form = "csv"
) -> None:
    """Writes recipe.json and the dataset card."""
    folders.write(folder / RECIPE, json.dumps(about, indent=2) + "\n")
    folders.write(folder / "README.md", card.card_text(summary, about, TABLES[form]))


def _write_csv(path: Path, parts: Iterable[pd.DataFrame]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        for i, part in enumerate(parts):
            file.write(to_csv(part, header=i == 0))


def _write_parquet(path: Path, parts: Iterable[pd.DataFrame]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {"text": pa.string(), "number": pa.float64(), "whole": pa.int64()}
    schema = pa.schema([(name, kinds[kind.split()[0]]) for name, kind in COLUMNS.items()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in parts:
            writer.write_table(pa.Table.from_pandas(part, schema, preserve_index=False))


def to_csv(table: pd.DataFrame, header: bool = True) -> str:
    """A table -> CSV text with \\n line ends, from which pandas reads the same table."""
    for name in table.columns.intersection(list(FROM_WEB)):
        cells = [escape(each) if isinstance(each, str) else each for each in table[name]]
        table = table.assign(**{name: cells})
    # Python's writer does not quote a carriage return, at which readers end a line.
    odd = any(table[name].astype(str).str.contains("\r").any() for name in table)
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL
    return table.to_csv(index=False, header=header, lineterminator="\n", quoting=quoting)
