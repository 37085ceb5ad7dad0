"""WebDataset format: tar files; members with the same name before the first dot are a sample."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
                    for name, file, size in _members(source, row):
                        with file:
                            info = tarfile.TarInfo(name)  # mtime, uid and gid are 0
                            info.size = size
                            tar.addfile(info, file)
                    done += 1
                    progress(done, len(source.rows))
    return done


def _members(source: Source, row: Row) -> Iterator[tuple[str, Any, int]]:
    """Yields name, open file and size in bytes of each member of a row."""
    about = json.dumps(columns(row), ensure_ascii=False).encode()
    kinds = (("file_name", ""), ("clean_file_name", ".clean"), ("mask_file_name", ".mask"))
    for column, middle in kinds:
        if row[column]:
            path = source.folder / row[column]
            name = f"{row[KEY]}{middle}{source.suffix(row[column], row)}"
            yield name, path.open("rb"), path.stat().st_size
        if column == "file_name":
            yield f"{row[KEY]}.json", io.BytesIO(about), len(about)
