"""Hugging Face imagefolder: a folder with metadata.csv for each split."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from synth import dataset as datasets
from synth import folders
from synth.errors import InputError
from synth.exporting.source import Progress, Row, Source, columns
from synth.recipe import SPLITS


def write(source: Source, out: Path, progress: Progress) -> int:
    """``train/``, ``val/``, ``test/``, each with its pictures and metadata.csv.

    ``datasets`` loads the twins as feature ``clean`` and the masks as ``mask``.
    """
    rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for done, row in enumerate(source.rows, 1):
        where = out / row["split"]
        line = columns(row) | {
            "file_name": source.copy(row["file_name"], row, where),
            # Not ..._file_name: datasets would load that as a picture.
            "dataset_file": row["file_name"],
        }
        for column, part in (("clean_file_name", "clean"), ("mask_file_name", "masks")):
            if row[column]:
                line[column] = f"{part}/{source.copy(row[column], row, where / part)}"
        rows[row["split"]].append(line)
        progress(done, len(source.rows))
    for split, text in _csv_texts({split: lines for split, lines in rows.items() if lines}).items():
        folders.write(out / split / datasets.TABLE, text)
    return len(source.rows)


def _csv_texts(rows: Mapping[str, list[Row]]) -> dict[str, str]:
    """The rows of each split -> its CSV text, in which every column reads as the same type.

    ``datasets`` guesses the types split by split and refuses the folder where they differ,
    as they do where a column is empty in one split only, or lacks a number in one. Whole
    numbers are written as floats where one is missing, as pandas does by itself. A text that it
    would read as an empty cell (NA, None, null) or as a number is written in quotation marks.

    Raises:
        InputError: a column means something to imagefolder, or cannot read alike.
    """
    table = pd.DataFrame(list(itertools.chain.from_iterable(rows.values())))
    for name in table.columns.difference(list(datasets.COLUMNS)):
        if name in ("image", "clean", "mask") or name.endswith(("file_name", "file_names")):
            raise InputError(f"column {name} means a picture to imagefolder: rename it")
    blank = table.isna() | (table == "")
    table = table.drop(columns=[name for name in table if blank[name].all()])
    for name in map(str, table.columns):
        if datasets.COLUMNS.get(name) == "text" and not name.endswith("file_name"):
            table[name] = table[name].where(~blank[name], "unknown")
            number = pd.to_numeric(table[name], errors="coerce").notna()
            only = bool(number.groupby(table["split"]).transform("all").any())
            table[name] = _quote(table[name], _misread(table[name]) | (number & only))
        elif name not in datasets.COLUMNS:
            strange = _misread(table[name]) & ~blank[name]
            if pd.to_numeric(table[name][~strange], errors="coerce").isna().any():  # it is text
                table[name] = _quote(table[name], strange)
    texts = {
        str(split): datasets.to_csv(part) for split, part in table.groupby("split", sort=False)
    }
    kinds = {split: pd.read_csv(io.StringIO(text)).dtypes for split, text in texts.items()}
    first = next(iter(kinds))
    for split, name in itertools.product(kinds, map(str, table.columns)):
        one, other = kinds[first][name], kinds[split][name]
        if one != other:
            raise InputError(
                f"column {name} reads as {one} in split {first} and as {other} in {split}, "
                "which imagefolder forbids: fill it, or drop it from the table"
            )
    return texts


def _misread(cells: pd.Series) -> pd.Series:
    """Cells of text -> which of them pandas takes for empty when it reads them from a CSV."""
    words = cells.astype(str).drop_duplicates()
    text = words.to_csv(index=False, header=False, quoting=csv.QUOTE_ALL)
    again = pd.read_csv(io.StringIO(text), header=None, skip_blank_lines=False, dtype=str)[0]
    return cells.astype(str).isin(words[again.isna().to_numpy()])


def _quote(cells: pd.Series, which: pd.Series) -> pd.Series:
    """Cells of text, some of them in quotation marks."""
    return cells.where(~which, '"' + cells.astype(str) + '"')
