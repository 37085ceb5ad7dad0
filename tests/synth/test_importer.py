"""Imported regions have exactly the pixels that the foreign code changed."""

from __future__ import annotations

import csv
import dataclasses
import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synth import InputError, apply, cli, console, dataset, importer, mask, read, verify

Picture = Callable[..., np.ndarray]
SEED = importer.PRESETS["seed"]
HEADER = ["x", "y", "r", "discolor_ratio", "img_path"]


def first_project(image: np.ndarray, x: int, y: int, r: int, ratio: float) -> np.ndarray:
    """Its code, value by value: img[x-r:x+r, y-r:y+r] times ratio, cut to a whole uint8."""
    out = image.copy()
    for i in range(x - r, x + r):
        for j in range(y - r, y + r):
            for c in range(3):
                out[i, j, c] = int(float(image[i, j, c]) * ratio) % 256
    return out


def write_table(path: Path, rows: list[list[Any]], header: list[str] = HEADER) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@given(st.data())
@settings(max_examples=15, deadline=None)
def test_the_first_projects_table_imports_exactly(
    tmp_path_factory: pytest.TempPathFactory, picture: Picture, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("seed")
    (root / "img").mkdir()
    rows, originals = [], []
    for k in range(data.draw(st.integers(1, 4))):
        width, height = data.draw(st.tuples(st.integers(6, 40), st.integers(6, 40)))
        image = picture(data.draw(st.integers(0, 99)), width, height)
        r = data.draw(st.integers(1, min(width, height) // 2))
        x = data.draw(st.integers(r, height - r))  # the row
        y = data.draw(st.integers(r, width - r))  # the column
        ratio = data.draw(
            st.one_of(st.integers(105, 115).map(lambda n: n / 100), st.floats(0.5, 3))
        )
        Image.fromarray(first_project(image, x, y, r, ratio)).save(root / "img" / f"{k}.png")
        rows.append([x, y, r, repr(ratio), f"/content/drive/MyDrive/img/{k}.png"])
        originals.append(image)
    table = importer.convert(
        write_table(root / "t.csv", rows), root / "set", root / "img", SEED, unit="px"
    )
    assert (table["split"] == "test").all()
    assert (table["label"] == 1).all()
    for ours, (x, y, r, _, _), image in zip(
        read(root / "set").to_dict("records"), rows, originals, strict=True
    ):
        truth = dataset.truth(ours)
        assert truth is not None
        assert (ours["width"], ours["height"]) == image.shape[1::-1]
        touched = {(i, j) for i in range(x - r, x + r) for j in range(y - r, y + r)}
        region = mask(truth, *image.shape[:2])
        assert set(zip(*map(np.ndarray.tolist, np.nonzero(region)), strict=True)) == touched
        with Image.open(root / "set" / ours["file_name"]) as file:
            assert np.array_equal(np.asarray(file), apply(image, truth))
    assert verify(root / "set") == []


@pytest.fixture
def pictures(tmp_path: Path, picture: Picture) -> Path:
    """Pictures of 40x30 px; two of them share a name."""
    for k, name in enumerate(["a.png", "train/same.png", "val/same.png", "deep/x/only.jpg"]):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(k, 40, 30)).save(path)
    return tmp_path / "pictures"


def convert(tmp_path: Path, pictures: Path, rows: list[list[Any]], **options: Any) -> Any:
    convention = options.pop("convention", SEED)
    header = options.pop("header", HEADER)
    table = write_table(tmp_path / "table.csv", rows, header)
    return importer.convert(table, tmp_path / "set", pictures, convention, **options)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.png", "a.png"),
        ("/content/drive/My Drive/project/data/a.png", "a.png"),
        ("C:\\Users\\me\\data\\a.png", "a.png"),
        ("..\\train\\same.png", "train/same.png"),
        ("/content/drive/MyDrive/val/same.png", "val/same.png"),
        ("data\\val/same.png", "val/same.png"),
        ("./train/same.png", "train/same.png"),
        ("/elsewhere/only.jpg", "deep/x/only.jpg"),
    ],
)
def test_images_are_matched_by_their_last_parts(
    tmp_path: Path, pictures: Path, path: str, found: str
) -> None:
    ours = convert(tmp_path, pictures, [[15, 20, 4, 1.1, path]])
    copied = tmp_path / "set" / ours["file_name"][0]
    assert copied.read_bytes() == (pictures / found).read_bytes()


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("same.png", "matches 2"),
        ("/content/test/same.png", "matches 2"),
        ("gone.png", "no image named"),
        ("A.png", "no image named"),
        ("", "no image named"),
        ("/", "no image named"),
        ("..", "no image named"),
    ],
)
def test_ambiguous_and_missing_images_are_refused(
    tmp_path: Path, pictures: Path, path: str, word: str
) -> None:
    rows = [[15, 20, 4, 1.1, "a.png"], [15, 20, 4, 1.1, path]]
    with pytest.raises(InputError, match=word) as caught:
        convert(tmp_path, pictures, rows)
    assert "row 1" in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures", "table.csv"]


