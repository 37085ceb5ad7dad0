"""Time and memory of `synth generate` against the number of images: both should stay flat.

python tests/bench/scale.py [--counts 1000 10000 100000] [--per-photo 1] [--table csv]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import measured
from PIL import Image

SIDE = 48


def photos(folder: Path, count: int) -> None:
    """Small photos, all different: smooth noise as JPEG, in subfolders of a thousand."""
    rng = np.random.default_rng(0)
    for k in range(count):
        if k % 1000 == 0:
            (folder / f"{k // 1000:04}").mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        picture = coarse.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        picture.save(folder / f"{k // 1000:04}" / f"{k:06}.jpg", quality=80)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--counts", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--per-photo", type=int, default=1)
    parser.add_argument("--table", choices=("csv", "parquet"), default="csv")
    parser.add_argument("--workers", type=int, default=1)
    chosen = parser.parse_args()
    print(f"{SIDE} px images, {chosen.per_photo} a photo, {chosen.workers} worker, {chosen.table}")
    with tempfile.TemporaryDirectory() as folder:
        for count in chosen.counts:
            source = Path(folder) / f"photos-{count}"
            photos(source, count // chosen.per_photo)
            words = [sys.executable, "-m", "synth", "generate", source, Path(folder) / f"{count}"]
            flags = {
                "--size": f"{SIDE}x{SIDE}", "--radius": "4:9", "--margin": "0.3",
                "--per-photo": chosen.per_photo, "--workers": chosen.workers,
                "--table": chosen.table,
            }  # fmt: skip
            words += [word for pair in flags.items() for word in pair]
            seconds, peak = measured(words)
            each = 1000 * seconds / count
            print(f"{count:8} images {seconds:8.1f} s {each:7.2f} ms an image {peak:7.0f} MB peak")


if __name__ == "__main__":
    main()
