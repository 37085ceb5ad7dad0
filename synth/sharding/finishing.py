"""The second step of a shard: the rows that are kept, with their splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from synth.card import Summary
from synth.errors import InputError
from synth.sharding.rendering import Run, Shard
from synth.sharding.shard_file import ShardWriter, read_record, record_in
from synth.shards import PICTURES
from synth.storage import explain_storage_errors


@dataclass(frozen=True)
class FinishedShard:
    """A shard as the manifest lists it, and the summary of its table."""

    name: str
    rows: int
    bytes: int
    sha256: str
    summary: Summary

    def entry(self) -> dict[str, Any]:
        """Its entry in the manifest."""
        return {
            "name": self.name, "rows": self.rows, "bytes": self.bytes, "sha256": self.sha256,
        }  # fmt: skip


def finish_shard(
    run: Run, shard: Shard, kept: Sequence[int], splits: Sequence[str]
) -> FinishedShard:
    """Writes the final file of a shard and deletes the unfinished one.

    Args:
        kept: for each photo, the number of its rows that are kept, at least one in all.
        splits: for each photo, the split of its rows.

    Raises:
        InputError: a file cannot be read or written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    choice = hashlib.sha256(repr((list(kept), list(splits))).encode()).hexdigest()
    digest = shard.digest(run)
    with explain_storage_errors(run.out, "cannot be read or written"):
        record = read_record(run.out, shard.file)
        is_done = record.get("digest") == digest and record.get("choice") == choice
        data = pa.py_buffer(run.out.read_bytes(shard.file if is_done else shard.unfinished_file))
        summary = Summary()
        file = parquet.ParquetFile(pa.BufferReader(data))
        columns = [name for name in file.schema_arrow.names if name not in PICTURES.values()]
        if not is_done:
            record = record_in(file.metadata)
            if record.get("digest") != digest:
                raise InputError(f"{run.out.where(shard.unfinished_file)} is damaged: delete it")
            data = _choose(file, run, record | {"choice": choice}, kept, splits)
            run.out.write_bytes(shard.file, data)
            file = parquet.ParquetFile(pa.BufferReader(data))
        summary.add(file.read(columns).to_pandas())
        run.out.delete(shard.unfinished_file)
    checksum = hashlib.sha256(data).hexdigest()
    return FinishedShard(shard.file, summary.rows, len(data), checksum, summary)


def _choose(
    file: Any, run: Run, record: dict[str, Any], kept: Sequence[int], splits: Sequence[str]
) -> Any:
    """An unfinished file -> the bytes of the final one."""
    import pyarrow as pa

    made = [photo[4] for photo in record["photos"]]
    keep = np.concatenate([np.arange(n) < most for n, most in zip(made, kept, strict=True)])
    split_of = np.repeat(np.array(splits, object), made)
    writer = ShardWriter(run.recipe)
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
    for group, end in enumerate(accumulate(sizes)):
        rows = slice(end - sizes[group], end)
        part = file.read_row_group(group)
        column = pa.array(split_of[rows].tolist(), pa.string())
        part = part.set_column(part.schema.get_field_index("split"), "split", column)
        writer.write_table(part if keep[rows].all() else part.filter(pa.array(keep[rows])))
    return writer.finish(record)