def test_an_exact_path_wins_over_deeper_ones(tmp_path: Path, pictures: Path) -> None:
    shutil.copyfile(pictures / "a.png", pictures / "same.png")
    ours = convert(tmp_path, pictures, [[15, 20, 4, 1.1, "same.png"]])
    copied = tmp_path / "set" / ours["file_name"][0]
    assert copied.read_bytes() == (pictures / "a.png").read_bytes()


def test_images_of_one_name_are_kept_apart(tmp_path: Path, pictures: Path) -> None:
    rows = [[15, 20, 4, 1.1, "train/same.png"], [15, 20, 4, 1.1, "val/same.png"]]
    ours = convert(tmp_path, pictures, rows)
    assert ours["file_name"].nunique() == 2
    for name, origin in zip(ours["file_name"], ("train", "val"), strict=True):
        wanted = (pictures / origin / "same.png").read_bytes()
        assert (tmp_path / "set" / name).read_bytes() == wanted


def test_an_image_in_two_rows_is_refused(tmp_path: Path, pictures: Path) -> None:
    for path in ("a.png", "train/same.png"):
        with pytest.raises(InputError, match=r"row 1.*earlier row"):
            convert(tmp_path, pictures, [[15, 20, 4, 1.1, path], [15, 20, 5, 1.1, path]])


def test_axes_say_what_x_is(tmp_path: Path, pictures: Path) -> None:
    rows = [[22, 11, 4, 1.1, "a.png"]]
    plain = importer.Convention(columns=importer.Columns(file_name="img_path"))
    for axes, place in (("xy", (22, 11)), ("rowcol", (11, 22))):
        convention = dataclasses.replace(plain, axes=axes)  # type: ignore[arg-type]
        ours = convert(tmp_path, pictures, rows, convention=convention, overwrite=True)
        assert (ours["x"][0], ours["y"][0], ours["r"][0]) == (*place, 4)
    seed = dataclasses.replace(SEED, axes="xy")
    ours = convert(tmp_path, pictures, rows, convention=seed, overwrite=True)
    assert (ours["x"][0], ours["y"][0], ours["r"][0]) == (21.5, 10.5, 3.5)


