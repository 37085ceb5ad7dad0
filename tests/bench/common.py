"""What the benches share: photos, and ratios of CPU time measured in one run."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from synth import photos, scenes


def photo_folder(temporary: Path, side: int = 1000, count: int = 12) -> Path:
    """``--photos DIR`` of the command line, or else procedural photos as JPEG."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=Path, help="folder of photos; default: procedural ones")
    chosen = parser.parse_args().photos
    if chosen is not None:
        photos.find(chosen)
        return chosen
    from PIL import Image

    made = scenes.write(temporary / "scenes", count, side, side * 3 // 4, seed=1)
    (temporary / "photos").mkdir()
    for path in made:
        Image.open(path).save(temporary / "photos" / f"{path.stem}.jpg", quality=92)
    return temporary / "photos"


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
