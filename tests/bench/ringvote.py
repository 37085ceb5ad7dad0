"""Time and memory of `ringvote`, told and untold, on images of several sizes.

python tests/bench/ringvote.py [--photos DIR]
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from common import photo_folder

from localize import localizer
from localize.localizer import Told
from synth import photos

SIZES = ((800, 800), (2000, 1500), (6000, 4000))  # width, height
ROUNDS = 3


def measure(name: str, image: np.ndarray, told: Told | None) -> tuple[float, float, int]:
    """-> seconds an image (the best round), peak memory of the process in MB, parameters."""
    method = localizer.load(name)
    given = [told] if told else None
    seconds = []
    for _ in range(1 if image.size > 10**7 else ROUNDS):
        began = time.perf_counter()
        method.locate([image], given)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return min(seconds), peak, method.parameters


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = photo_folder(Path(temporary), count=1)
        photo = photos.read(folder, photos.find(folder)[0]).picture
    images = {size: np.asarray(photo.resize(size)) for size in SIZES}
    processes = multiprocessing.get_context("spawn")  # each measures the memory of its own
    for name, told in (("ringvote-told", Told(40.0, 1.08)), ("ringvote", None)):
        for (width, height), image in images.items():
            with processes.Pool(1) as pool:
                seconds, peak, parameters = pool.apply(measure, (name, image, told))
            print(
                f"{name:14} {width:>5}x{height:<5} {1000 * seconds:8.0f} ms an image   "
                f"{peak:6.0f} MB at most   {parameters:,} parameters"
            )


if __name__ == "__main__":
    main()
