"""An append-only file of JSON records with checksums: the progress of a run that may stop."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from synth.errors import InputError
from synth.run_request import check_same_request

_DIGEST = 8  # bytes of a checksum: a damaged record passes once in 2**64


class RecordLog:
    """Records in order, each in the file before :meth:`append` returns.

    A line is a checksum, a blank and a record in JSON. The checksum covers the record and the
    checksum of the line before, so a line that is lost, doubled or moved shows as well. The
    first line that does not match ends the log: it and what follows are cut off when the log
    is opened, and are made again.

    Args:
        path: the file; started where there is none.
        request: what the run was asked for, in JSON types; the first record. A run that goes
            on must ask for the same.

    Raises:
        InputError: the run in the file asked for something else, or its first line is damaged.
    """

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self.path = path
        self.count = 0  # records that an earlier run left
        request = json.loads(json.dumps(request))
        self._last = b""
        size = 0
        if path.is_file():
            for checksum, value, line in _valid_lines(path):
                if not size:
                    check_same_request(value, request, path.parent)
                else:
                    self.count += 1
                self._last, size = checksum, size + len(line)
            if not size and path.stat().st_size:
                raise InputError(
                    f"{path} is damaged: pass --overwrite to drop the unfinished run "
                    f"in {path.parent}"
                )
            os.truncate(path, size)
        self._file = path.open("ab")
        if not size:
            self._write(request)

    def append(self, record: Any) -> None:
        """Add a record of JSON types; it is with the operating system when this returns."""
        self._write(record)

    def read(self, count: int | None = None) -> Iterator[Any]:
        """The first ``count`` records in order, or all, one in memory at a time."""
        for _, value, _ in islice(_valid_lines(self.path), 1, None if count is None else 1 + count):
            yield value

    def close(self) -> None:
        self._file.close()

    def _write(self, record: Any) -> None:
        text = json.dumps(record).encode()
        checksum = _checksum(self._last, text)
        self._file.write(checksum + b" " + text + b"\n")
        self._file.flush()
        self._last = checksum


def _checksum(last: bytes, text: bytes) -> bytes:
    return hashlib.blake2b(last + text, digest_size=_DIGEST).hexdigest().encode()


def _valid_lines(path: Path) -> Iterator[tuple[bytes, Any, bytes]]:
    """Checksum, value and bytes of each line, up to the first that does not match."""
    last = b""
    with path.open("rb") as lines:
        for line in lines:
            checksum, _, text = line.removesuffix(b"\n").partition(b" ")
            if not line.endswith(b"\n") or checksum != _checksum(last, text):
                return
            yield checksum, json.loads(text), line
            last = checksum
