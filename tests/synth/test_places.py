"""Photos and datasets at URLs: the same results as from local folders; one line for a fault."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from object_store import refuse_requests, shard_dataset

from synth import InputError, Recipe, Skipped, dataset, generate, photos, rebuild, verify
from synth.storage import Storage, place_of

Command = Callable[..., Any]
RECIPE = Recipe(size=(64, 64), radius=(8, 12), twins=True, split=(0.5, 0.25, 0.25))


def copy_to(folder: Path, url: str) -> Storage:
    """Copies the files below a folder to a URL."""
    target = place_of(url)
    assert isinstance(target, Storage)
    for path in folder.rglob("*"):
        if path.is_file():
            target.write_bytes(path.relative_to(folder).as_posix(), path.read_bytes())
    return target


@pytest.fixture
def memory() -> str:
    """The URL of an empty folder in memory."""
    return f"memory://{uuid.uuid4().hex}/photos"


def test_a_search_finds_the_same_photos(
    photo_folder: Path, tmp_path: Path, memory: str, save_photos: Any
) -> None:
    folder = save_photos(tmp_path / "photos", ["b.png", "a/z.jpg", ".hidden.png", "x/.y/c.png"])
    (folder / "named.other").write_bytes((photo_folder / "b.jpg").read_bytes())
    (folder / "notes.txt").write_text("text")
    (folder / "raw.nef").write_bytes(b"II*\0")
    (folder / "photos.csv").write_text("file_name,source_url,licence\nb.png,http://x,CC0\n")
    (folder / "manifest.jsonl").write_text("")
    found = photos.search(copy_to(folder, memory))
    assert found == photos.search(folder)
    assert found.names == ["a/z.jpg", "b.png", "named.other"]
    assert sorted(found.passed_over) == ["notes.txt", "raw.nef"]
    assert photos.provenance(place_of(memory), found.names) == {"b.png": ("http://x", "CC0")}


def test_generate_verify_and_rebuild_with_photos_in_memory(
    photo_folder: Path, tmp_path: Path, memory: str, contents: Any
) -> None:
    copy_to(photo_folder, memory)
    generate(memory, tmp_path / "remote", RECIPE)
    generate(photo_folder, tmp_path / "local", RECIPE)
    remote, local = contents(tmp_path / "remote"), contents(tmp_path / "local")
    assert remote == local
    assert verify(tmp_path / "remote", memory) == []
    first = dataset.read(tmp_path / "local")["file_name"].iloc[0]
    assert rebuild(tmp_path / "local", 0, memory) == (tmp_path / "local" / first).read_bytes()


def test_photos_are_skipped_for_the_same_reasons(
    tmp_path: Path, memory: str, save_photos: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_photos(tmp_path / "photos", ["a.png", "b.png", "c.png"])
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    monkeypatch.setattr("synth.limits.BYTES", (folder / "c.png").stat().st_size - 1)
    copy_to(folder, memory)
    for name in ("b.png", "c.png", "none.png"):
        with pytest.raises(Skipped) as local:
            photos.read(folder, name)
        with pytest.raises(Skipped) as remote:
            photos.read(place_of(memory), name)
        assert str(local.value) == str(remote.value)


def test_wrong_places_give_one_line(tmp_path: Path, memory: str, command: Command) -> None:
    copy_to_be = place_of(memory)
    assert isinstance(copy_to_be, Storage)
    for url, message in [
        (memory, f"no folder of photos at {memory}: check the URL and the bucket's name"),
        ("nope://x/y", "'nope' is no known scheme"),
    ]:
        answer = command("generate", url, tmp_path / "set")
        assert answer.code == 2
        assert len(answer.err) == 1
        assert message in answer.err[0]
    copy_to_be.write_bytes("notes.txt", b"text")
    answer = command("generate", memory, tmp_path / "set")
    assert (answer.code, len(answer.err)) == (2, 1)
    assert f"no picture file in {memory} (1 file or folder passed over" in answer.err[0]
    answer = command("verify", memory)
    assert (answer.code, len(answer.err)) == (2, 1)
    assert "has no manifest.json" in answer.err[0]
    assert not (tmp_path / "set").exists()


def test_the_home_folder_is_replaced_in_places(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.setenv("HOME", str(photo_folder.parent))
    out = tmp_path / "set"
    flags = ["--size", "64x64", "--radius", "8:12", "--workers", 1]
    answer = command("generate", f"~/{photo_folder.name}", out, *flags)
    assert (answer.code, answer.err) == (0, [])
    answer = command("verify", out, "--photos", f"~/{photo_folder.name}")
    assert answer.code == 0
    assert answer.out == [f"{out}: all rows are correct; checked files, table and pixels"]


def test_s3_photos_and_dataset(
    photo_folder: Path, tmp_path: Path, bucket: str, upload: Any, command: Command
) -> None:
    """The small test of the default suite with a real S3 server."""
    url = upload(photo_folder, bucket, "all photos")
    flags = ["--size", "64x64", "--radius", "8:12", "--workers", 1]
    answer = command("generate", url, tmp_path / "set", *flags)
    assert (answer.code, answer.err) == (0, [])
    shard_dataset(tmp_path / "set", f"s3://{bucket}/set", rows=4, group=2)
    table = dataset.read(f"s3://{bucket}/set")
    pd.testing.assert_frame_equal(table, dataset.read(tmp_path / "set"))
    answer = command("verify", f"s3://{bucket}/set", "--photos", url)
    assert answer.code == 0
    assert answer.out == [
        f"s3://{bucket}/set: all rows are correct; checked files, table and pixels"
    ]


@pytest.mark.slow
def test_s3_with_worker_processes(
    photo_folder: Path, tmp_path: Path, bucket: str, upload: Any, contents: Any
) -> None:
    url = upload(photo_folder, bucket, "photos")
    generate(url, tmp_path / "remote", RECIPE, workers=2)
    generate(photo_folder, tmp_path / "local", RECIPE)
    remote, local = contents(tmp_path / "remote"), contents(tmp_path / "local")
    assert remote == local


@pytest.mark.slow
def test_s3_faults_give_one_line(
    photo_folder: Path,
    tmp_path: Path,
    s3_server: str,
    bucket: str,
    upload: Any,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = upload(photo_folder, bucket, "photos")
    out = tmp_path / "set"

    def line(*arguments: object) -> str:
        answer = command(*arguments)
        assert answer.code == 2
        assert len(answer.err) == 1
        return str(answer.err[0])

    for missing in (f"s3://none-{bucket}/photos", f"s3://{bucket}/none"):
        assert f"no folder of photos at {missing}: check the URL" in line("generate", missing, out)
        assert "does not exist" in line("verify", missing)
    with refuse_requests(s3_server):
        assert "permission denied; check the credentials" in line("generate", url, out)
        assert "permission denied; check the credentials" in line("verify", url)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "the server cannot be reached" in line("generate", url, out)
    assert "the server cannot be reached" in line("verify", url)
    assert not out.exists()


@pytest.mark.slow
def test_an_empty_bucket_has_no_photo(bucket: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no picture file in s3://{bucket}: put JPEG or PNG"):
        generate(f"s3://{bucket}", tmp_path / "set")


@pytest.mark.slow
def test_a_server_that_stops_ends_the_run_and_keeps_its_results(
    photo_folder: Path,
    tmp_path: Path,
    s3_server: str,
    bucket: str,
    upload: Any,
    monkeypatch: pytest.MonkeyPatch,
    contents: Any,
) -> None:
    """No photo is skipped because the server was away; --resume gives the whole dataset."""
    url = upload(photo_folder, bucket, "photos")
    original = photos.decoding.decode
    decoded: list[int] = []

    def stop_after_two(*arguments: Any, **options: Any) -> Any:
        decoded.append(1)
        if len(decoded) == 2:
            monkeypatch.setattr(Storage, "open", unreachable)
        return original(*arguments, **options)

    def unreachable(self: Storage, name: str) -> Any:
        raise OSError(f"When reading '{name}': AWS Error NETWORK_CONNECTION during HeadObject")

    with monkeypatch.context() as patched:
        patched.setattr(photos.decoding, "decode", stop_after_two)
        monkeypatch = patched
        with pytest.raises(InputError, match=r"the server cannot be reached.*--resume"):
            generate(url, tmp_path / "set", RECIPE)
    assert not (tmp_path / "set").exists()
    generate(url, tmp_path / "set", RECIPE, resume=True)
    generate(photo_folder, tmp_path / "local", RECIPE)
    assert contents(tmp_path / "set") == contents(tmp_path / "local")