def test_columns_words_and_split(tmp_path: Path, pictures: Path) -> None:
    header = ["path", "cx", "cy", "rad", "q", "x"]
    columns = importer.Columns("cx", "cy", "rad", "q", "path")
    convention = importer.Convention(
        columns, shape="square", overflow="wrap", rounding="stochastic"
    )
    ours = convert(
        tmp_path, pictures, [["a.png", "20.5", 11, 4.25, 0.9, "ignored"]],
        convention=convention, header=header, split="val",
    )  # fmt: skip
    row = ours.to_dict("records")[0]
    assert [row[name] for name in ("x", "y", "r", "discolor_ratio")] == [20.5, 11, 4.25, 0.9]
    assert [row[name] for name in ("shape", "overflow", "rounding", "split")] == [
        "square", "wrap", "stochastic", "val"
    ]  # fmt: skip
    assert row["codec"] == "png"
    again = read(tmp_path / "set").to_dict("records")[0]
    assert dataset.truth(again) == dataset.truth(row)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (["x", 20, 4, 1.1, "a.png"], "x is 'x'"),
        (["", 20, 4, 1.1, "a.png"], "x is ''"),
        (["nan", 20, 4, 1.1, "a.png"], "nan"),
        ([15, "inf", 4, 1.1, "a.png"], "inf"),
        ([15, 20, -4, 1.1, "a.png"], "0 or more"),
        ([15, 20, 0, 1.1, "a.png"], "0 or more"),
        ([15, 20, 4, 0, "a.png"], "discolor_ratio"),
        ([15, 20, 4, -1.1, "a.png"], "discolor_ratio"),
        ([3, 20, 4, 1.1, "a.png"], "is not inside the 40x30 image"),
        ([27, 20, 4, 1.1, "a.png"], "is not inside the 40x30 image"),
        ([15, 37, 4, 1.1, "a.png"], "is not inside the 40x30 image"),
        ([15, 20, 4, 1.1], "image|img_path"),
        ([15, 20], "2 cells, the header has 5"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, pictures: Path, row: list[Any], word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        convert(tmp_path, pictures, [[15, 20, 4, 1.1, "deep/x/only.jpg"], row])
    assert "row 1" in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures", "table.csv"]


def test_edges_of_the_image_belong_to_it(tmp_path: Path, pictures: Path) -> None:
    rows = [[4, 4, 4, 1.1, "a.png"], [26, 36, 4, 1.1, "deep/x/only.jpg"]]
    assert len(convert(tmp_path, pictures, rows)) == 2


def test_broken_pictures_and_other_formats_are_refused(tmp_path: Path, pictures: Path) -> None:
    (pictures / "text.png").write_text("not a picture")
    Image.new("RGB", (40, 30)).save(pictures / "b.bmp")
    for name, word in (("text.png", "not a picture"), ("b.bmp", "neither JPEG nor PNG")):
        with pytest.raises(InputError, match=word):
            convert(tmp_path, pictures, [[15, 20, 4, 1.1, name]])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("turned", "is rotated by its EXIF block"),
        ("cut", "broken file"),
        ("transparent", "has transparent pixels"),
        ("animated", "animated or has several pages"),
    ],
)
def test_images_that_synth_could_not_read_unchanged_are_refused(
    tmp_path: Path, pictures: Path, picture: Picture, kind: str, message: str
) -> None:
    path = pictures / "odd.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(picture(1, 40, 30))
    if kind == "turned":
        image.save(path, exif=exif)
    elif kind == "transparent":
        image.putalpha(90)
        image.save(path)
    elif kind == "animated":
        image.save(path, save_all=True, append_images=[Image.fromarray(picture(2, 40, 30))])
    else:
        image.save(path)
        path.write_bytes(path.read_bytes()[:-900])
    with pytest.raises(InputError, match=message):
        convert(tmp_path, pictures, [[15, 20, 4, 1.1, "odd.png"]])


def test_bad_arguments(tmp_path: Path, pictures: Path) -> None:
    good = [[15, 20, 4, 1.1, "a.png"]]
    with pytest.raises(InputError, match="split 'dev'"):
        convert(tmp_path, pictures, good, split="dev")
    with pytest.raises(InputError, match="no folder"):
        convert(tmp_path, tmp_path / "gone", good)
    with pytest.raises(InputError, match="no table"):
        importer.convert(tmp_path / "gone.csv", tmp_path / "set", pictures, SEED)
    with pytest.raises(InputError, match="lacks the column img_path: it has x, y"):
        convert(tmp_path, pictures, good, header=["x", "y", "r", "discolor_ratio", "file"])
    with pytest.raises(InputError, match="no rows"):
        convert(tmp_path, pictures, [])
    (tmp_path / "table.csv").write_bytes(b"")
    with pytest.raises(InputError, match="cannot be read"):
        importer.convert(tmp_path / "table.csv", tmp_path / "set", pictures, SEED)
    assert not (tmp_path / "set").exists()


