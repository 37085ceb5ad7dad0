"""Digests of run folders: what differs from what training wrote is refused."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localize import registry
from localize.run_files import (
    RUN_FILE,
    SHIPPED,
    check_file,
    read_file,
    read_run,
    read_with_checksum,
    write_run,
    write_with_checksum,
)
from synth import InputError
from synth.json_files import Damaged

ABOUT = {
    "method": "cnn-fast", "options": {"input": (48, 32), "raw": False}, "mean": [1.5, 1e-6],
    "val_distance": float("nan"), "name": "straße",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "one"
    folder.mkdir()
    (folder / "best.safetensors").write_bytes(os.urandom(1000))
    write_run(folder, dict(ABOUT), ["best.safetensors"])
    return folder


def test_what_was_written_is_read(run: Path) -> None:
    about = read_run(run)
    assert about["options"]["input"] == [48, 32]
    assert read_file(run, "best.safetensors") == (run / "best.safetensors").read_bytes()
    assert check_file(run, "best.safetensors") == run / "best.safetensors"
    write_run(run, about | {"val_centre_distance": 3.5})  # as train does once more
    assert read_run(run)["files"] == about["files"]
    assert read_file(run, "best.safetensors")


@given(st.integers(0, 7999))
def test_a_flipped_bit_in_a_file_is_noticed(run: Path, bit: int) -> None:
    path = run / "best.safetensors"
    before = path.read_bytes()
    data = bytearray(before)
    data[bit // 8] ^= 1 << bit % 8
    try:
        path.write_bytes(data)
        for read in (read_file, check_file):
            with pytest.raises(InputError, match=r"best\.safetensors is damaged: train again"):
                read(run, "best.safetensors")
    finally:
        path.write_bytes(before)


def test_a_flipped_bit_in_the_description_is_noticed_or_changes_nothing(run: Path) -> None:
    path = run / RUN_FILE
    before, about = path.read_bytes(), repr(read_run(run))
    refused = 0
    try:
        for bit in range(0, 8 * len(before), 3):
            data = bytearray(before)
            data[bit // 8] ^= 1 << bit % 8
            path.write_bytes(data)
            with contextlib.suppress(InputError):
                refused += 1
                assert repr(read_run(run)) == about  # a blank, or the case of an escape
                refused -= 1
    finally:
        path.write_bytes(before)
    assert refused > len(before)


@pytest.mark.parametrize(
    "text", ["null", "5", "[]", "[" * 100_000, "9" * 6000, '{"method": {}}', '{"method": 5}', "{"]
)
def test_a_description_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / RUN_FILE).write_text(text)
    with pytest.raises(InputError, match="damaged"):
        registry.load(tmp_path)


def test_a_missing_file_is_named(run: Path) -> None:
    for read in (read_file, check_file):
        with pytest.raises(InputError, match=r"last\.safetensors is missing"):
            read(run, "last.safetensors")


def test_a_file_without_a_digest_is_refused_beside_others_that_have_one(
    run: Path, tmp_path: Path
) -> None:
    for name in (RUN_FILE, "best.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    (tmp_path / "last.safetensors").write_bytes(b"from elsewhere")
    with pytest.raises(InputError, match=r"last\.safetensors is damaged"):
        read_file(tmp_path, "last.safetensors")


def test_run_folders_of_earlier_versions_are_read(tmp_path: Path) -> None:
    (tmp_path / "bank.safetensors").write_bytes(b"bank")
    right = "a8ca71ba0fdf32d5caeeea4bb98ba1b3b6f87b3e5b29a9d97b1cd0d8cdd1a7a0"
    for earlier in ({}, {"sha256": right}, {"sha256": {"bank.safetensors": right}}):
        (tmp_path / RUN_FILE).write_text(json.dumps({"method": "patchcore"} | earlier))
        if earlier:
            with pytest.raises(InputError, match="damaged"):
                read_file(tmp_path, "bank.safetensors")
        else:
            assert read_file(tmp_path, "bank.safetensors") == b"bank"


def test_the_weights_that_come_along_have_digests() -> None:
    run = SHIPPED / "ringvote"
    assert set(read_run(run)["files"]) == {"best.safetensors"}
    assert read_file(run, "best.safetensors")


@given(st.binary(max_size=200), st.text(max_size=20), st.data())
def test_sealed_files(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, use: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("sealed") / "file"
    write_with_checksum(path, content, use)
    assert read_with_checksum(path, use) == content
    with pytest.raises(Damaged):
        read_with_checksum(path, use + "x")
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    path.write_bytes(whole[:at])
    with pytest.raises(Damaged):
        read_with_checksum(path, use)
    whole[at] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    with pytest.raises(Damaged):
        read_with_checksum(path, use)
