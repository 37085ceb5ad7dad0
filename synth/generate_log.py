"""The log of a run of ``synth generate``: one line per photo, so that a run can be resumed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