def test_a_full_disk_leaves_no_files(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    table = write_table(tmp_path / "table.csv", [[15, 20, 4, 1.1, "a.png"]])
    monkeypatch.setattr(shutil, "copyfile", full)
    line = refused("import", table, tmp_path / "set", "--images", pictures, "--preset", "seed")
    assert "No space left" in line
    assert "--resume" not in line, "import has no such option"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pictures", "table.csv"]


def test_the_card_describes_the_dataset(tmp_path: Path, pictures: Path) -> None:
    rows = [[15, 20, 4, 1.1, "a.png"], [15, 20, 4, 1.1, "only.jpg"]]
    convert(tmp_path, pictures, rows)
    card = (tmp_path / "set" / "README.md").read_text()
    assert "2 images" in card
    assert "in 1 photos" not in card


@pytest.mark.parametrize(
    ("unit", "numbers"),
    [
        ("fraction", [0.5, 0.4, 0.125]),
        ("percent", [50, 40, 12.5]),
        ("percent", ["50%", "40 %", "12.5%"]),
        ("px", [19.5, 11.5, 5]),
    ],
)
def test_units(tmp_path: Path, pictures: Path, unit: Any, numbers: list[Any]) -> None:
    """Fractions count from the edge of the 40x30 picture, r in widths."""
    plain = importer.Convention(columns=importer.Columns(file_name="img_path"))
    rows = [[*numbers, 1.1, "a.png"]]
    ours = convert(tmp_path, pictures, rows, convention=plain, unit=unit)
    assert [ours[name][0] for name in ("x", "y", "r")] == pytest.approx([19.5, 11.5, 5])


def test_units_with_rows_first_and_half_open_regions(tmp_path: Path, pictures: Path) -> None:
    """img[x-r:x+r, y-r:y+r] of a picture of 30 rows and 40 columns: x is a part of the 30."""
    px, parts = [[12, 24, 5, 1.1, "a.png"]], [[0.4, 0.6, 0.125, 1.1, "a.png"]]
    first = convert(tmp_path, pictures, px)
    again = convert(tmp_path, pictures, parts, unit="fraction", overwrite=True)
    for name in ("x", "y", "r"):
        assert first[name][0] == pytest.approx(again[name][0])


def test_a_region_that_touches_the_edge_in_fractions_fits(tmp_path: Path, pictures: Path) -> None:
    plain = importer.Convention(columns=importer.Columns(file_name="img_path"))
    rows = [[0.25, 0.5, 0.25, 1.1, "a.png"]]
    ours = convert(tmp_path, pictures, rows, convention=plain, unit="fraction")
    assert (ours["x"][0], ours["y"][0], ours["r"][0]) == (9.5, 14.5, 9.5)
    assert verify(tmp_path / "set") == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[0.5, 0.4, 0.1, 1.1, "a.png"]], "all x and y are in 0 to 1.*--unit fraction"),
        ([[1, 1, 1, 1.1, "a.png"]], "all x and y are in 0 to 1.*--unit px"),
        ([[15, 20, 0.1, 1.1, "a.png"]], "all r are below 0.5 px.*--unit"),
        ([["50%", "40%", "9%", 1.1, "a.png"]], "row 0, line 2: x is '50%': pass --unit percent"),
        (
            [[15, 20, 5, 1.1, "a.png"], [15.5, 20.5, 0.6, 1.1, "deep/x/only.jpg"]],
            "row 1, line 3: the region .* covers no pixel",
        ),
    ],
)
def test_numbers_that_are_hardly_pixels_are_refused(
    tmp_path: Path, pictures: Path, rows: list[list[Any]], words: str
) -> None:
    plain = importer.Convention(columns=importer.Columns(file_name="img_path"))
    with pytest.raises(InputError, match=words):
        convert(tmp_path, pictures, rows, convention=plain)
    assert not (tmp_path / "set").exists()


def test_pixels_of_a_corner_are_imported_where_the_unit_is_named(
    tmp_path: Path, pictures: Path
) -> None:
    plain = importer.Convention(columns=importer.Columns(file_name="img_path"))
    rows = [[1, 1, 1, 1.1, "a.png"]]
    ours = convert(tmp_path, pictures, rows, convention=plain, unit="px")
    assert (ours["x"][0], ours["y"][0], ours["r"][0]) == (1, 1, 1)
    with pytest.raises(InputError, match="unit 'inch' is unknown"):
        convert(tmp_path, pictures, rows, convention=plain, unit="inch", overwrite=True)


def test_a_table_of_a_spreadsheet_is_imported_with_a_note(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes("File_name;X;Y;R;Discolor Ratio\r\n.\\A\u030a.png;15,5;20;4;1,1\r\n".encode())
    shutil.copyfile(pictures / "a.png", pictures / "\u00c5.png")
    line = ["import", table, tmp_path / "set", "--images", pictures]
    assert console.run(cli.app, "synth", [str(word) for word in line]) == 0
    row = read(tmp_path / "set").to_dict("records")[0]
    assert (row["x"], row["discolor_ratio"]) == (15.5, 1.1)
    assert "separated by semicolons, not by commas" in capsys.readouterr().err
