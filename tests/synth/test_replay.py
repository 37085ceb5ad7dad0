"""verify reports the row of every later change; rebuild restores the image."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from synth import InputError, Recipe, generate, read, rebuild, render, verify
from synth.dataset import Problem

RECIPE = Recipe(size=(48, 40), radius=(6, 9), ratio=(1.2, 1.3), twins=True, masks=True)
ROW = 2


@pytest.fixture(scope="module")
def originals(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A PNG and a JPEG dataset; read only."""
    folder = tmp_path_factory.mktemp("replay")
    for codec in ("png", "jpeg"):
        generate(photo_folder, folder / codec, dataclasses.replace(RECIPE, codec=codec))
    return {codec: folder / codec for codec in ("png", "jpeg")}


@pytest.fixture(params=["png", "jpeg"])
def copy(request: pytest.FixtureRequest, originals: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(originals[request.param], tmp_path / request.param)


@pytest.fixture
def png(originals: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(originals["png"], tmp_path / "png")


@pytest.fixture
def jpeg(originals: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(originals["jpeg"], tmp_path / "jpeg")


def edit(folder: Path, column: str, value: Any, row: int = ROW) -> None:
    table = pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)
    table.loc[row, column] = str(value)
    table.to_csv(folder / "metadata.csv", index=False)


def cell(folder: Path, column: str = "file_name", row: int = ROW) -> Any:
    return read(folder)[column][row]


def only_row(found: list[Problem], row: int = ROW) -> str:
    assert {problem.row for problem in found} == {row}, list(map(str, found))
    for problem in found:
        assert str(problem).startswith(f"row {row} (images/")
        assert "\n" not in str(problem)
    return "; ".join(problem.what for problem in found)


def change_pixel(path: Path) -> None:
    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(path)


def test_unchanged_datasets_have_no_faults(originals: dict[str, Path], photo_folder: Path) -> None:
    steps: list[tuple[int, int]] = []
    for folder in originals.values():
        assert verify(folder) == []
        assert verify(str(folder), str(photo_folder), lambda *x: steps.append(x)) == []
    assert steps == 2 * [(i + 1, 6) for i in range(6)]


@pytest.mark.parametrize(
    ("column", "step"),
    [("discolor_ratio", 0.002), ("x", 1), ("y", -1), ("x", 0.6), ("r", 0.8), ("crop_x", 1)],
)
def test_a_changed_number_is_found(
    copy: Path, photo_folder: Path, column: str, step: float
) -> None:
    value = float(cell(copy, column)) + step
    edit(copy, column, int(value) if column.startswith("crop") else round(value, 4))
    only_row(verify(copy, photo_folder))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("shape", "square"),
        ("feather", "3"),
        ("label", "0"),
        ("clipped_fraction", "0.5"),
        ("realised_ratio", "1.0"),
        ("width", "47"),
        ("photo", "gone.png"),
        ("photo", ""),
        ("photo_sha256", "0" * 64),
        ("split", "holdout"),
        ("x", ""),
        ("r", "30"),
    ],
)
def test_a_changed_cell_is_found(copy: Path, photo_folder: Path, column: str, value: str) -> None:
    edit(copy, column, value)
    only_row(verify(copy, photo_folder))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("crop_x", "99999"),
        ("crop_x", "-5"),
        ("crop_y", ""),
        ("crop_y", "41"),
        ("row_seed", "-1"),
        ("width", "99999999"),
        ("height", "1"),
    ],
)
def test_impossible_cells_are_a_problem_of_their_row_not_a_crash(
    png: Path, photo_folder: Path, column: str, value: str
) -> None:
    edit(png, column, value)
    only_row(verify(png, photo_folder))


@pytest.mark.parametrize("quality", ["60", "500"])
def test_another_jpeg_quality_is_found(jpeg: Path, photo_folder: Path, quality: str) -> None:
    edit(jpeg, "quality", quality)
    only_row(verify(jpeg, photo_folder))


def test_an_unknown_codec_is_found(copy: Path, photo_folder: Path) -> None:
    edit(copy, "codec", "webp")
    only_row(verify(copy, photo_folder))


