"""The generator's journal: a line for each photo, in order, so that a stopped run can go on."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from synth.near_duplicates import DetailTable, decode_detail
from synth.record_log import RecordLog


@dataclass(frozen=True)
class PhotoResult:
    """What became of one photo: its rows, or why it has none.

    ``sizes``: bytes of each file that was written for it, by its path in the dataset.
    """

    photo: str
    sha256: str = ""
    dhash: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    detail: str = ""  # of a plain picture, as Signature.text writes it

    def is_on_disk(self, folder: Path) -> bool:
        """Whether all its files are there with the size that they were written with."""
        try:
            return all((folder / name).stat().st_size == n for name, n in self.sizes.items())
        except OSError:
            return False


class GenerateLog:
    """The results of photos on disk, read back one by one, never all at once.

    Args:
        path: the file; started where there is none.
        request: what the run was asked for, in JSON types; a run that goes on must ask for
            the same.

    Raises:
        InputError: the file was begun by a run that asked for something else, or is damaged.
    """

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self._log = RecordLog(path, request)
        self.found = self._log.count  # results that an earlier run left

    def append(self, result: PhotoResult) -> None:
        """Add a result; it is in the file when this returns."""
        self._log.append(asdict(result))

    def read(self, count: int | None = None) -> Iterator[PhotoResult]:
        """The first ``count`` results in order, or all."""
        for record in self._log.read(count):
            yield PhotoResult(**record)

    def close(self) -> None:
        self._log.close()


class PhotoTotals:
    """What is remembered of every photo while thousands pass: a few bytes each.

    Args:
        wanted: rows to keep in all.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted, self.rows = wanted, 0
        self.kept = array("Q")  # rows kept of each photo
        self.hashes = array("Q")  # dHash of each photo with rows
        self.details = DetailTable()  # of those that are plain pictures, by their place there
        self.copy_of: dict[int, int] = {}  # number of a photo -> of the one with the same bytes
        self._first: dict[int, int] = {}

    def add(self, result: PhotoResult) -> None:
        number, rows = len(self.kept), len(result.rows)
        if rows:
            # A number of half the digest's bits: whole digests would be the largest thing here.
            first = self._first.setdefault(int(result.sha256[:32], 16), number)
            if first != number:
                self.copy_of[number] = first
                rows = 0
        rows = min(rows, self.wanted - self.rows)
        self.kept.append(rows)
        self.rows += rows
        if rows:
            self.details.add(len(self.hashes), decode_detail(result.detail))
            self.hashes.append(result.dhash)
