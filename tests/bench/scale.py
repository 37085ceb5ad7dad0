"""Measures the time per image and the peak memory of `synth generate` for growing datasets.

python tests/bench/scale.py [--counts 1000 10000 100000] [--per-photo 1] [--table csv]

Neither should grow with the number of images.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from common import run_command
from PIL import Image

SIDE = 48


def write_photos(folder: Path, count: int) -> None:
    """Writes different small JPEG photos of smooth noise, a thousand in each subfolder."""
    rng = np.random.default_rng(0)
    for k in range(count):
        if k % 1000 == 0:
            (folder / f"{k // 1000:04}").mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        photo = coarse.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        photo.save(folder / f"{k // 1000:04}" / f"{k:06}.jpg", quality=80)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[1000, 10_000, 100_000],
        help="number of images of each dataset",
    )  # fmt: skip
    parser.add_argument("--per-photo", type=int, default=1, help="images per photo")
    parser.add_argument("--table", choices=("csv", "parquet"), default="csv")
    parser.add_argument("--workers", type=int, default=1, help="number of processes")
    chosen = parser.parse_args()
    print(
        f"images of {SIDE} x {SIDE} px; images per photo: {chosen.per_photo}; "
        f"processes: {chosen.workers}; table: {chosen.table}"
    )
    with tempfile.TemporaryDirectory() as folder:
        for count in chosen.counts:
            source = Path(folder) / f"photos-{count}"
            write_photos(source, count // chosen.per_photo)
            words = [sys.executable, "-m", "synth", "generate", source, Path(folder) / f"{count}"]
            flags = {
                "--size": f"{SIDE}x{SIDE}", "--radius": "4:9", "--margin": "0.3",
                "--per-photo": chosen.per_photo, "--workers": chosen.workers,
                "--table": chosen.table,
            }  # fmt: skip
            words += [word for pair in flags.items() for word in pair]
            seconds, peak = run_command(words)
            each = 1000 * seconds / count
            print(f"{count:8} images {seconds:8.1f} s {each:7.2f} ms per image {peak:7.0f} MB peak")


if __name__ == "__main__":
    main()
