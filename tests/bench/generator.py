"""CPU time of making a row, against the bare loop and against the obvious way.

python tests/bench/generator.py [--photos DIR]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from common import enlarged, photo_folder, race
from PIL import Image

from synth import PRESETS, photos
from synth.row_files import make_rows

SIZE = (800, 800)


def bare(folder: Path, names: list[str], out: Path) -> None:
    """Scaled decode, resize, encode: the floor."""
    for name in names:
        image = Image.open(folder / name)
        image.draft("RGB", SIZE)
        image.resize(SIZE, Image.Resampling.BICUBIC).save(out / "bare.jpg", quality=75)


def obvious(folder: Path, names: list[str], out: Path) -> None:
    """Open, resize, multiply the whole array, save."""
    y, x = np.mgrid[0:800, 0:800]
    for name in names:
        image = Image.open(folder / name).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS)
        pixels = np.asarray(image).astype(np.float64)
        inside = (abs(x - 400) <= 80) & (abs(y - 300) <= 80)
        pixels[inside] *= 1.1
        Image.fromarray(pixels.astype(np.uint8)).save(out / "obvious.jpg", quality=75)


def ours(folder: Path, names: list[str], out: Path) -> None:
    for name in names:
        make_rows(folder, name, ("", ""), PRESETS["seed"], out)


def compare(label: str, folder: Path, out: Path) -> None:
    names = [n for n in photos.find(folder) if n.endswith((".jpg", ".jpeg"))][:12]
    times = race(
        {
            "bare decode, resize, encode": lambda: bare(folder, names, out),
            "obvious way": lambda: obvious(folder, names, out),
            "synth": lambda: ours(folder, names, out),
        }
    )
    print(f"{label}: {len(names)} photos to 800x800, preset seed, median CPU time of 5 rounds")
    for name, seconds in times.items():
        ratio = seconds / times["synth"]
        print(f"  {name:28} {1000 * seconds / len(names):7.1f} ms an image   {ratio:5.2f} x synth")


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = photo_folder(Path(temporary))
        out = Path(temporary) / "out"
        (out / "images").mkdir(parents=True)
        compare("as they are", folder, out)
        compare("13 megapixels", enlarged(folder, Path(temporary) / "large"), out)


if __name__ == "__main__":
    main()
