"""What the benches share: photos, and ratios of CPU time measured in one run."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from synth import photos, scenes


def options(parser: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    """The command line: ``--photos DIR``, and what else the parser knows."""
    parser = parser or argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, help="folder of photos; default: procedural ones")
    return parser.parse_args()


def photo_folder(temporary: Path, side: int = 1000, count: int = 12) -> Path:
    """``--photos DIR`` of the command line, or else procedural photos as JPEG."""
    return chosen_or_made(options().photos, temporary, side, count)


def chosen_or_made(chosen: Path | None, temporary: Path, side: int = 1000, count: int = 12) -> Path:
    """The chosen folder of photos, or else procedural ones as JPEG."""
    if chosen is not None:
        photos.find(chosen)
        return chosen
    made = scenes.write(temporary / "scenes", count, side, side * 3 // 4, seed=1)
    (temporary / "photos").mkdir()
    for path in made:
        Image.open(path).save(temporary / "photos" / f"{path.stem}.jpg", quality=92)
    return temporary / "photos"


def enlarged(folder: Path, out: Path, size: tuple[int, int] = (4200, 3150), count: int = 4) -> Path:
    """Photos of 13 megapixels, as a camera makes them: enlarged, with fresh sensor noise."""
    out.mkdir()
    rng = np.random.default_rng(0)
    for name in photos.find(folder)[:count]:
        picture = photos.read(folder, name).picture.resize(size, Image.Resampling.BICUBIC)
        noisy = np.asarray(picture) + rng.normal(0, 2, (size[1], size[0], 1))
        picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
        picture.save(out / f"{Path(name).stem}.jpg", quality=92)
    return out


def race(jobs: dict[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Name -> median CPU seconds; the jobs take turns, so that noise meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()  # warm up
    for _ in range(rounds):
        for name, job in jobs.items():
            began = time.process_time()
            job()
            times[name].append(time.process_time() - began)
    return {name: statistics.median(values) for name, values in times.items()}


def measured(arguments: Sequence[str | Path | int]) -> tuple[float, float]:
    """Run a command -> seconds, and the peak memory of its main process in MB."""
    began = time.perf_counter()
    words = [str(word) for word in arguments]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(words)} failed")
    return time.perf_counter() - began, usage.ru_maxrss / 1024
