"""What the benchmarks share: folders of photos, CPU time of functions, memory of commands."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from synth import photos, renderer, scenes
from synth.errors import Skipped
from synth.recipe import Recipe
from synth.renderer import Sample


def parser_with_photos(description: str | None) -> argparse.ArgumentParser:
    """A parser of the command line that knows ``--photos DIR``."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, help="folder of photos [scenes]")
    return parser


def photos_or_scenes(
    chosen: Path | None, temporary: Path, side: int = 1000, count: int = 12
) -> Path:
    """The chosen folder if it has photos, or a new folder in ``temporary`` with scenes as JPEG.

    Args:
        side: width of the scenes in px; their height is three quarters of it.
        count: number of scenes.
    """
    if chosen is not None:
        photos.find(chosen)
        return chosen
    rendered = scenes.write(temporary / "scenes", count, side, side * 3 // 4, seed=1)
    (temporary / "photos").mkdir()
    for path in rendered:
        Image.open(path).save(temporary / "photos" / f"{path.stem}.jpg", quality=92)
    return temporary / "photos"


def draw_samples(folder: Path, chosen: Recipe) -> Iterator[Sample]:
    """Draws the images of a folder of photos that have an anomaly, with their clean twins."""
    for name in photos.find(folder):
        for k in range(chosen.per_photo):
            try:
                sample = renderer.render(photos.read(folder, name), chosen, k)
            except Skipped as reason:
                print(f"{name}: {reason}")
                break
            if sample.truth is not None:
                yield sample


def enlarge_photos(
    folder: Path, out: Path, size: tuple[int, int] = (4200, 3150), count: int = 4
) -> Path:
    """Writes photos of 13 megapixels to ``out``: photos that are enlarged, with sensor noise."""
    out.mkdir()
    rng = np.random.default_rng(0)
    for name in photos.find(folder)[:count]:
        photo = photos.read(folder, name).picture.resize(size, Image.Resampling.BICUBIC)
        noisy = np.asarray(photo) + rng.normal(0, 2, (size[1], size[0], 1))
        photo = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        photo.save(out / f"{Path(name).stem}.jpg", quality=92)
    return out


def median_cpu_seconds(
    functions: dict[str, Callable[[], object]], rounds: int = 5
) -> dict[str, float]:
    """Calls all functions in every round -> by name, the median CPU time of a call in seconds.

    The functions are called in turn, so that a change of the machine's speed affects all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in functions}
    for function in functions.values():
        function()  # the first call also loads modules and fills caches
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def run_command(arguments: Sequence[str | Path | int]) -> tuple[float, float]:
    """Runs a command -> its time in seconds, and the peak memory of its main process in MB."""
    start = time.perf_counter()
    words = [str(word) for word in arguments]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024
