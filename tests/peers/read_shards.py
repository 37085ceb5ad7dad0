"""Reads a sharded dataset with Hugging Face datasets, pandas and pyarrow, and compares.

It runs in a virtual environment without Acuity, and needs the same dataset in both forms, with
twins and masks:

    make peers
    synth generate photos set --twins --masks
    synth generate photos sharded --twins --masks --shards 100
    .peers/readers/bin/python tests/peers/read_shards.py set sharded

The exit code is 1 if what a reader returns differs from the dataset folder.
"""

from __future__ import annotations

import importlib.metadata
import io
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

PICTURES = {"file_name": "image", "clean_file_name": "clean", "mask_file_name": "mask"}


def table_of(dataset: Path) -> pd.DataFrame:
    return pd.read_csv(dataset / "metadata.csv", keep_default_na=False, na_values=[""])


def pixels(source: Path | io.BytesIO) -> np.ndarray:
    with Image.open(source) as image:
        return np.asarray(image)


def is_same(one: object, other: object) -> bool:
    """Whether two cells are equal; an empty text is a missing value in a CSV."""
    if pd.isna(one) or one == "":
        return bool(other is None or pd.isna(other) or other == "")
    return bool(one == other)


def check_datasets(dataset: Path, sharded: Path) -> str:
    import datasets

    table = table_of(dataset)
    files = sorted(map(str, (sharded / "shards").glob("*.parquet")))
    with tempfile.TemporaryDirectory() as cache:
        loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=cache)
        streamed = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
        assert len(loaded) == len(table)
        for name in PICTURES.values():
            assert isinstance(loaded.features[name], datasets.Image), loaded.features
        assert list(loaded.features)[3:] == list(table.columns)
        for source in (loaded, streamed):
            for found, (_, row) in zip(source, table.iterrows(), strict=True):
                for column, name in PICTURES.items():
                    expected = pixels(dataset / row[column])
                    assert np.array_equal(np.asarray(found[name]), expected), (row[column], name)
                for name in table.columns:
                    assert is_same(row[name], found[name]), (name, row[name], found[name])
    return f"{len(table)} rows with 3 pictures and {len(table.columns)} columns, also streamed"


def check_pandas(dataset: Path, sharded: Path) -> str:
    table = table_of(dataset)
    paths = sorted((sharded / "shards").glob("*.parquet"))
    found = pd.concat(map(pd.read_parquet, paths), ignore_index=True)
    assert len(found) == len(table)
    for row, expected in zip(found.to_dict("records"), table.to_dict("records"), strict=True):
        for column, name in PICTURES.items():
            assert row[name]["path"] == row[column] == expected[column]
            assert row[name]["bytes"] == (dataset / row[column]).read_bytes()
        assert all(is_same(expected[name], row[name]) for name in table.columns)
    return f"{len(found)} rows, the bytes of all files"


def check_pyarrow(dataset: Path, sharded: Path) -> str:
    from pyarrow import dataset as readers

    table = table_of(dataset)
    source = readers.dataset(sharded / "shards", format="parquet")
    wanted = readers.field("split") == "train"
    found = source.to_table(columns=["file_name", "x", "y", "r"], filter=wanted).to_pandas()
    expected = table[table["split"] == "train"].reset_index(drop=True)
    assert found["file_name"].tolist() == expected["file_name"].tolist()
    assert np.array_equal(found[["x", "y", "r"]], expected[["x", "y", "r"]], equal_nan=True)
    return f"{len(found)} rows of the train split, 4 columns"


def main(dataset: Path, sharded: Path) -> int:
    checks: dict[str, Callable[[Path, Path], str]] = {
        "datasets": check_datasets, "pandas": check_pandas, "pyarrow": check_pyarrow,
    }  # fmt: skip
    wrong = 0
    for name, check in checks.items():
        version = importlib.metadata.version(name)
        try:
            print(f"{name} {version}: {check(dataset, sharded)}")
        except AssertionError as error:
            wrong += 1
            print(f"{name} {version}: differs: {error}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:3])))
