"""`find --overlay`: each photo has a drawing of its own, and no file is lost."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from localize.cli import main
from localize.report import overlays
from localize.report.overlays import Photo
from synth import console, output_file

Find = Callable[..., tuple[int, list[str], str]]


@pytest.fixture
def find(capsys: pytest.CaptureFixture[str]) -> Find:
    """A function: arguments of ``localize find --method centre`` -> code, lines, stderr."""

    def run(*words: object) -> tuple[int, list[str], str]:
        capsys.readouterr()
        argv = ["find", *map(str, words), "--method", "centre"]
        code = console.run(main.app, "localize", argv)
        out, err = capsys.readouterr()
        return code, out.splitlines(), err

    return run


def save(path: Path, shade: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((24, 32, 3), shade, np.uint8)).save(path)
    return path


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def plan(*names: str) -> list[str]:
    photos = [Photo(Path(folder), name) for folder, _, name in (n.partition("//") for n in names)]
    return [str(path.relative_to("/out")) for path in overlays.output_paths(photos, Path("/out"))]


def test_names_of_drawings() -> None:
    assert plan("p//a.jpg", "p//deep/a.jpg") == ["a.png", "deep/a.png"]
    assert plan("p//a.jpg", "p//a.png", "p//a.b.jpg") == ["a.jpg.png", "a.png", "a.b.png"]
    assert plan("cam1//a.jpg", "cam2//a.jpg") == ["cam1/a.jpg.png", "cam2/a.jpg.png"]
    assert plan("x/cam//a.png", "y/cam//a.png") == ["cam/a.png", "cam/a-2.png"]
    assert plan("p//A.png", "p//a.png") == ["p/A.png", "p/a-2.png"]  # one, where case is ignored
    assert plan("p//a.png", "p//a.png") == ["a.png", "a.png"]  # the same photo twice
    assert plan("p//a.png", "q//a.png/b.jpg") == ["a-2.png", "a.png/b.png"]  # a folder a.png
    assert plan("p//photo") == ["photo.png"]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["p", "q", "x/p"]),
            st.sampled_from(["", "sub/", "a.png/"]),
            st.sampled_from(["a", "A", "a.jpg", "é" * 120, "é" * 121]),
            st.sampled_from([".jpg", ".png", ".PNG", ""]),
        ),
        max_size=12,
        unique=True,
    )
)
def test_no_two_photos_share_a_drawing(parts: list[tuple[str, str, str, str]]) -> None:
    names = sorted({f"{folder}//{sub}{stem}{suffix}" for folder, sub, stem, suffix in parts})
    found = plan(*names)
    keys = [overlays._comparison_key(Path(name)) for name in found]
    assert len(set(keys)) == len(names)
    assert not {
        overlays._comparison_key(parent) for name in found for parent in Path(name).parents
    } & set(keys)
    assert all(len(os.fsencode(Path(name).name)) <= 255 for name in found)
    assert all(name.endswith(".png") for name in found)


def test_photos_and_other_files_are_never_replaced(find: Find, tmp_path: Path) -> None:
    photos, link = tmp_path / "p", tmp_path / "link"
    save(photos / "a.png")
    save(photos / "sub/a.png", 80)
    save(photos / "b.jpg")
    link.symlink_to(photos)
    elsewhere = tmp_path / "d"
    save(elsewhere / "a.png", 70)  # somebody's, of the name of a drawing
    linked = tmp_path / "l"
    linked.mkdir()
    (linked / "a.png").symlink_to(photos / "a.png")
    before = digests(tmp_path)
    for out in (photos, link, photos / "sub" / "..", elsewhere, linked):
        for flags in ((), ("--overwrite",)):
            code, lines, err = find(photos / "a.png", "--overlay", out, *flags)
            assert (code, lines) == (2, []), out
            assert len(err.splitlines()) == 1
            assert "--overlay" in err
    assert digests(tmp_path) == before
    assert find(photos / "a.png", "--overlay", photos / "b.jpg")[0] == 2
    assert digests(tmp_path) == before


def test_a_folder_in_the_photos_folder_is_safe_and_its_drawings_are_no_photos(
    find: Find, tmp_path: Path
) -> None:
    photos = tmp_path / "p"
    save(photos / "a.jpg")
    save(photos / "sub/a.jpg", 80)
    before = digests(photos)
    for out in (photos / "drawn", photos):
        code, lines, err = find(photos, "--overlay", out)
        assert (code, len(lines), err) == (0, 2, "")
        assert {name: digests(photos)[name] for name in before} == before
        drawn = digests(photos)
        assert find(photos, "--overlay", out)[0] == 2  # refused before any work
        code, lines, _ = find(photos, "--overlay", out, "--overwrite")
        assert (code, len(lines)) == (0, 2)
        assert digests(photos) == drawn
        shutil.rmtree(photos / "drawn", ignore_errors=True)


def test_a_second_run_replaces_drawings_but_nothing_else(find: Find, tmp_path: Path) -> None:
    photo, out = save(tmp_path / "a.jpg"), tmp_path / "out"
    assert find(photo, "--overlay", out)[0] == 0
    first = (out / "a.png").read_bytes()
    assert output_file.is_acuity_png(out / "a.png")
    save(tmp_path / "a.jpg", 200)
    assert "--overwrite" in find(photo, "--overlay", out)[2]
    assert (out / "a.png").read_bytes() == first
    assert find(photo, "--overlay", out, "--overwrite")[0] == 0
    assert (out / "a.png").read_bytes() != first
    assert "--overlay" in find(photo, "--overwrite")[2]


def test_a_drawing_can_be_an_input(find: Find, tmp_path: Path) -> None:
    photo = save(tmp_path / "a.jpg")
    assert find(photo, "--overlay", tmp_path / "out")[0] == 0
    drawing = tmp_path / "out/a.png"
    before = drawing.read_bytes()
    assert find(drawing, "--overlay", tmp_path / "out", "--overwrite")[0] == 2
    assert drawing.read_bytes() == before
    assert find(drawing, "--overlay", tmp_path / "out2")[0] == 0


def test_a_file_that_appears_meanwhile_is_kept(
    find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo, out = save(tmp_path / "a.jpg"), tmp_path / "out"
    save(tmp_path / "b.jpg")
    prepare = overlays.prepare

    def interfere(targets: list[Path]) -> None:
        prepare(targets)
        save(out / "a.png", 1)

    monkeypatch.setattr(overlays, "prepare", interfere)
    code, lines, _ = find(photo, tmp_path / "b.jpg", "--overlay", out)
    assert code == 1
    assert not output_file.is_acuity_png(out / "a.png")
    assert output_file.is_acuity_png(out / "b.png")
    assert any("not drawn" in line for line in lines)


def test_odd_names_have_answers_and_drawings(find: Find, tmp_path: Path) -> None:
    names = ["x" * 251 + ".jpg", "a\nb\x1b[31m.jpg", "stra\udcdfe.jpg",
             "$x_1$.jpg", "-r.jpg", "日本.jpg"]  # fmt: skip
    for name in names:
        try:
            save(tmp_path / "p" / name)
        except (OSError, UnicodeError):
            pytest.skip("this file system takes no such name")
    code, lines, err = find(tmp_path / "p", "--overlay", tmp_path / "out")
    assert (code, len(lines), err) == (0, len(names), "")
    assert not any("\x1b" in line for line in lines)
    assert len(list((tmp_path / "out").iterdir())) == len(names)
