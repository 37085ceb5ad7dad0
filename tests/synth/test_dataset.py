"""The table: written values are read back; an invalid row is rejected with its number."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synth import Anomaly, InputError, Recipe, dataset, generate, read

ROWS = [
    {"file_name": "images/a.png", "x": "10", "y": "12.5", "r": "4", "discolor_ratio": "1.1",
     "shape": "square", "overflow": "wrap", "rounding": "floor", "feather": "0", "label": "1",
     "split": "train", "photo": "a.jpg", "width": "40", "height": "30"},
    {"file_name": "images/b.png", "x": "", "y": "", "r": "", "discolor_ratio": "1",
     "shape": "circle", "overflow": "clip", "rounding": "nearest", "feather": "0", "label": "0",
     "split": "val", "photo": "b.jpg", "width": "40", "height": "30"},
    {"file_name": "images/c.png", "x": "20.25", "y": "15", "r": "6.5", "discolor_ratio": "0.9",
     "shape": "circle", "overflow": "clip", "rounding": "stochastic", "feather": "2", "label": "1",
     "split": "test", "photo": "c.jpg", "width": "40", "height": "30"},
]  # fmt: skip
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A function: rows -> a dataset folder made by hand, its pictures flat grey."""

    def write(
        rows: Iterable[dict[str, Any]] = ROWS, columns: Iterable[str] = tuple(ROWS[0])
    ) -> Path:
        (tmp_path / "images").mkdir(exist_ok=True)
        for row in ROWS:
            pixels = np.full((30, 40, 3), 90, np.uint8)
            Image.fromarray(pixels).save(tmp_path / row["file_name"])
        with (tmp_path / "metadata.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(columns), extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path

    return write


def edited(row: int, **values: str) -> list[dict[str, Any]]:
    return [fields | values if i == row else fields for i, fields in enumerate(ROWS)]


def test_read_gives_typed_columns_in_order(make: Make) -> None:
    folder = make()
    table = read(folder)
    assert list(table.columns) == list(dataset.COLUMNS)
    assert table.attrs["folder"] == str(folder)
    assert table["x"].tolist()[::2] == [10.0, 20.25]
    assert pd.isna(table["x"][1])
    assert table["label"].tolist() == [1, 0, 1]
    rows = table.to_dict("records")
    assert dataset.truth(rows[0]) == Anomaly(10, 12.5, 4, 1.1, "square", "wrap", "floor")
    assert dataset.truth(rows[1]) is None
    assert dataset.truth(rows[2]) == Anomaly(
        20.25, 15, 6.5, 0.9, rounding="stochastic", feather=2.0
    )
    assert read(str(folder)).equals(table)


def test_columns_that_other_tools_leave_out_get_defaults(make: Make) -> None:
    rows = [ROWS[0], ROWS[2]]
    table = read(make(rows, dataset.REQUIRED))
    for row in table.to_dict("records"):
        truth = dataset.truth(row)
        assert truth is not None
        assert (truth.shape, truth.overflow, truth.rounding, truth.feather) == (
            "circle", "clip", "nearest", 0.0
        )  # fmt: skip
        assert (row["label"], row["split"], row["photo"]) == (1, "test", "")
        assert pd.isna(row["row_seed"])


def test_columns_of_others_are_kept(make: Make) -> None:
    rows = [row | {"weather": "NA", "n": "007"} for row in ROWS]
    table = read(make(rows, [*ROWS[0], "weather", "n"]))
    assert list(table.columns) == [*dataset.COLUMNS, "weather", "n"]
    assert table["weather"].tolist() == ["NA"] * 3
    assert table["n"].tolist() == ["007"] * 3


@pytest.mark.parametrize("column", dataset.REQUIRED)
def test_each_missing_required_column_is_named(make: Make, column: str) -> None:
    with pytest.raises(InputError, match=f"lacks the column {column}"):
        read(make(ROWS, [name for name in ROWS[0] if name != column]))


@pytest.mark.parametrize(
    ("row", "values", "word"),
    [
        (0, {"x": "nan"}, "x"),
        (0, {"x": ""}, "x"),
        (2, {"y": "12,5"}, "y"),
        (2, {"r": "big"}, "r is 'big'"),
        (2, {"r": "-1"}, "r = -1"),
        (2, {"r": "inf"}, "r is inf"),
        (2, {"discolor_ratio": "0"}, "discolor_ratio"),
        (2, {"discolor_ratio": "-1.1"}, "discolor_ratio"),
        (2, {"discolor_ratio": ""}, "discolor_ratio"),
        (0, {"x": "3.5"}, "is not inside the 40x30 image"),
        (0, {"x": "35.5"}, "is not inside the 40x30 image"),
        (0, {"y": "25.01"}, "is not inside the 40x30 image"),
        (2, {"feather": "16"}, "is not inside the 40x30 image"),
        (2, {"feather": "-2"}, "feather"),
        (2, {"feather": ""}, "feather"),
        (0, {"width": "13"}, "is not inside the 13x30 image"),
        (1, {"file_name": "images/gone.png"}, "missing"),
        (1, {"file_name": ""}, "missing"),
        (1, {"file_name": "images"}, "missing"),
        (1, {"file_name": "../x.jpg"}, "points outside the folder"),
        (1, {"file_name": "images/../../x.jpg"}, "points outside the folder"),
        (1, {"file_name": "/etc/passwd"}, "points outside the folder"),
        (2, {"file_name": "images/a.png"}, "earlier row"),
        (2, {"shape": "disc"}, "shape is 'disc'"),
        (2, {"shape": ""}, "shape is ''"),
        (2, {"overflow": "neon"}, "overflow is 'neon'"),
        (2, {"rounding": "up"}, "rounding is 'up'"),
        (2, {"split": "dev"}, "split is 'dev'"),
        (2, {"label": "2"}, "label"),
        (2, {"label": ""}, "label"),
        (2, {"label": "yes"}, "label is 'yes'"),
        (2, {"label": "0.5"}, "label"),
        (2, {"width": ""}, "width"),
        (2, {"width": "0"}, "width"),
        (2, {"width": "40.5"}, "width"),
        (2, {"height": "-30"}, "height"),
        (2, {"height": "1e30"}, "height"),
        (2, {"photo": "a.jpg"}, "photo a.jpg is in splits train and test"),
    ],
)
def test_a_row_that_cannot_be_right_is_named(
    make: Make, row: int, values: dict[str, str], word: str
) -> None:
    with pytest.raises(InputError, match=word) as caught:
        read(make(edited(row, **values)))
    assert f"row {row}" in str(caught.value)
    assert "metadata.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["clean_file_name", "mask_file_name"])
def test_twins_and_masks_must_be_there_where_named(make: Make, column: str) -> None:
    columns = [*ROWS[0], column]
    read(make(edited(1, **{column: "images/a.png"}), columns))
    for name, word in (("clean/a.png", "missing"), ("../a.png", "points outside")):
        with pytest.raises(InputError, match=f"row 1 .*{column}.*{word}"):
            read(make(edited(1, **{column: name}), columns))


def test_whole_numbers_may_be_written_as_floats(make: Make) -> None:
    table = read(make(edited(0, width="40.0", height="3e1", label="1.0")))
    assert (table["width"][0], table["height"][0], table["label"][0]) == (40, 30, 1)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"", "cannot be read"),
        (b"\n\n", "cannot be read"),
        (b"\xff\xfe\x00garbage", "cannot be read|lacks"),
        (b"file_name,x,y,r,discolor_ratio,width,height\n", "no rows"),
        (b'file_name,x,y,r,discolor_ratio,width,height\n"open', "row 0|cannot be read"),
        (b"file_name,x,y,r,discolor_ratio,width,height\nimages/a.png\n", "row 0"),
        (b"x,y,r,discolor_ratio,width,height,file_name\n10,12,4,1.1,40,30\n", "row 0"),
        (
            b"file_name,x,y,r,discolor_ratio,width,height\na,1,1,1,1,9,9\nb,1,1,1,1,9,9,9,9\n",
            "row 1, line 3: 9 cells, the header has 7",
        ),
    ],
    ids=["empty", "blank", "binary", "no rows", "quote", "short row", "no name", "long row"],
)
def test_broken_tables_are_refused(make: Make, data: bytes, word: str) -> None:
    folder = make()
    (folder / "metadata.csv").write_bytes(data)
    with pytest.raises(InputError, match=word) as caught:
        read(folder)
    assert str(folder) in str(caught.value)