def test_rebuilding_an_impossible_row_is_one_line(png: Path, photo_folder: Path) -> None:
    edit(png, "crop_x", "99999")
    with pytest.raises(InputError):
        rebuild(png, ROW, photo_folder)


def test_one_pixel_of_a_png_is_found(png: Path, photo_folder: Path) -> None:
    change_pixel(png / cell(png))
    assert "image" in only_row(verify(png, photo_folder))
    assert "twin" in only_row(verify(png))  # even without the photos: against its twin


def test_a_changed_jpeg_is_found(
    originals: dict[str, Path], photo_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(originals["jpeg"], tmp_path / "set")
    path = folder / cell(folder)
    with Image.open(path) as image:
        image.convert("RGB").save(path, quality=89)
    assert "image" in only_row(verify(folder, photo_folder))


def test_swapped_images_are_found(copy: Path, photo_folder: Path) -> None:
    first, second = copy / cell(copy), copy / cell(copy, row=ROW + 1)
    data = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(data)
    assert {problem.row for problem in verify(copy, photo_folder)} == {ROW, ROW + 1}


@pytest.mark.parametrize("column", ["file_name", "clean_file_name", "mask_file_name"])
def test_a_missing_file_is_found(copy: Path, column: str) -> None:
    (copy / cell(copy, column)).unlink()
    assert "missing" in only_row(verify(copy))


@pytest.mark.parametrize("column", ["file_name", "clean_file_name", "mask_file_name"])
def test_a_broken_file_is_found(copy: Path, column: str) -> None:
    path = copy / cell(copy, column)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    only_row(verify(copy))


@pytest.mark.parametrize("column", ["file_name", "clean_file_name", "mask_file_name"])
def test_a_file_of_another_size_is_found(copy: Path, photo_folder: Path, column: str) -> None:
    path = copy / cell(copy, column)
    with Image.open(path) as image:
        image.resize((24, 20)).save(path)
    only_row(verify(copy, photo_folder))


def test_a_changed_mask_is_found(copy: Path) -> None:
    change_pixel(copy / cell(copy, "mask_file_name"))
    assert "mask" in only_row(verify(copy))


def test_a_changed_twin_is_found(copy: Path, photo_folder: Path) -> None:
    path = copy / cell(copy, "clean_file_name")
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[:20, :20] ^= 8
    Image.fromarray(pixels).save(path)
    assert "twin" in only_row(verify(copy, photo_folder))


def test_changed_and_missing_photos_are_found(
    copy: Path, photo_folder: Path, tmp_path: Path
) -> None:
    photos = shutil.copytree(photo_folder, tmp_path / "photos")
    name = cell(copy, "photo")
    change_pixel(photos / name)
    assert name in only_row(verify(copy, photos))
    with pytest.raises(InputError, match="SHA-256"):
        rebuild(copy, ROW, photos)
    (photos / name).unlink()
    only_row(verify(copy, photos))
    with pytest.raises(InputError, match="missing"):
        rebuild(copy, ROW, photos)


def test_a_photo_outside_its_folder_is_not_read(png: Path, photo_folder: Path) -> None:
    name = cell(png, "photo")
    edit(png, "photo", f"../{photo_folder.name}/{name}")
    only_row(verify(png, photo_folder))


@pytest.mark.parametrize("column", ["photo", "file_name", "clean_file_name"])
def test_rebuild_follows_no_path_that_leads_out(png: Path, photo_folder: Path, column: str) -> None:
    """The photo outside has the right bytes, so only its path is rejected."""
    name = cell(png, column)
    base = photo_folder if column == "photo" else png
    for path in (f"../{base.name}/{name}", str(base / name)):
        edit(png, column, path)
        with pytest.raises(InputError, match=f"{column}.*points outside the folder"):
            rebuild(png, ROW, photo_folder)


def test_a_region_of_no_pixel_is_found(png: Path) -> None:
    edit(png, "x", 20.5)
    edit(png, "r", 0.4)
    assert "its region covers no pixel" in [problem.what for problem in verify(png)]


def test_problems_stand_in_the_order_of_rows(png: Path, photo_folder: Path) -> None:
    edit(png, "split", "x", 4)
    change_pixel(png / cell_raw(png, 1))
    (png / cell_raw(png, 3)).unlink()
    assert [problem.row for problem in verify(png, photo_folder)][:1] == [1]
    rows = [problem.row for problem in verify(png, photo_folder)]
    assert rows == sorted(rows)
    assert set(rows) == {1, 3, 4}


def cell_raw(folder: Path, row: int) -> str:
    return str(pd.read_csv(folder / "metadata.csv")["file_name"][row])


def test_rebuild_takes_numbers_and_names(copy: Path, photo_folder: Path) -> None:
    for i, name in enumerate(read(copy)["file_name"]):
        data = (copy / name).read_bytes()
        (copy / name).unlink()
        assert rebuild(copy, i, photo_folder) == data
        assert rebuild(str(copy), str(i), str(photo_folder)) == data
        assert rebuild(copy, name, photo_folder) == data
        assert rebuild(copy, Path(name).name, photo_folder) == data


@pytest.mark.parametrize("row", [6, "6", -1, "-1", "images/gone.png", "", "1.0"])
def test_rows_that_are_not_there(originals: dict[str, Path], photo_folder: Path, row: Any) -> None:
    with pytest.raises(InputError, match="0 to 5"):
        rebuild(originals["png"], row, photo_folder)


def test_replay_reads_the_table_not_the_recipe(png: Path, photo_folder: Path) -> None:
    """A row is replayed from the table even if the recorded seed and recipe differ."""
    about = json.loads((png / "recipe.json").read_text())
    about["recipe"]["seed"] = 99
    about["recipe"]["radius"] = [1, 2]
    (png / "recipe.json").write_text(json.dumps(about))
    assert verify(png, photo_folder) == []
    (png / "recipe.json").unlink()
    assert verify(png, photo_folder) == []


def test_folders_that_are_not_there(originals: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder"):
        verify(tmp_path / "gone")
    with pytest.raises(InputError, match="no folder of photos"):
        verify(originals["png"], tmp_path / "gone")


def test_other_library_versions_are_given_some_slack(
    originals: dict[str, Path], photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another libjpeg also decodes the photos slightly differently."""
    folder = shutil.copytree(originals["jpeg"], tmp_path / "set")
    about = json.loads((folder / "recipe.json").read_text())
    about["versions"]["libjpeg"] = "0.0.1"
    (folder / "recipe.json").write_text(json.dumps(about))
    from synth import photos

    exact = photos.read

    def other(root: Path, name: str, *rest: Any, **more: Any) -> Any:
        photo = exact(root, name, *rest, **more)
        if root != photo_folder or not name.lower().endswith("jpg"):
            return photo
        pixels = photo.pixels.copy()
        pixels[::9, ::7] = np.minimum(pixels[::9, ::7], 254) + 1
        return dataclasses.replace(photo, picture=Image.fromarray(pixels))

    monkeypatch.setattr(photos, "read", other)
    assert verify(folder, photo_folder) == []


def test_render_replays_what_generate_recorded(
    originals: dict[str, Path], photo_folder: Path
) -> None:
    recipe = dataclasses.replace(RECIPE, codec="png")
    for row in read(originals["png"]).to_dict("records"):
        sample = render(photo_folder / row["photo"], recipe, 0)
        with Image.open(originals["png"] / row["file_name"]) as image:
            assert np.array_equal(np.asarray(image), sample.image)


def test_imported_style_tables_without_photos_verify(
    originals: dict[str, Path], tmp_path: Path, make_plain: Callable[[Path], Path]
) -> None:
    assert verify(make_plain(shutil.copytree(originals["png"], tmp_path / "plain"))) == []


@pytest.fixture
def make_plain() -> Callable[[Path], Path]:
    """A function: keep only the columns that every tool writes."""

    def strip(folder: Path) -> Path:
        table = pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)
        columns = ["file_name", "x", "y", "r", "discolor_ratio", "width", "height"]
        table[columns].to_csv(folder / "metadata.csv", index=False)
        return folder

    return strip
