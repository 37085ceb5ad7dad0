"""Hugging Face imagefolder format: a folder with metadata.csv per split."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from synth import dataset as datasets
from synth import folders, renderer
from synth.errors import InputError
from synth.exporting.source import KEY, Progress, Row, Source, columns
from synth.recipe import SPLITS


def write(source: Source, out: Path, progress: Progress) -> int:
    """Writes ``train/``, ``val/``, ``test/``, each with images and metadata.csv.

    ``datasets`` loads the twins as feature ``clean`` and the masks as ``mask``. If some unplaced
    rows have masks, clean images get a black one, since a split without masks would be refused.
    Returns the number of images.
    """
    masked = any(row["mask_file_name"] and datasets.is_unplaced(row) for row in source.rows)
    rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for done, row in enumerate(source.rows, 1):
        where = out / row["split"]
        line = columns(row) | {
            "file_name": source.copy(row["file_name"], row, where),
            # Not named ..._file_name, which datasets would load as an image.
            "dataset_file": row["file_name"],
        }
        for column, part in (("clean_file_name", "clean"), ("mask_file_name", "masks")):
            if row[column]:
                line[column] = f"{part}/{source.copy(row[column], row, where / part)}"
        if masked and row["label"] == 0 and not row["mask_file_name"]:
            line["mask_file_name"] = _black_mask(row, where)
        rows[row["split"]].append(line)
        progress(done, len(source.rows))
    for split, text in _csv_texts({split: lines for split, lines in rows.items() if lines}).items():
        folders.write(out / split / datasets.TABLE, text)
    return len(source.rows)


def _black_mask(row: Row, folder: Path) -> str:
    """Writes the mask of a clean image; returns its path in the folder of the split."""
    name = f"masks/{row[KEY]}.png"
    (folder / "masks").mkdir(exist_ok=True)
    size = (int(row["width"]), int(row["height"]))
    (folder / name).write_bytes(renderer.encode(renderer.mask_image(None, size), "png", 0))
    return name


def _csv_texts(rows: Mapping[str, list[Row]]) -> dict[str, str]:
    """Rows of each split -> CSV text of each split, in which a column has one type in all splits.

    ``datasets`` infers types per split and rejects the folder if they differ, for example if a
    column is empty or lacks a number in one split only. Integers are written as floats if one is
    missing, as pandas does. A text that would be read as an empty cell (NA, None, null) or as a
    number is written in quotation marks.

    Raises:
        InputError: a column has a special meaning in imagefolder, or its types differ.
    """
    table = pd.DataFrame(list(itertools.chain.from_iterable(rows.values())))
    for name in table.columns.difference(list(datasets.COLUMNS)):
        if name in ("image", "clean", "mask") or name.endswith(("file_name", "file_names")):
            raise InputError(f"imagefolder takes column {name} for an image: rename it")
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
                f"column {name} has type {one} in split {first} and {other} in {split}, which "
                "imagefolder rejects: fill it, or remove it from the table"
            )
    return texts


def _misread(cells: pd.Series) -> pd.Series:
    """Cells of text -> bool for each: whether pandas reads it from a CSV as empty."""
    words = cells.astype(str).drop_duplicates()
    text = words.to_csv(index=False, header=False, quoting=csv.QUOTE_ALL)
    again = pd.read_csv(io.StringIO(text), header=None, skip_blank_lines=False, dtype=str)[0]
    return cells.astype(str).isin(words[again.isna().to_numpy()])


def _quote(cells: pd.Series, which: pd.Series) -> pd.Series:
    """Puts the selected cells of text in quotation marks."""
    return cells.where(~which, '"' + cells.astype(str) + '"')
