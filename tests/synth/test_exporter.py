"""Each export format has the same image bytes and the same truth, and is written atomically."""

from __future__ import annotations

import csv
import io
import itertools
import json
import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from synth import InputError, console, export_commands, mask, read
from synth.dataset import truth
from synth.exporting import FORMATS, coco, export
from synth.exporting.exporter import ABOUT

Contents = Callable[[Path], dict[str, bytes]]
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def exports(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One dataset with clean rows, twins and masks, in every format; read only."""
    folder = tmp_path_factory.mktemp("exports")
    for name in FORMATS:
        export(small_set, folder / name, name, shard_size=4)
    return {name: folder / name for name in FORMATS}


@pytest.fixture
def make(tmp_path: Path, picture: Callable[..., np.ndarray]) -> Make:
    """A function: rows -> a dataset made by hand, as by another tool.

    A row takes what it is given, and else: train, an anomaly, 40x30 px.
    """

    def build(rows: Sequence[Mapping[str, Any]], name: str = "by hand") -> Path:
        folder = tmp_path / name
        filled = []
        for k, given_ in enumerate(rows):
            row = {"x": 15, "y": 12.5, "r": 6.5, "discolor_ratio": 1.5, "width": 40, "height": 30}
            row |= {"file_name": f"images/{k}.png", "split": "train", "label": 1, "shape": "circle"}
            row |= given_
            filled.append(row)
            for column in ("file_name", "clean_file_name", "mask_file_name"):
                if row.get(column):
                    path = folder / str(row[column])
                    path.parent.mkdir(parents=True, exist_ok=True)
                    pixels = picture(k, row["width"], row["height"])
                    Image.fromarray(pixels).save(path)
        columns = list(dict.fromkeys(itertools.chain.from_iterable(filled)))
        with (folder / "metadata.csv").open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, columns, restval="")
            writer.writeheader()
            writer.writerows(filled)
        return folder

    return build


def decoded(segmentation: dict[str, Any]) -> np.ndarray:
    """(H, W) bool: an uncompressed RLE read run by run, down the columns."""
    height, width = segmentation["size"]
    values = [bool(turn % 2) for turn, n in enumerate(segmentation["counts"]) for _ in range(n)]
    assert len(values) == height * width
    return np.array([[values[i * height + j] for i in range(width)] for j in range(height)])


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def rows_of(dataset: Path) -> list[dict[Any, Any]]:
    return read(dataset).to_dict("records")


def refused(dataset: Path, out: Path, name: str, **options: Any) -> str:
    """The error line of an export that must fail and leave no files."""
    before = sorted(out.parent.iterdir()) if out.parent.exists() else []
    with pytest.raises(InputError) as error:
        export(dataset, out, name, **options)
    assert "\n" not in str(error.value)
    assert (sorted(out.parent.iterdir()) if out.parent.exists() else []) == before
    return str(error.value)


def test_mvtec_has_clean_pictures_to_train_and_a_mask_for_each_defect(
    small_set: Path, exports: dict[str, Path]
) -> None:
    category = exports["mvtec"] / small_set.name
    for split in ("train", "test"):
        good = {p.read_bytes() for p in category.glob(f"{split}/good/*")}
        mine = [row for row in rows_of(small_set) if row["split"] == split]
        clean = {(small_set / r["file_name"]).read_bytes() for r in mine if r["label"] == 0}
        twins = {(small_set / r["clean_file_name"]).read_bytes() for r in mine}
        assert good == (clean or twins)
        assert good
    expected = {
        f"{i:06d}": row
        for i, row in enumerate(rows_of(small_set))
        if row["split"] == "test" and row["label"] == 1
    }
    pictures = sorted(category.glob("test/circle/*"))
    masks = sorted(category.glob("ground_truth/circle/*"))
    assert [p.stem for p in pictures] == list(expected)
    assert [p.name for p in masks] == [f"{p.stem}_mask.png" for p in pictures]
    for path, found in zip(pictures, masks, strict=True):
        row = expected[path.stem]
        anomaly = truth(row)
        assert anomaly is not None
        assert path.read_bytes() == (small_set / row["file_name"]).read_bytes()
        assert np.array_equal(pixels(found), mask(anomaly, 80, 96) * np.uint8(255))
    listed = lines(exports["mvtec"] / "metadata.csv")
    assert {line["picture"] for line in listed} == {
        p.relative_to(exports["mvtec"]).as_posix() for p in category.glob("t*/*/*")
    }
    for line in listed:
        source = line["clean_file_name"] if line["is_twin"] == "1" else line["file_name"]
        assert (exports["mvtec"] / line["picture"]).read_bytes() == (
            small_set / source
        ).read_bytes()


def test_mvtec_trains_on_twins_and_tries_on_val_where_there_is_nothing_else(
    make: Make, tmp_path: Path
) -> None:
    folder = make(
        [
            {"clean_file_name": "clean/0.png"},
            {"split": "val", "shape": "square", "clean_file_name": "clean/1.png"},
        ]
    )
    assert export(folder, tmp_path / "out", "mvtec") == 3
    category = tmp_path / "out" / "by hand"
    found = sorted(p.relative_to(category).as_posix() for p in category.rglob("*.png"))
    assert found == [
        "ground_truth/square/000001_mask.png",
        "test/good/000001.png",
        "test/square/000001.png",
        "train/good/000000.png",
    ]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{}, {"split": "test"}], "no clean image in split train"),
        ([{"label": 0, "x": "", "y": "", "r": "", "discolor_ratio": 1}], "no row in split test"),
    ],
)
def test_mvtec_names_what_it_lacks(
    make: Make, tmp_path: Path, rows: list[dict[str, Any]], words: str
) -> None:
    assert words in refused(make(rows), tmp_path / "out", "mvtec")


def test_coco_holds_every_region_pixel_by_pixel(small_set: Path, exports: dict[str, Path]) -> None:
    by_file = {row["file_name"]: row for row in rows_of(small_set)}
    seen = set()
    for path in (exports["coco"] / "annotations").iterdir():
        content = json.loads(path.read_text(encoding="utf-8"))
        split = path.stem.removeprefix("instances_")
        shapes = {kind["id"]: kind["name"] for kind in content["categories"]}
        found = {note["image_id"]: note for note in content["annotations"]}
        assert len(found) == len(content["annotations"])
        for image in content["images"]:
            row = by_file[image["dataset_file_name"]]
            seen.add(image["dataset_file_name"])
            copied = exports["coco"] / "images" / image["file_name"]
            assert copied.read_bytes() == (small_set / row["file_name"]).read_bytes()
            assert (row["split"], row["width"], row["height"]) == (split, 96, 80)
            anomaly = truth(row)
            assert (anomaly is None) == (image["id"] not in found)
            if anomaly is None:
                continue
            note = found[image["id"]]
            region = mask(anomaly, 80, 96)
            assert np.array_equal(decoded(note["segmentation"]), region)
            assert note["area"] == region.sum()
            left, top, width, height = note["bbox"]
            inside = region[top : top + height, left : left + width]
            assert inside.sum() == region.sum()
            for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert edge.any()
            assert shapes[note["category_id"]] == row["shape"]
            for name in ("x", "y", "r", "discolor_ratio"):
                assert note[name] == row[name]
    assert seen == set(by_file)


def test_a_coco_box_spans_whole_pixels(make: Make, tmp_path: Path) -> None:
    circle = {"x": 10, "y": 9, "r": 4}
    square = {"x": 10.5, "y": 9.5, "r": 3.5, "shape": "square"}
    export(make([circle, square]), tmp_path / "out", "coco")
    content = json.loads((tmp_path / "out/annotations/instances_train.json").read_text())
    boxes = [note["bbox"] for note in content["annotations"]]
    assert boxes == [[6, 5, 9, 9], [7, 6, 8, 8]]  # 4 + 1 + 4 pixels; 7 to 14


def test_coco_names_the_licences(make: Make, tmp_path: Path) -> None:
    rows = [{"licence": "CC0"}, {"licence": "https://a.example/by"}, {}, {"licence": "CC0"}]
    export(make(rows), tmp_path / "out", "coco")
    content = json.loads((tmp_path / "out/annotations/instances_train.json").read_text())
    names = {licence["id"]: licence["name"] for licence in content["licenses"]}
    assert [names.get(image.get("license")) for image in content["images"]] == [
        row.get("licence") for row in rows
    ]
    assert [licence["url"] for licence in content["licenses"]] == ["", "https://a.example/by"]


@given(arrays.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_run_lengths_and_box_of_any_mask(region: np.ndarray) -> None:
    counts = coco.run_lengths(region)
    assert np.array_equal(decoded({"size": region.shape, "counts": counts}), region)
    assert 0 not in counts[1:]
    if region.any():
        left, top, width, height = coco.box(region)
        rows, cols = np.nonzero(region)
        assert (left, top) == (cols.min(), rows.min())
        assert (left + width, top + height) == (cols.max() + 1, rows.max() + 1)


def test_imagefolder_has_a_table_beside_the_pictures_of_each_split(
    small_set: Path, exports: dict[str, Path]
) -> None:
    mine = rows_of(small_set)
    count = 0
    for split in ("train", "val", "test"):
        folder = exports["imagefolder"] / split
        wanted = [row for row in mine if row["split"] == split]
        found = lines(folder / "metadata.csv")
        assert len(found) == len(wanted)
        for line, row in zip(found, wanted, strict=True):
            assert line["dataset_file"] == row["file_name"]
            for column in ("file_name", "clean_file_name", "mask_file_name"):
                theirs, ours = folder / line[column], small_set / row[column]
                assert theirs.read_bytes() == ours.read_bytes()
                count += 1
            for column in ("x", "y", "r", "discolor_ratio", "row_seed"):
                same = (
                    line[column] == ""
                    if pd.isna(row[column])
                    else (float(line[column]) == row[column])
                )
                assert same, column
    pictures = [p for p in exports["imagefolder"].rglob("*.*") if p.suffix in (".jpg", ".png")]
    assert count == len(pictures) == 3 * len(mine)


def test_imagefolder_columns_have_one_type_in_all_splits(make: Make, tmp_path: Path) -> None:
    clean = {"label": 0, "x": "", "y": "", "r": "", "discolor_ratio": 1}
    rows = [
        {"split": "train", "licence": "CC0", "crop_x": 3, "crop_y": 4, "quality": 90},
        {"split": "test", "quality": 90, **clean},
        {"split": "val", "licence": "CC0", "source_url": "https://a.example", "crop_x": 5},
    ]
    export(make(rows), tmp_path / "out", "imagefolder")
    tables = [pd.read_csv(tmp_path / "out" / row["split"] / "metadata.csv") for row in rows]
    for table in tables[1:]:
        assert table.dtypes.equals(tables[0].dtypes)
    assert "photo" not in tables[0].columns  # empty everywhere


def test_imagefolder_texts_are_not_read_as_empty_or_numbers(make: Make, tmp_path: Path) -> None:
    """The reader of datasets is pandas, to which NA is an empty cell, quoted or not."""
    rows = [
        {"split": "train", "licence": "NA", "photo": "007", "weather": "null", "t": "1.5"},
        {"split": "test", "licence": "CC0", "photo": "b.jpg", "weather": "rain", "t": "NA"},
        {"split": "test", "licence": "None", "photo": "8", "weather": "snow", "t": "2.5"},
    ]
    export(make(rows), tmp_path / "out", "imagefolder")
    train, test = (
        pd.read_csv(tmp_path / "out" / split / "metadata.csv") for split in ("train", "test")
    )
    assert train["licence"].tolist() == ['"NA"']
    assert test["licence"].tolist() == ["CC0", '"None"']
    assert train["photo"].tolist() == ['"007"']
    assert train["weather"].tolist() == ['"null"']
    assert test["t"].isna().tolist() == [True, False], "a number that is missing"
    about = json.loads((tmp_path / "out" / ABOUT).read_text())
    assert about["licences"] == ["CC0", "NA", "None"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"note": "7"}, {"split": "test", "note": "seven"}], "column note has type"),
        ([{"image": "a"}], "takes column image for an image"),
        ([{"other_file_name": "a"}], "takes column other_file_name for an image"),
    ],
)
def test_imagefolder_refuses_names_that_its_reader_refuses(
    make: Make, tmp_path: Path, rows: list[dict[str, Any]], words: str
) -> None:
    assert words in refused(make(rows), tmp_path / "out", "imagefolder")


def test_webdataset_shards_hold_all_files_and_columns(
    small_set: Path, exports: dict[str, Path]
) -> None:
    mine = rows_of(small_set)
    seen = []
    for path in sorted(exports["webdataset"].glob("*.tar")):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
            content = {m.name: tar.extractfile(m).read() for m in members}  # type: ignore[union-attr]
        for member in members:
            assert (member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "")
            assert member.isreg()
        keys = list(dict.fromkeys(name.partition(".")[0] for name in content))
        assert len(keys) <= 4
        for key in keys:
            row = mine[int(key)]
            assert content[f"{key}.jpg"] == (small_set / row["file_name"]).read_bytes()
            assert content[f"{key}.clean.jpg"] == (small_set / row["clean_file_name"]).read_bytes()
            assert content[f"{key}.mask.png"] == (small_set / row["mask_file_name"]).read_bytes()
            about = json.loads(content[f"{key}.json"])
            assert about == {k: None if pd.isna(v) else v for k, v in row.items()}
            assert path.name.startswith(f"{row['split']}-")
            seen.append(int(key))
        # Readers group neighbours: the members of a sample lie side by side.
        runs = [key for key, _ in itertools.groupby(n.partition(".")[0] for n in content)]
        assert runs == keys
        assert len(content) == 4 * len(keys)
    assert sorted(seen) == list(range(len(mine)))


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_dataset_gives_the_same_bytes(
    small_set: Path, exports: dict[str, Path], name: str, tmp_path: Path, contents: Contents
) -> None:
    calls: list[tuple[int, int]] = []
    copy = shutil.copytree(small_set, tmp_path / "elsewhere" / small_set.name)
    for path in copy.rglob("*.png"):
        path.touch()
    count = export(
        copy, tmp_path / "again", name, progress=lambda *at: calls.append(at), shard_size=4
    )
    assert calls == [(i + 1, count) for i in range(count)]
    assert contents(tmp_path / "again") == contents(exports[name])
    about = json.loads((tmp_path / "again" / ABOUT).read_text())
    assert (about["format"], about["images"]) == (name, count)
    assert name == "mvtec" or count == len(rows_of(small_set))


@pytest.mark.parametrize("name", FORMATS)
def test_odd_names_and_sizes(make: Make, tmp_path: Path, name: str) -> None:
    names = ["images/a.png", "images/sub/a.png", "images/a.b.png", "träin test/ü 1.png"]
    rows = [
        {"file_name": file, "split": split, "width": 40 + k, "height": 30 + 5 * k}
        for k, (file, split) in enumerate(
            zip(names, ["train", "train", "val", "test"], strict=True)
        )
    ]
    rows[0] |= {"label": 0, "x": "", "y": "", "r": "", "discolor_ratio": 1}
    folder = make(rows, "odd näme")
    out = tmp_path / "out"
    count = export(folder, out, name)
    assert count == (2 if name == "mvtec" else 4)
    files = [path.read_bytes() for path in out.rglob("*") if path.suffix == ".png"]
    for path in out.glob("*.tar"):
        with tarfile.open(path) as tar:
            files += [tar.extractfile(m).read() for m in tar if m.name.endswith(".png")]  # type: ignore[union-attr]
    held = [(folder / file).read_bytes() in files for file in names]
    assert held == ([True, False, False, True] if name == "mvtec" else [True] * 4)


def test_the_suffix_follows_the_content(
    make: Make, tmp_path: Path, picture: Callable[..., np.ndarray]
) -> None:
    folder = make([{}])
    data = io.BytesIO()
    Image.fromarray(picture(0, 40, 30)).save(data, "JPEG")
    (folder / "images/0.png").write_bytes(data.getvalue())
    export(folder, tmp_path / "out", "coco")
    assert (tmp_path / "out/images/000000.jpg").read_bytes() == data.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_bad_pictures_are_named_and_no_files_are_left(
    make: Make, tmp_path: Path, name: str
) -> None:
    rows = [{"label": 0, "x": "", "y": "", "r": "", "discolor_ratio": 1}, {"split": "test"}]
    folder = make(rows)
    Image.new("RGB", (40, 31)).save(folder / "images/1.png")
    assert "1.png is 40x31, in the table 40x30" in refused(folder, tmp_path / "out", name)
    (folder / "images/1.png").write_bytes(b"<html>")
    assert "1.png is not a picture" in refused(folder, tmp_path / "out", name)
    (folder / "images/1.png").unlink()
    assert "missing on disk" in refused(folder, tmp_path / "out", name)


@pytest.mark.parametrize("name", ["coco", "mvtec"])
def test_a_region_without_a_pixel_cannot_be_marked(make: Make, tmp_path: Path, name: str) -> None:
    clean = {"label": 0, "x": "", "y": "", "r": "", "discolor_ratio": 1}
    folder = make([clean, {"split": "test", "x": 10.5, "r": 0.1}])
    assert "row 1 (images/1.png): its region covers no pixel" in refused(
        folder, tmp_path / "out", name
    )


def test_existing_files_are_kept(make: Make, tmp_path: Path, contents: Contents) -> None:
    folder, out = make([{}, {"split": "test"}]), tmp_path / "out"
    export(folder, out, "coco")
    before = contents(out)
    assert "--overwrite" in refused(folder, out, "coco")
    assert contents(out) == before

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(folder, out, "imagefolder", overwrite=True, progress=stop)
    assert contents(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["by hand", "out"]
    export(folder, out, "webdataset", overwrite=True)
    assert sorted(contents(out)) == [ABOUT, "test-000000.tar", "train-000000.tar"]

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    assert "not overwritten" in refused(folder, tmp_path / "mine", "coco", overwrite=True)


def test_the_dataset_itself_is_never_replaced(make: Make, tmp_path: Path) -> None:
    folder = make([{}])
    assert "is or contains" in refused(folder, folder, "coco", overwrite=True)
    (tmp_path / ABOUT).touch()
    assert "is or contains" in refused(folder, tmp_path, "coco", overwrite=True)


def test_unknown_formats_and_shards(make: Make, tmp_path: Path) -> None:
    folder = make([{}])
    assert "format 'voc' is unknown" in refused(folder, tmp_path / "out", "voc")
    assert "shard size" in refused(folder, tmp_path / "out", "webdataset", shard_size=0)
    assert "no folder" in refused(tmp_path / "none", tmp_path / "out", "coco")


def test_the_command(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    app.command()(export_commands.export)
    app.command()(export_commands.preview)
    folder, out = make([{}]), tmp_path / "out"

    def run(*arguments: object) -> tuple[int, str, str]:
        code = console.run(app, "synth", [str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    assert run("export", folder, out, "--format", "coco") == (
        0,
        f"1 images in {out}, as coco\n",
        "",
    )
    code, text, error = run("export", folder, out, "--format", "coco")
    assert (code, text) == (2, "")
    assert error.count("\n") == 1
    assert run("export", folder, out, "--format", "webdataset", "--overwrite")[0] == 0
    assert run("export", folder, out, "--format", "voc", "--overwrite")[0] == 2
