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
from synth.dataset_files import RECIPE as RECIPE
from synth.dataset_files import TABLE as TABLE
from synth.dataset_files import TABLES as TABLES
from synth.dataset_files import Form as Form
from synth.dataset_files import fingerprint as fingerprint
from synth.dataset_files import open_files as open_files
from synth.dataset_files import recipe_of as recipe_of
from synth.dataset_files import table_of as table_of
from synth.dataset_files import table_place as table_place
from synth.errors import InputError
from synth.files import Files, files_of
from synth.rows import IMAGE_FOLDERS as IMAGE_FOLDERS
from synth.rows import faults
from synth.rows import is_outside_folder as is_outside_folder
from synth.rows import is_unplaced as is_unplaced
from synth.rows import region as region
from synth.rows import truth as truth
from synth.rows import unplaced as unplaced
from synth.shards import ShardFiles
from synth.storage import Place

if TYPE_CHECKING:
    import pandas as pd

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


def read(dataset: str | Place | Files) -> pd.DataFrame:
    """Reads and checks the table of a dataset: one row per image.

    Missing optional columns get their defaults: shape circle, overflow clip, rounding nearest,
    feather 0, label 1, split test. ``attrs["folder"]`` is the path or URL.

    Args:
        dataset: path of a folder, or path or URL of a sharded dataset.

    Raises:
        InputError: there is no dataset, a column is missing, or a row is invalid.
    """
    files = open_files(dataset)
    table = parse(files)
    for problem in problems(table, files):
        raise InputError(f"{table_place(files)}, {problem}")
    return table


def parse(dataset: str | Place | Files) -> pd.DataFrame:
    """Reads the table of a dataset without checking its rows; see :func:`read`.

    Raises:
        InputError: there is no dataset, a column is missing, or a cell has a wrong type.
    """
    import pandas as pd

    files = open_files(dataset)
    path = table_place(files)
    raw = _fill_texts(files.read_table() if isinstance(files, ShardFiles) else _raw(Path(path)))
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
    table.attrs["folder"] = str(files.place)
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
    return table


def _fill_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Texts that are missing in a Parquet file become empty."""
    texts = [name for name in table if COLUMNS.get(str(name)) == "text"]
    return table.fillna(dict.fromkeys(texts, ""))


def problems(table: pd.DataFrame, source: Place | Files) -> Iterator[Problem]:
    """The faults of the rows of a typed table; files are checked for existence only."""
    files = files_of(source)
    twice = table["file_name"].duplicated().tolist()
    split_of: dict[str, str] = {}
    for i, row in enumerate(table.to_dict("records")):
        found = list(faults(row, files))
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


def arrow_types() -> dict[str, Any]:
    """Column of a table -> its Arrow type in Parquet files."""
    import pyarrow as pa

    types = {"text": pa.string(), "number": pa.float64(), "whole": pa.int64()}
    return {name: types[kind.split()[0]] for name, kind in COLUMNS.items()}


def _write_parquet(path: Path, parts: Iterable[pd.DataFrame]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(list(arrow_types().items()))
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
