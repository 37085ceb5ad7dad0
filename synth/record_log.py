"""An append-only file of JSON records with checksums, from which a stopped run is resumed."""

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

_DIGEST = 8  # bytes of a checksum; one in 2**64 damaged records is not detected


class RecordLog:
    """Records in a file, in order; :meth:`append` flushes each.

    A line is a checksum, a space and a record in JSON. The checksum covers the record and the
    checksum of the line before, so lost, repeated and moved lines are detected as well. When the
    log is opened, the first line that does not match and all lines after it are removed.

    Args:
        path: the file; created if it does not exist.
        request: the parameters of the run in JSON types; the first record. A resumed run must
            have the same parameters.

    Raises:
        InputError: the file is from a run with other parameters, or its first line is damaged.
    """

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self.path = path
        self.count = 0  # number of records of an earlier run
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
                    f"{path} is damaged: pass --overwrite to delete the unfinished run "
                    f"in {path.parent}"
                )
            os.truncate(path, size)
        self._file = path.open("ab")
        if not size:
            self._write(request)

    def append(self, record: Any) -> None:
        """Appends a record of JSON types and hands it to the operating system."""
        self._write(record)

    def read(self, count: int | None = None) -> Iterator[Any]:
        """Yields the first ``count`` records in order; None: all."""
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
    """Yields checksum, value and bytes of each line before the first that does not match."""
    last = b""
    with path.open("rb") as lines:
        for line in lines:
            checksum, _, text = line.removesuffix(b"\n").partition(b" ")
            if not line.endswith(b"\n") or checksum != _checksum(last, text):
                return
            yield checksum, json.loads(text), line
            last = checksum
