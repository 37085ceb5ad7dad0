"""Sharded datasets: the same table and files as in the folder that they are made from."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from object_store import shard_dataset

from synth import (
    InputError,
    Skipped,
    dataset,
    exporting,
    read,
    rebuild,
    shard_reader,
    shards,
    verify,
)
from synth.preview import preview
from synth.shards import open_shards

Command = Callable[..., Any]
NAMES = list(dataset.IMAGE_FOLDERS)


@pytest.fixture
def copy_of_shards(sharded_set: Path, tmp_path: Path) -> Path:
    return shutil.copytree(sharded_set, tmp_path / "set")


def names_of(table: pd.DataFrame) -> list[str]:
    return [name for name in np.concatenate([table[column] for column in NAMES]) if name]


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / shards.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_table_and_all_files_are_those_of_the_folder(
    small_set: Path, sharded_set: Path
) -> None:
    table = read(sharded_set)
    pd.testing.assert_frame_equal(table, read(small_set))
    files = dataset.open_files(sharded_set)
    for name in names_of(table):
        assert files.has(name)
        assert files.read_bytes(name) == (small_set / name).read_bytes()
    assert not files.has("images/none.jpg")
    with pytest.raises(Skipped, match="missing"):
        files.read_bytes("images/none.jpg")


def test_rows_in_order_read_each_row_group_once(
    sharded_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_groups: list[tuple[int, str]] = []
    original = shard_reader.OpenShard.read_group

    def counted(self: Any, group: int, column: str) -> Any:
        read_groups.append((id(self), group, column))  # type: ignore[arg-type]
        return original(self, group, column)

    monkeypatch.setattr(shard_reader.OpenShard, "read_group", counted)
    files = dataset.open_files(sharded_set)
    table = dataset.parse(files)
    for row in table.to_dict("records"):
        for column in NAMES:
            files.read_bytes(row[column])
    assert len(read_groups) == len(set(read_groups)) == 3 * (3 + 3 + 1)


def test_kept_row_groups_are_bounded(sharded_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_reader, "CACHE", 1)
    monkeypatch.setattr(shard_reader, "OPEN_SHARDS", 1)
    files = open_shards(sharded_set)
    names = names_of(read(files))
    expected = {name: dataset.open_files(sharded_set).read_bytes(name) for name in names}
    shuffled = np.random.default_rng(0).permutation(names).tolist()
    assert {name: files.read_bytes(name) for name in shuffled} == expected
    assert len(files._reader._groups) == len(shards.PICTURES)
    assert len(files._reader._open) == 1


def test_files_can_be_sent_to_processes_and_used_by_threads(sharded_set: Path) -> None:
    files = open_shards(sharded_set)
    names = names_of(read(files))
    expected = [files.read_bytes(name) for name in names]
    sent = pickle.loads(pickle.dumps(files))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(sent.read_bytes, names)) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_fork_reads_although_its_parent_held_the_lock(sharded_set: Path) -> None:
    files = open_shards(sharded_set)
    name = names_of(read(files))[0]
    expected = files.read_bytes(name)
    with files._reader._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if files.read_bytes(name) == expected else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_a_name_with_the_hash_of_another_is_not_that_file(
    sharded_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "_hash", lambda names: np.zeros(len(names), np.uint64))
    files = open_shards(sharded_set)
    names = names_of(read(files))
    honest = [dataset.open_files(sharded_set).read_bytes(name) for name in names[:6]]
    assert [files.read_bytes(name) for name in names[:6]] == honest
    with pytest.raises(Skipped):
        files.read_bytes("images/none.jpg")


def test_verify_finds_no_fault_with_photos(sharded_set: Path, scene_folder: Path) -> None:
    assert verify(sharded_set) == verify(sharded_set, scene_folder) == []


def test_verify_names_shards_that_differ(copy_of_shards: Path, command: Command) -> None:
    parts = sorted((copy_of_shards / shards.SHARDS).iterdir())
    data = bytearray(parts[0].read_bytes())
    data[len(data) // 2] ^= 1
    parts[0].write_bytes(data)
    with parts[1].open("ab") as file:
        file.write(b"x")
    parts[2].unlink()
    problems = verify(copy_of_shards)
    assert [problem.row for problem in problems] == [0, 10, 20]
    assert [str(problem) for problem in problems] == [
        "shards/part-000000.parquet: its SHA-256 is not that in the manifest",
        f"shards/part-000001.parquet: it has {parts[1].stat().st_size} bytes, in the manifest "
        f"{parts[1].stat().st_size - 1}",
        "shards/part-000002.parquet: it is missing",
    ]
    answer = command("verify", copy_of_shards)
    assert answer.code == 1
    assert answer.out[-1].endswith(
        "3 shards differ from manifest.json; their rows were not checked"
    )


def test_verify_finds_another_number_of_rows(copy_of_shards: Path) -> None:
    listed = json.loads((copy_of_shards / shards.MANIFEST).read_text())["shards"]
    listed[1]["rows"] = 9
    edit_manifest(copy_of_shards, shards=listed)
    assert ["rows" in str(problem) for problem in verify(copy_of_shards)] == [True]
    with pytest.raises(InputError, match="10 rows, in the manifest 9"):
        read(copy_of_shards)


def test_verify_finds_faults_of_rows(
    small_set: Path, tmp_path: Path, scene_folder: Path, retabled: Any
) -> None:
    table = pd.read_csv(small_set / "metadata.csv", dtype=object)
    first, second, third = np.flatnonzero(table["label"] == "1")[:3]
    table.loc[first, "width"] = "95"
    table.loc[second, "x"] = str(float(table["x"][second]) + 1)
    table.loc[third, "discolor_ratio"] = "1.01"
    changed = retabled(small_set, tmp_path / "changed", table)
    for name in (dataset.RECIPE, "skipped.csv", "README.md"):
        shutil.copy(small_set / name, changed / name)
    place = shard_dataset(changed, tmp_path / "sharded").place
    assert list(map(str, verify(place, scene_folder))) == list(
        map(str, verify(changed, scene_folder))
    )
    assert {problem.row for problem in verify(place, scene_folder)} == {first, second, third}


def test_rebuild_compares_with_the_bytes_in_the_shard(
    sharded_set: Path, scene_folder: Path, small_set: Path, tmp_path: Path, command: Command
) -> None:
    name = read(small_set)["file_name"].iloc[17]
    assert rebuild(sharded_set, 17, scene_folder) == (small_set / name).read_bytes()
    out = tmp_path / "row.jpg"
    answer = command("rebuild", sharded_set, 17, "--photos", scene_folder, "--out", out)
    assert (answer.code, answer.err) == (0, [])
    size = len(out.read_bytes())
    assert answer.out == [f"{out}: the same {size} bytes as {sharded_set / name}"]


@pytest.mark.parametrize("form", exporting.FORMATS)
def test_exports_are_those_of_the_folder(
    form: str, small_set: Path, sharded_set: Path, tmp_path: Path, contents: Any
) -> None:
    named = tmp_path / "small"  # the name of the dataset is in the files
    named.symlink_to(sharded_set)
    for folder, out in ((small_set, "from-folder"), (sharded_set, "from-shards")):
        exporting.export(folder, tmp_path / out, form)
    first, second = contents(tmp_path / "from-folder"), contents(tmp_path / "from-shards")
    renamed = {
        name.replace("sharded/", "small/"): data.replace(b"sharded", b"small")
        for name, data in second.items()
    }
    assert renamed == {name: data.replace(b"sharded", b"small") for name, data in first.items()}


def test_the_preview_is_that_of_the_folder(small_set: Path, sharded_set: Path) -> None:
    below = 46  # px, under the title with the name
    assert np.array_equal(preview(small_set)[below:], preview(sharded_set)[below:])


def test_an_unfinished_dataset_is_refused(copy_of_shards: Path, command: Command) -> None:
    (copy_of_shards / shards.MANIFEST).unlink()
    answer = command("verify", copy_of_shards)
    assert (answer.code, answer.err) == (
        2,
        [f"synth: {copy_of_shards} is unfinished: continue with synth generate --resume"],
    )
    shutil.rmtree(copy_of_shards / shards.SHARDS)
    (copy_of_shards / shards.UNFINISHED).mkdir()
    (copy_of_shards / shards.UNFINISHED / "request.json").write_text("{}")
    with pytest.raises(InputError, match="unfinished"):
        read(copy_of_shards)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "holds a list"),
        ("{", "not JSON"),
        ('{"form": "folder", "shards": []}', "form"),
        ('{"form": "shards"}', "list of shards"),
        ('{"form": "shards", "shards": [{"name": "a"}]}', "list of shards"),
        ('{"form": "shards", "shards": [3]}', "list of shards"),
        ('{"form": "shards", "shards": []}', "no rows"),
    ],
)
def test_a_damaged_manifest_is_refused(copy_of_shards: Path, text: str, message: str) -> None:
    (copy_of_shards / shards.MANIFEST).write_text(text)
    with pytest.raises(InputError, match=message):
        read(copy_of_shards)


def test_a_damaged_shard_is_refused(copy_of_shards: Path, command: Command) -> None:
    part = copy_of_shards / shards.SHARDS / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    answer = command("preview", copy_of_shards, "--out", copy_of_shards / "sheet.png")
    assert answer.code == 2
    assert len(answer.err) == 1
    assert f"{part} cannot be read" in answer.err[0]


def test_the_fingerprint_is_that_of_the_manifest(copy_of_shards: Path) -> None:
    before = dataset.fingerprint(dataset.open_files(copy_of_shards))
    edit_manifest(copy_of_shards, count=3)
    assert dataset.fingerprint(dataset.open_files(copy_of_shards)) != before


def test_a_dataset_in_memory_of_fsspec(small_set: Path) -> None:
    place = shard_dataset(small_set, "memory://sets/small").place
    pd.testing.assert_frame_equal(read(place), read(small_set))
    assert verify(place) == []


def test_a_file_url_is_the_local_folder(small_set: Path, sharded_set: Path) -> None:
    for folder in (small_set, sharded_set):
        table = read(folder.as_uri())
        assert table.attrs["folder"] == str(folder)
        pd.testing.assert_frame_equal(table, read(folder))
