"""Single output files: only files that the same command wrote are overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synth import Recipe, generate, output_file
from synth.errors import InputError

Refused = Callable[..., str]


@pytest.fixture
def made(photo_folder: Path, tmp_path: Path) -> Path:
    """A small dataset of PNGs."""
    folder = tmp_path / "made"
    generate(photo_folder, folder, Recipe(size=(48, 40), radius=(4.0, 9.0), codec="png"))
    return folder


def test_a_drawing_is_known_by_its_content(tmp_path: Path) -> None:
    pixels = np.zeros((8, 9, 3), np.uint8)
    ours, foreign, text = (tmp_path / name for name in ("a.png", "b.png", "c.png"))
    ours.write_bytes(output_file.encode_png(pixels, "a test"))
    Image.fromarray(pixels).save(foreign)
    text.write_text("no picture")
    assert [output_file.is_acuity_png(path) for path in (ours, foreign, text)] == [
        True,
        False,
        False,
    ]
    with Image.open(ours) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_replaces_no_other(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:

        def fail(path: Path, target: Path) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", fail)
    path = tmp_path / ("y" * 251 + ".png")
    output_file.write_new(path, b"first")
    with pytest.raises(FileExistsError):
        output_file.write_new(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


def test_a_dangling_link_is_not_overwritten(tmp_path: Path) -> None:
    link = tmp_path / "link.png"
    link.symlink_to(tmp_path / "gone.png")
    with pytest.raises(InputError, match="exists"):
        output_file.check(link, output_file.is_acuity_png, False)
    with pytest.raises(InputError, match="not overwritten"):
        output_file.check(link, output_file.is_acuity_png, True)
    with pytest.raises(FileExistsError):
        output_file.write_new(link, b"data")
    assert link.is_symlink()


def test_preview_replaces_its_own_sheets_only(
    made: Path, tmp_path: Path, refused: Refused, command: Callable[..., object]
) -> None:
    sheet, photo = tmp_path / "sheet.png", next((made / "images").glob("*.png"))
    before = photo.read_bytes()
    assert "not overwritten" in refused("preview", made, "--out", photo, "--overwrite")
    assert photo.read_bytes() == before
    assert command("preview", made, "--out", sheet).code == 0  # type: ignore[attr-defined]
    assert "--overwrite" in refused("preview", made, "--out", sheet)
    again = command("preview", made, "--out", sheet, "--overwrite", "--seed", 1)
    assert again.code == 0  # type: ignore[attr-defined]


def test_rebuild_replaces_no_photo_and_no_other_file(
    made: Path, photo_folder: Path, tmp_path: Path, refused: Refused,
    command: Callable[..., object],
) -> None:  # fmt: skip
    rebuild = ("rebuild", made, 0, "--photos", photo_folder, "--overwrite", "--out")
    photo = next(path for path in sorted(photo_folder.iterdir()) if path.suffix == ".png")
    (tmp_path / "table.csv").write_text("mine")
    link = tmp_path / "folder"
    link.symlink_to(photo_folder)
    before = photo.read_bytes()
    for target in (photo, tmp_path / "table.csv", link / photo.name, made / "metadata.csv"):
        assert "not overwritten" in refused(*rebuild, target)
    assert photo.read_bytes() == before
    damaged = next((made / "images").iterdir())
    row = damaged.name
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-9])  # repaired in its place
    fixed = command("rebuild", made, row, "--photos", photo_folder, "--overwrite", "--out", damaged)
    assert fixed.code == 0  # type: ignore[attr-defined]
    assert damaged.read_bytes() == whole
