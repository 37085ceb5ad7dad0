"""Sharded datasets: Parquet files with the bytes of the images in their rows, and a manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth.errors import InputError, Skipped
from synth.json_files import Damaged, parse_object
from synth.shard_reader import PICTURES as PICTURES
from synth.shard_reader import Shard as Shard
from synth.shard_reader import ShardReader
from synth.storage import Place, Storage, explain_storage_errors, storage_of

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"  # written last
FORM = "shards"  # the entry "form" of the manifest
SHARDS = "shards"  # folder of the shards
UNFINISHED = "unfinished"  # folder of an unfinished run


@dataclass(frozen=True)
class Manifest:
    """The manifest of a sharded dataset.

    Args:
        about: its entries without the list of shards.
        shards: in the order of the rows.
        sha256: of the file; it changes if any shard changes.
    """

    about: dict[str, Any]
    shards: tuple[Shard, ...]
    sha256: str


@dataclass(frozen=True)
class Fault:
    """A difference between a shard and the manifest; ``row`` is the first row of the shard."""

    row: int
    shard: str
    what: str


def is_sharded(folder: Path) -> bool:
    """Whether a local folder is a sharded dataset, finished or not."""
    return any((folder / name).exists() for name in (MANIFEST, SHARDS, UNFINISHED))


def open_shards(place: Place) -> ShardFiles:
    """A folder -> the files of the sharded dataset in it.

    Raises:
        InputError: there is none, it is unfinished, or its manifest is damaged.
    """
    folder = place if isinstance(place, Storage) else storage_of(place)
    with explain_storage_errors(folder, "cannot be read"):
        try:
            data = folder.read_bytes(MANIFEST)
        except FileNotFoundError:
            started = any(next(folder.files(below), None) for below in (SHARDS, UNFINISHED))
            if started:
                reason = "is unfinished: continue with synth generate --resume"
            elif not folder.is_folder():
                reason = "does not exist: check the path, or the URL and the bucket's name"
            else:
                reason = f"has no {MANIFEST}: name a dataset that synth generate --shards wrote"
            raise InputError(f"{place} {reason}") from None
    return ShardFiles(place, folder, _parse_manifest(data, folder.where(MANIFEST)))


def _parse_manifest(data: bytes, where: str) -> Manifest:
    advice = "restore it from a copy"
    try:
        about = parse_object(data)
        if about.get("form") != FORM:
            raise Damaged(f'is not that of a sharded dataset: its form is not "{FORM}"')
        shards = tuple(
            Shard(str(each["name"]), int(each["rows"]), int(each["bytes"]), str(each["sha256"]))
            for each in about.pop("shards")
        )
    except Damaged as error:
        raise InputError(f"{where} {error}: {advice}") from None
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{where} has no complete list of shards: {advice}") from None
    return Manifest(about, shards, hashlib.sha256(data).hexdigest())


class ShardFiles:
    """The files of a sharded dataset by name, and its table.

    It can be sent to other processes, and used by several threads and in a fork of the process:
    each process opens the shards itself.
    """

    def __init__(self, place: Place, folder: Storage, manifest: Manifest) -> None:
        self.place, self.folder, self.manifest = place, folder, manifest
        self._first_rows = np.cumsum([0, *(each.rows for each in manifest.shards)])
        self._names: _Names | None = None
        self._reader = ShardReader(folder, manifest.shards)

    def read_table(self) -> pd.DataFrame:
        """All columns except the pictures, one row per image.

        Raises:
            InputError: a shard is missing, damaged or has another number of rows.
        """
        import pandas as pd

        parts = [self._reader.read_table(number) for number in range(len(self.manifest.shards))]
        if not parts:
            raise InputError(f"{self.place} has no rows")
        table = pd.concat(parts, ignore_index=True)
        self._names = _Names(table)
        return table

    def has(self, name: str) -> bool:
        """Whether there is a file with a name."""
        return bool(self._index().find(name))

    def read_bytes(self, name: str) -> bytes:
        """Bytes of a file.

        Raises:
            Skipped: it is missing, or its shard cannot be read.
            Interrupted: the server of the shards cannot be reached.
        """
        for column, row in self._index().find(name):
            number = int(np.searchsorted(self._first_rows, row, side="right")) - 1
            cell = self._reader.read_cell(number, row - int(self._first_rows[number]), column)
            if cell["path"] == name and cell["bytes"] is not None:
                return bytes(cell["bytes"])
        raise Skipped("its file is missing")

    def faults(self) -> Iterator[Fault]:
        """Compares the size, the SHA-256 and the number of rows of each shard with the manifest.

        Raises:
            InputError: the server of the shards cannot be reached.
        """
        for number, shard in enumerate(self.manifest.shards):
            if what := self._reader.fault(number):
                yield Fault(int(self._first_rows[number]), shard.name, what)

    def _index(self) -> _Names:
        if self._names is None:
            self.read_table()
        assert self._names is not None
        return self._names


class _Names:
    """The names in a table -> their columns and rows, with 16 bytes of memory for each name.

    A name is found by a hash. In the rare case of equal hashes there are several candidates.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        hashes, codes = [], []
        for number, column in enumerate(PICTURES):
            if column in table:
                names = table[column].fillna("").to_numpy(object)
                rows = np.flatnonzero(names != "")
                hashes.append(_hash(names[rows]))
                codes.append(rows * len(PICTURES) + number)
        order = np.argsort(np.concatenate(hashes))
        self._hashes = np.concatenate(hashes)[order]
        self._codes = np.concatenate(codes)[order]

    def find(self, name: str) -> list[tuple[str, int]]:
        """The picture column and the row of each candidate."""
        key = _hash(np.array([name], object))[0]
        low, high = (int(np.searchsorted(self._hashes, key, side)) for side in ("left", "right"))
        columns = list(PICTURES.values())
        found = (divmod(int(code), len(PICTURES)) for code in self._codes[low:high])
        return [(columns[column], row) for row, column in found]


def _hash(names: np.ndarray) -> np.ndarray:
    """(N,) texts -> (N,) uint64, equal in all processes."""
    import pandas as pd

    return np.asarray(pd.util.hash_array(names, categorize=False))
