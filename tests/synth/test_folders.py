"""Folders and files are there whole or not at all, and nobody else's are deleted."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from synth import InputError, folders

MARKER = folders.Marker("marker", lambda about: "text" in about)


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


class Stop(BaseException):
    """Neither an error nor an interruption that anything else could raise."""


def stop_building(out: Path, name: str, **flags: Any) -> None:
    """Build half of it, then fail."""
    with pytest.raises(Stop), folders.staged(out, MARKER, **flags) as building:  # noqa: PT012
        (building / name).write_text("1")
        raise Stop


def mark(folder: Path, text: str = "x") -> None:
    (folder / "marker").write_text(json.dumps({"text": text}))


def text_of(folder: Path) -> str:
    return str(json.loads((folder / "marker").read_text())["text"])


def build(out: Path, text: str = "x", **flags: Any) -> None:
    with folders.staged(out, MARKER, **flags) as building:
        assert building != out
        mark(building, text)


def test_write_takes_text_and_bytes(tmp_path: Path) -> None:
    folders.write(tmp_path / "a", "grüße\n")
    assert (tmp_path / "a").read_bytes() == "grüße\n".encode()
    folders.write(tmp_path / "a", b"\0\r\n")
    assert (tmp_path / "a").read_bytes() == b"\0\r\n"
    assert listing(tmp_path) == ["a"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    whole = Path.write_bytes

    def half(self: Path, data: bytes) -> int:
        whole(self, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OSError, match="No space"):
        folders.write(tmp_path / "a", b"newer and longer")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert listing(tmp_path) == ["a"]


def test_staged_appears_when_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with folders.staged(out, MARKER) as building:
        mark(building)
        assert not out.exists()
    assert text_of(out) == "x"
    assert listing(tmp_path) == ["deep", "deep/out", "deep/out/marker"]


def test_staged_takes_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    build(tmp_path / "out")
    assert listing(tmp_path) == ["out", "out/marker"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    stop_building(tmp_path / "out", "part")
    assert listing(tmp_path) == []


def test_a_failure_while_overwriting_keeps_the_old(tmp_path: Path) -> None:
    build(tmp_path / "out", "old")
    stop_building(tmp_path / "out", "marker", overwrite=True)
    assert text_of(tmp_path / "out") == "old"
    assert listing(tmp_path) == ["out", "out/marker"]


def test_overwrite_replaces_ours_alone(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(out, "old")
    (out / "more").write_text("goes")
    with pytest.raises(InputError, match="--overwrite"):
        build(out)
    build(out, "new", overwrite=True)
    assert listing(tmp_path) == ["out", "out/marker"]
    assert text_of(out) == "new"
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="not overwritten"):
        build(foreign, overwrite=True)
    assert (foreign / "thesis.tex").read_text() == "years of work"
    (tmp_path / "file").write_text("mine")
    for flags in ({}, {"overwrite": True}):
        with pytest.raises(InputError, match="is a file"):
            build(tmp_path / "file", **flags)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("suffix", ["old", "partial"])
def test_the_users_own_neighbours_are_not_deleted(tmp_path: Path, suffix: str) -> None:
    """A backup called set.old, beside set, is the user's."""
    out, backup = tmp_path / "set", tmp_path / f"set.{suffix}"
    build(out, "old")
    backup.mkdir()
    (backup / "mine.txt").write_text("my backup")
    try:
        build(out, "new", overwrite=True)
    except InputError:
        assert text_of(out) == "old"
    else:
        assert text_of(out) == "new"
    assert (backup / "mine.txt").read_text() == "my backup"


def test_a_linked_folder_can_be_overwritten(tmp_path: Path) -> None:
    """Datasets often live on another disk, behind a link."""
    build(tmp_path / "disk" / "set", "old")
    link = tmp_path / "set"
    link.symlink_to(tmp_path / "disk" / "set")
    build(link, "new", overwrite=True)
    assert text_of(link) == "new"
    assert not [name for name in listing(tmp_path) if ".old" in name or ".partial" in name]


def test_the_current_folder_is_a_folder_like_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    try:
        build(Path())
    except InputError:
        return
    assert text_of(here) == "x"
    assert listing(tmp_path) == ["here", "here/marker"]


def test_unfinished_work_is_kept_and_asked_about(tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_building(out, "part", resume=False)
    with pytest.raises(InputError, match=r"--resume.*--overwrite"):
        build(out, resume=False)
    assert (folders.partial(out) / "part").exists()
    with folders.staged(out, MARKER, resume=True) as building:
        assert (building / "part").read_text() == "1"
        mark(building)
    assert listing(tmp_path) == ["out", "out/marker", "out/part"]


def test_overwrite_drops_unfinished_work(tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_building(out, "part", resume=False)
    build(out, overwrite=True, resume=False)
    assert listing(tmp_path) == ["out", "out/marker"]
