"""Compares the CPU time of `synth generate` for one image with that of two simpler programs.

python tests/bench/generator.py [--photos DIR]

The first only decodes, resizes and encodes, which no generator can avoid. The second is a simple
implementation with Pillow and NumPy, which decodes photos in full and multiplies whole arrays.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from common import enlarge_photos, median_cpu_seconds, parser_with_photos, photos_or_scenes
from PIL import Image

from synth import PRESETS, photos
from synth.row_files import make_rows

SIZE = (800, 800)


def decode_and_encode(folder: Path, names: list[str], out: Path) -> None:
    """Decodes JPEG photos at a reduced scale, resizes and encodes them."""
    for name in names:
        image = Image.open(folder / name)
        image.draft("RGB", SIZE)
        image.resize(SIZE, Image.Resampling.BICUBIC).save(out / "minimal.jpg", quality=75)


def simple_generator(folder: Path, names: list[str], out: Path) -> None:
    """Decodes photos in full, resizes them, multiplies a square and encodes them."""
    y, x = np.mgrid[0:800, 0:800]
    for name in names:
        image = Image.open(folder / name).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
        pixels = np.asarray(image).astype(np.float64)
        inside = (abs(x - 400) <= 80) & (abs(y - 300) <= 80)
        pixels[inside] *= 1.1
        Image.fromarray(pixels.astype(np.uint8)).save(out / "simple.jpg", quality=75)


def synth_generator(folder: Path, names: list[str], out: Path) -> None:
    """Makes the rows of a dataset as `synth generate` does."""
    for name in names:
        make_rows(folder, name, ("", ""), PRESETS["seed"], out)


def compare(title: str, folder: Path, out: Path) -> None:
    """Measures all three on at most twelve JPEG photos of a folder, and prints a table."""
    names = [n for n in photos.find(folder) if n.endswith((".jpg", ".jpeg"))][:12]
    times = median_cpu_seconds(
        {
            "decode, resize, encode only": lambda: decode_and_encode(folder, names, out),
            "simple generator": lambda: simple_generator(folder, names, out),
            "synth": lambda: synth_generator(folder, names, out),
        }
    )
    print(f"{title}: {len(names)} photos to 800 x 800 px, preset seed, median of 5 rounds")
    for name, seconds in times.items():
        ratio = seconds / times["synth"]
        print(f"  {name:28} {1000 * seconds / len(names):7.1f} ms per image  {ratio:5.2f} x synth")


def main() -> None:
    chosen = parser_with_photos(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = photos_or_scenes(chosen.photos, Path(temporary))
        out = Path(temporary) / "out"
        (out / "images").mkdir(parents=True)
        compare("Photos in their own size", folder, out)
        compare("13 megapixels", enlarge_photos(folder, Path(temporary) / "large"), out)


if __name__ == "__main__":
    main()
