"""The generator's journal: a line for each photo, in order, so that a stopped run can go on."""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from synth import folders
from synth.errors import InputError
from synth.near_duplicates import Details, detail_of


@dataclass(frozen=True)
class Outcome:
    """What became of one photo: its rows, or why it has none."""

    photo: str
    sha256: str = ""
    dhash: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    skipped: str = ""
    detail: str = ""  # of a plain picture, as Signature.text writes it


class Journal:
    """Outcomes on disk, appended one by one and read back one by one, never all at once.

    Args:
        path: the file; started where there is none.
        about: what the run was asked for, in JSON types; a run that goes on must ask for the same.

    Raises:
        InputError: the file was begun by a run that asked for something else.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path = path
        head, whole, lines = _survey(path)
        if lines == 0:
            folders.write(path, json.dumps(about) + "\n")
        elif json.loads(head) != about:
            raise InputError(
                f"{path.parent} was begun with another recipe or count, or with other photos: "
                "resume with the same, or pass --overwrite"
            )
        else:
            os.truncate(path, whole)
        self.found = max(lines - 1, 0)  # outcomes that an earlier run left
        self._file = path.open("a", encoding="utf-8")

    def append(self, outcome: Outcome) -> None:
        """Write an outcome down; it is in the file when this returns."""
        self._file.write(json.dumps(asdict(outcome)) + "\n")
        self._file.flush()

    def read(self, count: int | None = None) -> Iterator[Outcome]:
        """The first ``count`` outcomes in order, or all."""
        with self.path.open(encoding="utf-8") as lines:
            for line in islice(lines, 1, None if count is None else 1 + count):
                yield Outcome(**json.loads(line))

    def close(self) -> None:
        self._file.close()


class Ledger:
    """What is remembered of every photo while thousands pass: a few bytes each.

    Args:
        wanted: rows to keep in all.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted, self.rows = wanted, 0
        self.kept = array("Q")  # rows kept of each photo
        self.hashes = array("Q")  # dHash of each photo with rows
        self.details = Details()  # of those that are plain pictures, by their place there
        self.copy_of: dict[int, int] = {}  # number of a photo -> of the one with the same bytes
        self._first: dict[int, int] = {}

    def add(self, outcome: Outcome) -> None:
        number, rows = len(self.kept), len(outcome.rows)
        if rows:
            # A number of half the digest's bits: whole digests would be the largest thing here.
            first = self._first.setdefault(int(outcome.sha256[:32], 16), number)
            if first != number:
                self.copy_of[number] = first
                rows = 0
        rows = min(rows, self.wanted - self.rows)
        self.kept.append(rows)
        self.rows += rows
        if rows:
            self.details.add(len(self.hashes), detail_of(outcome.detail))
            self.hashes.append(outcome.dhash)


def _survey(path: Path) -> tuple[bytes, int, int]:
    """The first line, the bytes in whole lines, and how many those are.

    What follows the last newline is a line that an interruption cut short, or nothing.
    """
    head, whole, count = b"", 0, 0
    if path.is_file():
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    head = head or line
                    whole += len(line)
                    count += 1
    return head, whole, count
