"""Memory and time of the process that plans a sharded dataset, per photo.

python tests/bench/driver.py [--photos 100000,1000000]

The photos are names and random hashes; no file is read. Memory is that of Python's objects, by
tracemalloc. The time is that of the comparison of the hashes, of which each is compared with those
that share one of five bands of bits.
"""

from __future__ import annotations

import argparse
import hashlib
import time
import tracemalloc

import numpy as np

from synth.photo_totals import PhotoTotals
from synth.recipe import PRESETS
from synth.sharding.generator import plan_shards


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", default="100000,1000000")
    chosen = parser.parse_args()
    print("photos     bytes per photo   CPU us per photo to group them and assign splits")
    for count in map(int, chosen.photos.split(",")):
        hashes = np.random.default_rng(0).integers(0, 2**63, count).tolist()
        tracemalloc.start()
        names = [f"2024/photo-{number:09d}.jpg" for number in range(count)]
        shards = plan_shards(names, {}, 1000)
        totals = PhotoTotals(count)
        for number, dhash in enumerate(hashes):
            totals.add(hashlib.sha256(str(number).encode()).hexdigest(), dhash, "", 1)
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        start = time.process_time()
        splits = totals.splits(PRESETS["default"])
        seconds = time.process_time() - start
        assert len(splits) == sum(len(shard.names) for shard in shards) == count
        print(f"{count:9} {size / count:12.0f} {1e6 * seconds / count:20.1f}", flush=True)


if __name__ == "__main__":
    main()
