"""The log of a run of ``synth generate``: one line per photo, so that a run can be resumed."""

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
    """The result of one photo: its rows, or the reason why it was skipped.

    ``sizes`` maps the path of each written file in the dataset to its size in bytes.
    """

    photo: str
    sha256: str = ""
    dhash: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: str = ""
    sizes: dict[str, int] = field(default_factory=dict)
    detail: str = ""  # detail of a plain picture, see Signature.encode_detail

    def is_on_disk(self, folder: Path) -> bool:
        """Whether all files of the photo exist with the size that was written."""
        try:
            return all((folder / name).stat().st_size == n for name, n in self.sizes.items())
        except OSError:
            return False


class GenerateLog:
    """The results of photos in a file, read one at a time.

    Args:
        path: the file; created if it does not exist.
        request: the parameters of the run in JSON types; a resumed run must have the same.

    Raises:
        InputError: the file is from a run with other parameters, or is damaged.
    """

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self._log = RecordLog(path, request)
        self.found = self._log.count  # number of results of an earlier run

    def append(self, result: PhotoResult) -> None:
        """Appends a result and flushes the file."""
        self._log.append(asdict(result))

    def read(self, count: int | None = None) -> Iterator[PhotoResult]:
        """The first ``count`` results in order; None: all."""
        for record in self._log.read(count):
            yield PhotoResult(**record)

    def close(self) -> None:
        self._log.close()


class PhotoTotals:
    """What the generator keeps in memory of all photos: a few bytes per photo.

    Args:
        wanted: total number of rows to keep.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted, self.rows = wanted, 0
        self.kept = array("Q")  # number of rows kept of each photo
        self.hashes = array("Q")  # dHash of each photo with rows
        self.details = DetailTable()  # details of plain pictures, by index in hashes
        self.copy_of: dict[
            int, int
        ] = {}  # index of a photo -> index of an earlier photo with the same bytes
        self._first: dict[int, int] = {}

    def add(self, result: PhotoResult) -> None:
        """Counts the next photo: its rows up to ``wanted``, unless its file is a repeated one."""
        number, rows = len(self.kept), len(result.rows)
        if rows:
            # Half of the digest's bits: whole digests would need the most memory here.
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
