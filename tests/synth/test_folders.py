"""Folders and files are written atomically, and only folders that Acuity wrote are deleted."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from synth import InputError, folders

MARKER = folders.Marker("marker", lambda about: "text" in about)


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


class Stop(BaseException):
    """An exception that no other code raises."""


def stop_building(out: Path, name: str, **flags: Any) -> None:
    """Builds a part of the folder, then fails."""
    with pytest.raises(Stop), folders.stage(out, MARKER, **flags) as building:  # noqa: PT012
        (building / name).write_text("1")
        raise Stop


def mark(folder: Path, text: str = "x") -> None:
    (folder / "marker").write_text(json.dumps({"text": text}))


def text_of(folder: Path) -> str:
    return str(json.loads((folder / "marker").read_text())["text"])


def build(out: Path, text: str = "x", **flags: Any) -> None:
    with folders.stage(out, MARKER, **flags) as building:
        assert building != out
        mark(building, text)


def test_write_takes_text_and_bytes(tmp_path: Path) -> None:
    folders.write(tmp_path / "a", "grüße\n")
    assert (tmp_path / "a").read_bytes() == "grüße\n".encode()
    folders.write(tmp_path / "a", b"\0\r\n")
    assert (tmp_path / "a").read_bytes() == b"\0\r\n"
    assert listing(tmp_path) == ["a"]


def test_a_full_disk_leaves_the_old_file_only(
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


def test_a_staged_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with folders.stage(out, MARKER) as building:
        mark(building)
        assert not out.exists()
    assert text_of(out) == "x"
    assert listing(tmp_path) == ["deep", "deep/out", "deep/out/marker"]


def test_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    build(tmp_path / "out")
    assert listing(tmp_path) == ["out", "out/marker"]


def test_a_failure_leaves_no_files(tmp_path: Path) -> None:
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


def test_the_users_backup_beside_the_folder_is_kept(tmp_path: Path) -> None:
    out, backup = tmp_path / "set", tmp_path / "set.old"
    build(out, "old")
    backup.mkdir()
    (backup / "mine.txt").write_text("my backup")
    build(out, "new", overwrite=True)
    assert text_of(out) == "new"
    assert (backup / "mine.txt").read_text() == "my backup"


def test_a_users_folder_with_the_name_of_the_staging_folder_is_not_overwritten(
    tmp_path: Path,
) -> None:
    out, backup = tmp_path / "set", tmp_path / "set.partial"
    build(out, "old")
    backup.mkdir()
    (backup / "mine.txt").write_text("my backup")
    with pytest.raises(InputError, match="was not written by this command"):
        build(out, "new", overwrite=True)
    assert text_of(out) == "old"
    assert (backup / "mine.txt").read_text() == "my backup"


def test_a_linked_folder_can_be_overwritten(tmp_path: Path) -> None:
    """Datasets are often on another disk, to which a link leads."""
    build(tmp_path / "disk" / "set", "old")
    link = tmp_path / "set"
    link.symlink_to(tmp_path / "disk" / "set")
    build(link, "new", overwrite=True)
    assert text_of(link) == "new"
    assert not [name for name in listing(tmp_path) if ".old" in name or ".partial" in name]


def test_the_current_folder_can_be_the_output_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    build(Path())
    assert text_of(here) == "x"
    assert listing(tmp_path) == ["here", "here/marker"]


def test_unfinished_work_is_kept_until_resume_or_overwrite(tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_building(out, "part", resume=False)
    with pytest.raises(InputError, match=r"--resume.*--overwrite"):
        build(out, resume=False)
    assert (folders.staging_folder(out) / "part").exists()
    with folders.stage(out, MARKER, resume=True) as building:
        assert (building / "part").read_text() == "1"
        mark(building)
    assert listing(tmp_path) == ["out", "out/marker", "out/part"]


def test_overwrite_drops_unfinished_work(tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_building(out, "part", resume=False)
    build(out, overwrite=True, resume=False)
    assert listing(tmp_path) == ["out", "out/marker"]


@pytest.mark.parametrize("text", ["", "null", "[]", '{"other": 1}', '{"text"', "[" * 100_000])
def test_a_marker_is_recognised_by_its_content(tmp_path: Path, text: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "marker").write_text(text)
    (out / "diary").write_text("mine")
    with pytest.raises(InputError, match="a file marker that this command did not write"):
        build(out, overwrite=True)
    assert listing(tmp_path) == ["out", "out/diary", "out/marker"]


def test_a_marker_may_restrict_the_names_in_its_folder(tmp_path: Path) -> None:
    marker = folders.Marker("marker", MARKER.is_ours, lambda name: name.startswith("scene-"))
    out = tmp_path / "out"
    for name in ("scene-1", "holiday.jpg"):
        with folders.stage(out, marker, overwrite=True) as building:
            mark(building)
        (out / name).touch()
    with (
        pytest.raises(InputError, match=r"has a file holiday\.jpg"),
        folders.stage(out, marker, overwrite=True),
    ):
        pass
    assert (out / "holiday.jpg").exists()


def inputs_beside(tmp_path: Path) -> dict[str, tuple[Path, Path]]:
    """Kind of overlap -> (OUT, input); all exist."""
    out = tmp_path / "out"
    build(out)
    for folder in ("out/photos", "photos", "elsewhere"):
        (tmp_path / folder).mkdir()
    (out / "table.csv").touch()
    (tmp_path / "link").symlink_to(out)
    (tmp_path / "photos/results").symlink_to(out / "photos")
    (out / "away").symlink_to(tmp_path / "elsewhere")
    build(tmp_path / "elsewhere/out")
    return {
        "the same": (out, out),
        "OUT holds it": (out, out / "photos"),
        "OUT holds the file": (out, out / "table.csv"),
        "it holds OUT": (tmp_path / "elsewhere/out", tmp_path / "elsewhere"),
        "by a link to OUT": (out, tmp_path / "link"),
        "OUT is the link": (tmp_path / "link", out / "photos"),
        "by a link in it": (out, tmp_path / "photos"),
        "by name alone": (out, out / "away"),
        "with dots": (out, tmp_path / "photos" / ".." / "out" / "photos"),
    }


@pytest.mark.parametrize("overwrite", [False, True])
def test_out_and_inputs_do_not_contain_each_other(tmp_path: Path, overwrite: bool) -> None:
    for kind, (out, read) in inputs_beside(tmp_path).items():
        before = listing(tmp_path)
        with pytest.raises(InputError, match=r"input .*: name another folder"):
            build(out, reads=[read], overwrite=overwrite)
        assert listing(tmp_path) == before, kind


def test_the_unfinished_folder_is_no_input_either(tmp_path: Path) -> None:
    out = tmp_path / "out"
    stop_building(out, "part", resume=False)
    with pytest.raises(InputError, match="is or contains the input"):
        build(out, reads=[folders.staging_folder(out)], overwrite=True, resume=False)
    assert (folders.staging_folder(out) / "part").exists()


def test_an_input_with_a_similar_name_is_none(tmp_path: Path) -> None:
    (tmp_path / "out-photos").mkdir()
    build(tmp_path / "out", reads=[tmp_path / "out-photos"])


def test_files_that_appear_meanwhile_are_kept(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def build_slowly() -> None:
        with folders.stage(out, MARKER, resume=False) as building:
            mark(building)
            out.mkdir()
            (out / "thesis.tex").write_text("years of work")

    with pytest.raises(InputError, match="exists"):
        build_slowly()
    assert (out / "thesis.tex").exists()
    assert text_of(folders.staging_folder(out)) == "x"


def test_one_folder_is_built_once_at_a_time(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with folders.stage(out, MARKER, resume=False) as building:
        for flags in ({"resume": True}, {"overwrite": True}, {}):
            with pytest.raises(InputError, match="is being written"):
                build(out, **flags)
        mark(building)
    assert listing(tmp_path) == ["out", "out/marker"]


STEPS = ["before any", "without the old folder", "before the old one is deleted"]


@pytest.mark.parametrize("resume", [True, False, None])
@pytest.mark.parametrize("step", range(3), ids=STEPS)
def test_an_end_that_was_interrupted_is_put_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, resume: bool | None
) -> None:
    """If a run was killed during its last renames, the next call completes them."""
    out = tmp_path / "out"
    build(out, "old")
    replace, count = os.replace, 0

    def stop(source: Path, target: Path) -> None:
        nonlocal count
        if out in (Path(source), Path(target)) or "replaced" in str(source):
            if count == step:
                os._exit(9)
            count += 1
        replace(source, target)

    child = os.fork()
    if not child:
        monkeypatch.setattr(os, "replace", stop)
        with contextlib.suppress(BaseException):
            build(out, "new", overwrite=True, resume=False, scratch=["journal"])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    if resume:
        with folders.stage(out, MARKER, resume=True) as building:
            assert text_of(building) == "new"
    else:
        with pytest.raises(InputError, match="exists"):
            build(out, "newer", resume=resume)
    assert text_of(out) == "new"
    assert listing(tmp_path) == ["out", "out/marker"]


def test_without_its_successor_the_old_folder_is_restored(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(out, "old")
    out.rename(tmp_path / ".out.acuity-replaced")  # and the new one was deleted by hand
    with pytest.raises(InputError, match="exists"):
        build(out)
    assert text_of(out) == "old"


def test_a_deletion_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    out = tmp_path / "out"
    trash = tmp_path / ".out.acuity-trash-0123456789ab"
    trash.mkdir()
    (trash / "half").touch()
    build(out)
    assert listing(tmp_path) == ["out", "out/marker"]


def test_a_finished_folder_is_not_replaced_by_another_request(tmp_path: Path) -> None:
    """A run was killed at its end; resuming with other options keeps its folder."""
    out = tmp_path / "out"
    build(out, "new")
    (out / folders.UNFINISHED).write_text("whole\n")
    with (
        pytest.raises(InputError, match="other options"),
        folders.stage(out, MARKER, resume=True),
    ):
        raise InputError("started with other options")
    assert text_of(out) == "new"
    assert listing(tmp_path) == ["out", "out/marker"]


def test_names_as_long_as_a_disk_allows(tmp_path: Path) -> None:
    out = tmp_path / ("ä" * 127)
    build(out)
    build(out, "new", overwrite=True)
    folders.write(out / ("n" * 255), "x")
    assert text_of(out) == "new"
    assert len(listing(tmp_path)) == 3


@pytest.mark.parametrize("length", [200, 225, 235, 240, 255])
def test_an_interrupted_deletion_is_finished_for_names_of_any_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    out = tmp_path / ("n" * length)
    build(out)
    monkeypatch.setattr("shutil.rmtree", lambda *args, **options: None)  # as if killed before it
    build(out, "new", overwrite=True)
    monkeypatch.undo()
    assert len(list(tmp_path.iterdir())) == 2
    build(out, "newer", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
