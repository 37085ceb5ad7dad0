"""The Parquet file of one shard: columns, encoding, and the record of its photos."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from synth import dataset
from synth.recipe import Recipe
from synth.shards import PICTURES
from synth.storage import Storage

ROW_GROUP = 64  # rows that a reader loads to read one of them
_RECORD = b"acuity"  # key of the record in the file's metadata


class PhotoRecord(NamedTuple):
    """What the run needs to know of one photo of a shard."""

    photo: str
    sha256: str
    dhash: int
    detail: str
    rows: int
    skipped: str


def picture_columns(recipe: Recipe) -> list[str]:
    """The columns with pictures that a recipe makes."""
    used = {"image": True, "clean": recipe.twins, "mask": recipe.masks}
    return [name for name in PICTURES.values() if used[name]]


def schema(recipe: Recipe) -> Any:
    """The Arrow schema of a shard; Hugging Face ``datasets`` reads the pictures as images."""
    import pyarrow as pa

    words = {pa.string(): "string", pa.float64(): "float64", pa.int64(): "int64"}
    types = dataset.arrow_types()
    pictures = picture_columns(recipe)
    picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    features = {name: {"_type": "Image"} for name in pictures} | {
        name: {"dtype": words[each], "_type": "Value"} for name, each in types.items()
    }
    fields = [(name, picture) for name in pictures] + list(types.items())
    about = json.dumps({"info": {"features": features}})
    return pa.schema(fields, metadata={"huggingface": about})


def table(rows: Sequence[dict[str, Any]], files: Mapping[str, bytes], recipe: Recipe) -> Any:
    """Rows, and bytes by file name -> the Arrow table of the rows with their pictures."""
    import pyarrow as pa

    layout = schema(recipe)
    name_column = {picture: name for name, picture in PICTURES.items()}
    columns = []
    for field in layout:
        if source := name_column.get(field.name):
            names = [row[source] for row in rows]
            cells = [pa.array([files[name] for name in names], pa.binary()), pa.array(names)]
            columns.append(pa.StructArray.from_arrays(cells, ["bytes", "path"]))
        else:
            missing = "" if field.type == pa.string() else None
            columns.append(pa.array([row.get(field.name, missing) for row in rows], field.type))
    return pa.table(columns, schema=layout)


class ShardWriter:
    """Writes a shard into memory, in row groups of about :data:`ROW_GROUP` rows."""

    def __init__(self, recipe: Recipe) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._sink = pa.BufferOutputStream()
        layout = schema(recipe)
        # Pictures are compressed already, and statistics of them would only repeat their bytes.
        plain = [f"{name}.{part}" for name in picture_columns(recipe) for part in ("bytes", "path")]
        columns = [name for name in layout.names if name in dataset.COLUMNS]
        compression = dict.fromkeys(plain, "none") | dict.fromkeys(columns, "zstd")
        self._writer = parquet.ParquetWriter(
            self._sink, layout, compression=compression, use_dictionary=columns,
            write_statistics=columns,
        )  # fmt: skip
        self._recipe = recipe
        self._rows: list[dict[str, Any]] = []
        self._files: dict[str, bytes] = {}

    def write_rows(self, rows: Sequence[dict[str, Any]], files: Mapping[str, bytes]) -> None:
        """Adds rows, with the bytes of their files by name."""
        self._rows += rows
        self._files |= files
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def write_table(self, rows: Any) -> None:
        """Adds an Arrow table as a row group."""
        if len(rows):
            self._writer.write_table(rows)

    def _flush(self) -> None:
        if self._rows:
            self.write_table(table(self._rows, self._files, self._recipe))
        self._rows, self._files = [], {}

    def finish(self, record: dict[str, Any]) -> Any:
        """Completes the file with a record in its metadata; returns its bytes as a buffer."""
        self._flush()
        self._writer.add_key_value_metadata({_RECORD: json.dumps(record).encode()})
        self._writer.close()
        return self._sink.getvalue()


def read_record(storage: Storage, name: str) -> dict[str, Any]:
    """The record in the metadata of a shard; empty if there is no such file or it is damaged."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with storage.open(name) as file:
            return record_in(parquet.read_metadata(file))
    except (OSError, pa.ArrowException):
        return {}


def record_in(metadata: Any) -> dict[str, Any]:
    """The record in the metadata of a Parquet file; empty if there is none."""
    try:
        record = json.loads((metadata.metadata or {}).get(_RECORD, b"{}"))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
