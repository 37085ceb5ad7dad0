"""The search for photos: by suffix or content, through links, with a list of other files."""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from synth import InputError, Recipe, Skipped, console, decoding, generate, photo_search, photos
from synth.cli import app

SMALL = Recipe(size=(64, 48), radius=(5, 10), codec="png")


def picture(kind: str = "PNG", seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def put(folder: Path, *names: str, data: bytes = b"") -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data or picture(seed=number))


def test_links_to_folders_are_followed_once_and_never_up(tmp_path: Path) -> None:
    put(tmp_path / "store", "trip/a.png", "trip/deep/b.png", "other/c.png")
    lib = tmp_path / "lib"
    put(lib, "own.png", "z/sub/d.png")
    (lib / "trip").symlink_to(tmp_path / "store" / "trip")
    (lib / "again").symlink_to(lib / "z")  # read under its own name
    (lib / "twice").symlink_to(tmp_path / "store" / "trip" / "deep")
    (lib / "z" / "self").symlink_to(lib)
    (lib / "up").symlink_to("..")
    (tmp_path / "store" / "trip" / "deep" / "back").symlink_to(tmp_path / "store" / "trip")
    (tmp_path / "store" / "trip" / "out").symlink_to(tmp_path / "store" / "other")
    found = photo_search.search(lib)
    assert found.names == [
        "own.png",
        "trip/a.png",
        "trip/deep/b.png",
        "trip/out/c.png",
        "z/sub/d.png",
    ]
    assert set(found.passed_over) == {
        "again/", "twice/", "up/", "z/self/", "trip/deep/back/",
    }  # fmt: skip
    assert "folder itself" in found.passed_over["z/self/"]
    assert "contains this one" in found.passed_over["up/"]
    linked = tmp_path / "linked"
    linked.symlink_to(lib)
    assert photos.find(linked) == found.names


def test_content_decides_where_the_suffix_says_nothing(tmp_path: Path) -> None:
    kinds = ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM"]
    kinds += ["AVIF"] if features.check("avif") else []
    for kind in kinds:
        assert decoding.image_format(picture(kind)[: decoding.HEAD]) == kind
        (tmp_path / f"plain {kind}").write_bytes(picture(kind))
        (tmp_path / f"odd.{kind}.bak").write_bytes(picture(kind))
    put(tmp_path, "UPPER.JPG", "mixed.TiFf", ".hidden")
    for name, data in {
        "BMW.txt": b"BMW is a car, and this is a text about it",
        "P5.txt": b"P5",
        "empty": b"",
        "page.html": b"<html>",
        "scan.jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
        "new.jxl": b"\xff\x0a" + bytes(40),
        "camera.CR2": picture("TIFF"),
    }.items():
        (tmp_path / name).write_bytes(data)
    found = photo_search.search(tmp_path)
    assert len(found.names) == 2 * len(kinds) + 2
    for name in found.names:
        assert photos.read(tmp_path, name).picture.size == (80, 60)
    assert found.passed_over["BMW.txt"] == found.passed_over["empty"] == "not a picture"
    assert "JPEG 2000" in found.passed_over["scan.jp2"]
    assert "JPEG XL" in found.passed_over["new.jxl"]
    assert "raw" in found.passed_over["camera.CR2"]
    assert set(found.passed_over) == {
        "BMW.txt", "P5.txt", "empty", "page.html", "scan.jp2", "new.jxl", "camera.CR2",
    }  # fmt: skip
    assert found.summary().startswith("7 files or folders passed over: 4 x not a picture")


def test_pipes_and_dangling_links_are_never_opened(tmp_path: Path) -> None:
    put(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone.png").symlink_to("nowhere")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "null").symlink_to(os.devnull)
    found = photo_search.search(tmp_path)
    assert found.names == ["a.png"]
    assert found.passed_over["pipe.jpg"] == found.passed_over["pipe"] == "a named pipe"
    assert found.passed_over["gone.png"] == "a broken link"
    assert found.passed_over["null"] == "a device"
    assert "round" in found.passed_over
    with pytest.raises(Skipped, match="not a file"):
        photos.read(tmp_path, "pipe.jpg")


def test_unreadable_files_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is simulated, because root can read every folder."""
    put(tmp_path, "a.png", "shut/b.png")
    original = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).rstrip("/").endswith("shut"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return original(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = photo_search.search(tmp_path)
    assert found.names == ["a.png"]
    assert found.passed_over == {"shut/": "folder cannot be read: Permission denied"}
    with pytest.raises(InputError, match=r"shut.*cannot be read: Permission denied"):
        photos.find(tmp_path / "shut")


def test_without_photos_the_files_passed_over_are_listed(tmp_path: Path) -> None:
    put(tmp_path, "a.txt", data=b"text")
    put(tmp_path, "b.jxl", data=b"\xff\x0a" + bytes(40))
    with pytest.raises(InputError, match=r"no picture file .*1 x JPEG XL.*put JPEG") as caught:
        photos.find(tmp_path)
    assert "1 x not a picture" in str(caught.value)


def test_generate_lists_and_counts_the_files_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "photos"
    put(source, "a.png", "photos.csv", "manifest.jsonl")
    put(source, "b.png", data=b"broken")
    put(source, "notes.txt", "sub/list.json", data=b"{}")
    (source / "photos.csv").write_text("file_name,licence\na.png,CC0\n")
    arguments = ["generate", str(source), str(tmp_path / "set"), "--size", "64x48"]
    assert console.run(app, "synth", [*arguments, "--radius", "5:10", "--workers", "1"]) == 0
    shown = capsys.readouterr()
    assert "2 files or folders passed over: 2 x not a picture; see" in shown.out
    assert "1 photos skipped" in shown.out
    with (tmp_path / "set" / "skipped.csv").open(newline="") as lines:
        reasons = {row["photo"]: row["reason"] for row in csv.DictReader(lines)}
    assert set(reasons) == {"b.png", "notes.txt", "sub/list.json"}
    table = generate(source, tmp_path / "again", SMALL)
    assert set(table.attrs["skipped"]) == {"b.png"}
    assert set(table.attrs["passed_over"]) == {"notes.txt", "sub/list.json"}


def test_heic_is_read_or_its_reader_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    pixels = np.kron(np.arange(12).reshape(3, 4), np.ones((20, 20)))[..., None] * [20, 10, 5]
    image = Image.fromarray(pixels.astype(np.uint8))
    heif.from_pillow(image).save(tmp_path / "a.HEIC", quality=95)
    shutil.copy(tmp_path / "a.HEIC", tmp_path / "no suffix")
    assert photos.find(tmp_path) == ["a.HEIC", "no suffix"]
    found = photos.read(tmp_path, "a.HEIC").pixels
    assert np.abs(found.astype(int) - pixels).mean() < 4
    monkeypatch.setattr(decoding.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Skipped, match="pip install pillow-heif"):
        photos.read(tmp_path, "a.HEIC")
