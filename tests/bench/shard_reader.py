"""Measures how fast rows of a dataset folder and of the same sharded dataset are read.

    python tests/bench/shard_reader.py

Prints rows a second of CPU time on one core, for bytes and for decoded images. The cache of row
groups is reduced, so that a random order reads a row group for almost every row.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
import numpy as np

from synth import Recipe, dataset, generate, photos, scenes, shard_reader

ROWS = 1000
READ = 400  # rows that are read for one number
CACHE = 8 << 20  # bytes; the dataset has 54 MB


def rate(place: Path, random: bool, decode: bool) -> float:
    """Rows a second of CPU time."""
    files = dataset.open_files(place)
    names = dataset.parse(files)["file_name"].tolist()
    if random:
        names = np.random.default_rng(0).permutation(names).tolist()
    start = time.process_time()
    for name in names[:READ]:
        if decode:
            _ = photos.read(files, name, keep_profile=True).pixels
        else:
            files.read_bytes(name)
    return READ / (time.process_time() - start)


def main() -> None:
    shard_reader.CACHE = CACHE
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        scenes.write(base / "photos", 40, 700, 600, seed=1)
        recipe = Recipe(size=(512, 512), per_photo=ROWS // 40, radius=(20, 80))
        generate(base / "photos", base / "set", recipe)
        generate(base / "photos", base / "sharded", recipe, shards=500)
        print(f"{'dataset':10}{'order':12}{'bytes, rows/s':>16}{'decoded, rows/s':>18}")
        for name, random in (("set", True), ("sharded", False), ("sharded", True)):
            numbers = [rate(base / name, random, decode) for decode in (False, True)]
            order = "random" if random else "in order"
            print(f"{name:10}{order:12}{numbers[0]:16.0f}{numbers[1]:18.0f}")


if __name__ == "__main__":
    main()