def test_a_missing_dataset_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no metadata\.csv in the folder"):
        read(tmp_path)
    with pytest.raises(InputError, match="no folder"):
        read(tmp_path / "gone")
    (tmp_path / "metadata.csv").mkdir()
    with pytest.raises(InputError, match=r"metadata\.csv"):
        read(tmp_path)


def test_generate_returns_the_table_that_read_reads(photo_folder: Path, tmp_path: Path) -> None:
    recipe = Recipe(
        size=(48, 40), radius=(4 + 1 / 3, "edge"), feather=0.1 + 0.2, clean_fraction=0.4,
        ratio=(1 + 1 / 7, 1 + 1 / 7), per_photo=3, rounding="stochastic",
    )  # fmt: skip
    made = generate(photo_folder, tmp_path / "set", recipe)
    table = read(tmp_path / "set")
    assert list(made.columns) == list(table.columns)
    assert 0 < (made["label"] == 0).sum() < len(made)
    for column in made:
        pd.testing.assert_series_equal(made[column], table[column], check_dtype=False)
        assert pd.api.types.is_numeric_dtype(made[column]) == pd.api.types.is_numeric_dtype(
            table[column]
        )
    for mine, theirs in zip(made.to_dict("records"), table.to_dict("records"), strict=True):
        assert dataset.truth(mine) == dataset.truth(theirs)
    clean = table[table["label"] == 0]
    assert clean[["x", "y", "r"]].isna().all().all()
    assert (clean["discolor_ratio"] == 1).all()


def test_the_folder_holds_recipe_versions_and_card(photo_folder: Path, tmp_path: Path) -> None:
    recipe = Recipe(size=(48, 40), radius=(4, 9), seed=5)
    generate(photo_folder, tmp_path / "set", recipe, count=4)
    about = json.loads((tmp_path / "set" / "recipe.json").read_text())
    assert about["recipe"] == recipe.to_dict()
    assert about["count"] == 4
    assert {"acuity", "numpy", "pillow", "libjpeg", "zlib"} <= set(about["versions"])
    assert len(about["photos_sha256"]) == 64
    card = (tmp_path / "set" / "README.md").read_text()
    assert card.startswith("---\n")
    assert "4 images" in card
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "README.md", "images", "metadata.csv", "recipe.json", "skipped.csv",
    ]  # fmt: skip
