"""The contact sheet shows the images of the dataset and the regions in its table."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from synth import Anomaly, InputError, console, export_commands, mask
from synth.preview import MOST, choose_rows, difference, draw_outline, preview


@given(st.integers(1, 300), st.integers(1, 50), st.integers(0, 9))
def test_rows_are_spread_over_the_table(total: int, count: int, seed: int) -> None:
    chosen = choose_rows(total, count, seed)
    assert len(set(chosen)) == len(chosen) == min(total, count)
    assert chosen == sorted(chosen)
    share = total / len(chosen)
    for part, row in enumerate(chosen):
        assert int(part * share) <= row < (part + 1) * share


def test_the_sheet_is_the_same_each_time_and_grows_with_the_count(small_set: Path) -> None:
    sheet = preview(small_set, 3, seed=1)
    assert (sheet.dtype, sheet.ndim, sheet.shape[2]) == (np.uint8, 3, 3)
    assert np.array_equal(sheet, preview(str(small_set), 3, seed=1))
    assert not np.array_equal(sheet, preview(small_set, 3, seed=2))
    heights = [preview(small_set, count).shape[0] for count in (1, 2, 3)]
    assert heights[2] - heights[1] == heights[1] - heights[0] > 200
    rows = len(pd.read_csv(small_set / "metadata.csv"))
    assert np.array_equal(preview(small_set, rows), preview(small_set, MOST))


def test_each_row_shows_image_twin_difference_and_truth(small_set: Path) -> None:
    table = pd.read_csv(small_set / "metadata.csv")
    number = choose_rows(len(table), 1, 0)[0]
    row = table.iloc[number]
    sheet = preview(small_set, 1, 0)
    high = round(256 * row.height / row.width)
    tiles = [sheet[76 : 76 + high, left : left + 256].astype(int) for left in (20, 286, 552, 818)]
    for tile, column in zip(tiles[:2], ("file_name", "clean_file_name"), strict=True):
        with Image.open(small_set / row[column]) as image:
            wanted = np.asarray(image.resize((256, high), Image.Resampling.LANCZOS)).astype(int)
        assert np.array_equal(tile, wanted)
    assert row.label == 1
    scale = 256 / row.width
    at_x, at_y = round((row.x + 0.5) * scale), round((row.y + 0.5) * scale)
    assert np.abs(tiles[2][at_y, at_x] - 128).max() > 20  # the change, seen
    changed = np.abs(tiles[3] - tiles[0]).max(axis=2) > 40
    rows, cols = np.nonzero(changed)
    for low, top, centre in ((cols.min(), cols.max(), at_x), (rows.min(), rows.max(), at_y)):
        assert abs(centre - low - (row.r + 0.5) * scale) < 6
        assert abs(top - centre - (row.r + 0.5) * scale) < 6


@pytest.mark.parametrize("shape", ["circle", "square"])
def test_the_outline_leaves_the_region_as_it_is(shape: str) -> None:
    truth = Anomaly(30.5, 20, 12, 1.1, shape=shape)  # type: ignore[arg-type]
    grey = Image.new("RGB", (60, 50), (120, 120, 120))
    drawn = np.asarray(draw_outline(grey, truth, 60, 50)).astype(int)
    inside = mask(truth, 50, 60)
    assert np.abs(drawn[inside] - 120).max() <= (60 if shape == "circle" else 0)
    assert np.abs(drawn[mask(Anomaly(30.5, 20, 11, 1.1), 50, 60)] - 120).max() == 0
    assert drawn.max() == 255
    assert drawn.min() == 0
    far = mask(Anomaly(30.5, 20, 17, 1.1, shape=shape), 50, 60)  # type: ignore[arg-type]
    assert (drawn[~far] == 120).all()
    assert draw_outline(grey, None, 60, 50).tobytes() == grey.tobytes()


def test_the_difference_is_amplified_around_grey() -> None:
    twin = np.full((20, 30, 3), 100, np.uint8)
    image = twin.copy()
    truth = Anomaly(10, 8, 4, 1.05)
    image[mask(truth, 20, 30)] = 105
    image[0, 0] = 99
    shown, gain = difference(image, twin, truth)
    assert gain == 16
    assert (shown[8, 10] == 128 + 5 * 16).all()
    assert (shown[0, 0] == 128 - 16).all()
    assert (shown[19, 29] == 128).all()
    assert difference(twin, twin, truth)[1] == 1
    wrapped = twin.copy()
    wrapped[mask(truth, 20, 30)] = 2
    assert difference(wrapped, twin, truth)[1] == 1


@pytest.mark.parametrize(("width", "height"), [(60, 60), (900, 30), (30, 500), (1, 1)])
def test_datasets_of_other_tools_and_any_shape(tmp_path: Path, width: int, height: int) -> None:
    name = "ü 日本.png"
    Image.new("RGB", (width, height), (90, 120, 150)).save(tmp_path / name)
    (tmp_path / "metadata.csv").write_text(
        f"file_name,x,y,r,discolor_ratio,width,height\n{name},0,0,0,1.1,{width},{height}\n",
        encoding="utf-8",
    )
    assert preview(tmp_path).shape[1] > 1000


def test_bad_input(small_set: Path, tmp_path: Path) -> None:
    for count in (0, MOST + 1):
        with pytest.raises(InputError, match="count"):
            preview(small_set, count)
    with pytest.raises(InputError, match="seed"):
        preview(small_set, seed=-1)
    with pytest.raises(InputError, match="no folder"):
        preview(tmp_path / "none")
    copy = shutil.copytree(small_set, tmp_path / "copy")
    victim = pd.read_csv(copy / "metadata.csv")["clean_file_name"][0]
    (copy / victim).write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"row 0 \(images/.*not a picture"):
        preview(copy, MOST)
    Image.new("RGB", (96, 81)).save(copy / victim)
    with pytest.raises(InputError, match="is 96x81, in the table 96x80"):
        preview(copy, MOST)


def test_the_command(small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()
    app.command()(export_commands.export)
    app.command()(export_commands.preview)
    out = tmp_path / "sheet.png"

    def run(*arguments: object) -> int:
        return console.run(app, "synth", ["preview", str(small_set), *map(str, arguments)])

    assert run("--out", out, "--count", 2) == 0
    first = out.read_bytes()
    with Image.open(out) as image:
        assert np.array_equal(np.asarray(image), preview(small_set, 2))
    capsys.readouterr()
    assert run("--out", out) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert out.read_bytes() == first
    assert run("--out", out, "--overwrite", "--count", 1) == 0
    assert out.read_bytes() != first
    assert run("--out", tmp_path / "sheet.jpg") == 2
    assert run("--out", tmp_path) == 2
    assert run("--out", tmp_path / "none" / "sheet.png") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]
