"""WebDataset format: tar files; members with the same name before the first dot are a sample."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

from synth.exporting.source import KEY, Progress, Row, Source, columns
from synth.recipe import SPLITS


def write(source: Source, out: Path, progress: Progress, shard_size: int) -> int:
    """Writes ``SPLIT-000000.tar`` … with KEY.jpg, KEY.json, KEY.clean.jpg and KEY.mask.png.

    Returns the number of samples.
    """
    done = 0
    for split in SPLITS:
        part = [row for row in source.rows if row["split"] == split]
        for shard, start in enumerate(range(0, len(part), shard_size)):
            path = out / f"{split}-{shard:06d}.tar"
            with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
                for row in part[start : start + shard_size]:
                    for name, data in _members(source, row):
                        info = tarfile.TarInfo(name)  # mtime, uid and gid are 0
                        info.size = len(data)
                        tar.addfile(info, io.BytesIO(data))
                    done += 1
                    progress(done, len(source.rows))
    return done


def _members(source: Source, row: Row) -> Iterator[tuple[str, bytes]]:
    """Yields name and bytes of each member of a row."""
    about = json.dumps(columns(row), ensure_ascii=False).encode()
    kinds = (("file_name", ""), ("clean_file_name", ".clean"), ("mask_file_name", ".mask"))
    for column, middle in kinds:
        if row[column]:
            data, suffix = source.read(row[column], row)
            yield f"{row[KEY]}{middle}{suffix}", data
        if column == "file_name":
            yield f"{row[KEY]}.json", about
