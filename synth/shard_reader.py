"""Reader of the Parquet files of a sharded dataset: their tables, and single images.

An image is read with the row group that contains its row. The row groups that were read last are
kept, so that each is read once when rows are read in order.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synth import storage
from synth.errors import InputError, Skipped
from synth.files import read_error
from synth.storage import Storage

if TYPE_CHECKING:
    import pandas as pd

# Column with the name of a file -> column with its bytes and its name.
PICTURES = {"file_name": "image", "clean_file_name": "clean", "mask_file_name": "mask"}
CACHE = 64 << 20  # bytes of row groups that are kept; at least one of each picture column
OPEN_SHARDS = 8  # shards whose metadata are kept in memory
_BLOCK = 4 << 20  # bytes that are read at once for a checksum
_ADVICE = "restore it from a copy, or make the dataset again"


@dataclass(frozen=True)
class Shard:
    """An entry of the manifest: a Parquet file, its rows, its size in bytes and its SHA-256."""

    name: str
    rows: int
    bytes: int
    sha256: str


class ShardReader:
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
        self._open: OrderedDict[int, OpenShard] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int, str], Any] = OrderedDict()

    def read_table(self, number: int) -> pd.DataFrame:
        """All columns of a shard except the pictures."""
        shard = self._shards[number]
        try:
            file = OpenShard(self._folder, shard)
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
            OpenShard(self._folder, shard)
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

    def _shard(self, number: int) -> OpenShard:
        if number not in self._open:
            while len(self._open) >= OPEN_SHARDS:
                self._open.popitem(last=False)
            self._open[number] = OpenShard(self._folder, self._shards[number])
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


class OpenShard:
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


def _read_errors() -> tuple[type[Exception], ...]:
    """The errors of a shard that cannot be read; KeyError: it lacks a column."""
    import pyarrow as pa

    return OSError, KeyError, pa.ArrowException


def _reason(error: BaseException) -> str:
    return storage.reason_of(error) if isinstance(error, OSError) else str(error).split("\n")[0]
