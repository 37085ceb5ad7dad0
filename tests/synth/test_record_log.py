"""Reading a damaged log gives its first records or one error line, never other records."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synth import InputError
from synth.record_log import RecordLog

REQUEST = {"count": 3, "files": "abc"}
RECORDS = [{"row": i, "text": "ä\n" * i} for i in range(8)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("log") / "journal.jsonl"
    fill(path, RECORDS)
    return path.read_bytes()


def fill(path: Path, records: list[Any]) -> None:
    with closing(RecordLog(path, REQUEST)) as log:
        for record in records:
            log.append(record)


def test_written_records_are_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    fill(path, RECORDS[:5])
    with closing(RecordLog(path, REQUEST)) as log:
        assert log.count == 5
        assert list(log.read()) == RECORDS[:5]
        assert list(log.read(2)) == RECORDS[:2]
        for record in RECORDS[5:]:
            log.append(record)
        assert list(log.read()) == RECORDS


def test_another_request_is_refused_by_name(tmp_path: Path) -> None:
    fill(tmp_path / "log", RECORDS)
    with pytest.raises(InputError, match="another count: resume with the same"):
        RecordLog(tmp_path / "log", REQUEST | {"count": 4})
    with pytest.raises(InputError, match="another files"):
        RecordLog(tmp_path / "log", {"count": 3})


def damage(data: bytes, kind: str, at: int, length: int) -> bytes:
    """Log bytes -> the same with one kind of damage."""
    lines = data.splitlines(keepends=True)
    k = at % len(lines)
    match kind:
        case "zeros":
            end = min(at + length, len(data))
            return data[:at] + bytes(end - at) + data[end:]
        case "bit":
            return data[:at] + bytes([data[at] ^ (1 << length % 8)]) + data[at + 1 :]
        case "cut":
            return data[:at]
        case "lost":
            return data[:at] + data[at + length :]
        case "line lost":
            return b"".join(lines[:k] + lines[k + 1 :])
        case "line twice":
            return b"".join([*lines[: k + 1], *lines[k:]])
        case "lines exchanged":
            lines[k], lines[-1] = lines[-1], lines[k]
            return b"".join(lines)
        case _:
            return b"".join([*lines[:k], b"null\n", *lines[k + 1 :]])


KINDS = ["zeros", "bit", "cut", "lost", "line lost", "line twice", "lines exchanged", "null"]


@given(kind=st.sampled_from(KINDS), data=st.data())
def test_damage_never_gives_other_records(
    written: bytes, tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(written) - 1))
    damaged = damage(written, kind, at, data.draw(st.integers(1, 300)))
    path = tmp_path_factory.mktemp("damaged") / "log"
    path.write_bytes(damaged)
    try:
        log = RecordLog(path, REQUEST)
    except InputError as error:
        if "is damaged: pass --overwrite" not in str(error):
            raise
        return
    with closing(log):
        assert list(log.read()) == RECORDS[: log.count]
        for record in RECORDS[log.count :]:
            log.append(record)
        assert list(log.read()) == RECORDS
    assert path.read_bytes() == written


def test_records_without_checksums_are_refused(tmp_path: Path) -> None:
    """As earlier versions wrote them."""
    (tmp_path / "log").write_text(json.dumps(REQUEST) + "\n" + json.dumps(RECORDS[0]) + "\n")
    with pytest.raises(InputError, match="is damaged"):
        RecordLog(tmp_path / "log", REQUEST)
