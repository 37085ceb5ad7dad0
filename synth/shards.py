"""Reader of sharded datasets: Parquet files with the bytes of the images in their rows.

A row is read with the row group that contains it. The row groups that were read last are kept, so
that each is read once when rows are read in order.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth import storage
from synth.errors import InputError, Skipped
from synth.files import read_error
from synth.json_files import Damaged, parse_object
from synth.storage import Place, Storage, explain_storage_errors, storage_of

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.json"  # written last
FORM = "shards"  # the entry "form" of the manifest
SHARDS = "shards"  # folder of the shards
UNFINISHED = "unfinished"  # folder of an unfinished run
# Column with the name of a file -> column with its bytes and its name.
PICTURES = {"file_name": "image", "clean_file_name": "clean", "mask_file_name": "mask"}
CACHE = 64 << 20  # bytes of row groups that are kept; at least one of each picture column
OPEN_SHARDS = 8  # shards whose metadata are kept in memory
_BLOCK = 4 << 20  # bytes that are read at once for a checksum


@dataclass(frozen=True)
class Shard:
    """An entry of the manifest: a Parquet file, its rows, its size in bytes and its SHA-256."""

    name: str
    rows: int
    bytes: int
    sha256: str


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
        self._reader = _Reader(folder, manifest.shards)

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


class _Reader:
    """Reads tables and cells of shards; keeps open shards and the last row groups."""

    def __init__(self, folder: Storage, shards: Sequence[Shard]) -> None:
        self._folder, self._shards = folder, shards
        self._reset()

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_shards": self._shards}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._open: OrderedDict[int, _OpenShard] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int, str], Any] = OrderedDict()

    def read_table(self, number: int) -> pd.DataFrame:
        """All columns of a shard except the pictures."""
        shard = self._shards[number]
        try:
            file = _OpenShard(self._folder, shard)
            return file.read_table()
        except FileNotFoundError:
            raise InputError(f"{self._where(number)} is missing: {_ADVICE}") from None
        except _read_errors() as error:
            raise InputError(f"{self._where(number)} cannot be read: {_reason(error)}") from None

    def read_cell(self, number: int, row: int, column: str) -> dict[str, Any]:
        """The bytes and the path of a picture in a row of a shard."""
        if self._process != os.getpid():  # locks and open files of the parent are not used
            self._reset()
        try:
            with self._lock:
                file = self._shard(number)
                group = file.group_of(row)
                cell = self._group(number, group, column)[row - file.starts[group]].as_py()
        except FileNotFoundError:
            raise Skipped(f"its shard {self._shards[number].name} is missing") from None
        except OSError as error:
            raise read_error(error, self._where(number)) from None
        except _read_errors() as error:
            name = self._shards[number].name
            raise Skipped(f"its shard {name} cannot be read: {_reason(error)}") from None
        return cell if cell is not None else {"path": None, "bytes": None}

    def fault(self, number: int) -> str:
        """How a shard differs from the manifest; "" if it does not."""
        shard = self._shards[number]
        digest = hashlib.sha256()
        size = 0
        try:
            with self._folder.open(shard.name) as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    size += len(block)
            if size != shard.bytes:
                return f"it has {size} bytes, in the manifest {shard.bytes}"
            if digest.hexdigest() != shard.sha256:
                return "its SHA-256 is not that in the manifest"
            _OpenShard(self._folder, shard)
        except FileNotFoundError:
            return "it is missing"
        except InputError as error:
            return str(error)
        except _read_errors() as error:
            if isinstance(error, OSError) and storage.is_unreachable(error):
                raise read_error(error, self._where(number)) from None
            return f"it cannot be read: {_reason(error)}"
        return ""

    def _where(self, number: int) -> str:
        return self._folder.where(self._shards[number].name)

    def _shard(self, number: int) -> _OpenShard:
        if number not in self._open:
            while len(self._open) >= OPEN_SHARDS:
                self._open.popitem(last=False)
            self._open[number] = _OpenShard(self._folder, self._shards[number])
        self._open.move_to_end(number)
        return self._open[number]

    def _group(self, number: int, group: int, column: str) -> Any:
        key = (number, group, column)
        if key not in self._groups:
            self._groups[key] = self._shard(number).read_group(group, column)
            while (
                sum(each.nbytes for each in self._groups.values()) > CACHE
                and len(self._groups) > len(PICTURES)
            ):  # fmt: skip
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]


class _OpenShard:
    """An open Parquet file and the first row of each of its row groups."""

    def __init__(self, folder: Storage, shard: Shard) -> None:
        from pyarrow import parquet

        self.file = parquet.ParquetFile(folder.open(shard.name), pre_buffer=True)
        metadata = self.file.metadata
        if metadata.num_rows != shard.rows:
            raise InputError(
                f"{folder.where(shard.name)} has {metadata.num_rows} rows, in the manifest "
                f"{shard.rows}: {_ADVICE}"
            )
        sizes = (metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        self.starts = np.cumsum([0, *sizes])

    def group_of(self, row: int) -> int:
        return int(np.searchsorted(self.starts, row, side="right")) - 1

    def read_group(self, group: int, column: str) -> Any:
        return self.file.read_row_group(group, columns=[column], use_threads=False)[column]

    def read_table(self) -> pd.DataFrame:
        names = [name for name in self.file.schema_arrow.names if name not in PICTURES.values()]
        return self.file.read(columns=names).to_pandas()


_ADVICE = "restore it from a copy, or make the dataset again"


def _read_errors() -> tuple[type[Exception], ...]:
    """The errors of a shard that cannot be read; KeyError: it lacks a column."""
    import pyarrow as pa

    return OSError, KeyError, pa.ArrowException


def _reason(error: BaseException) -> str:
    return storage.reason_of(error) if isinstance(error, OSError) else str(error).split("\n")[0]
