"""Measures the time and memory of the forms of `ringvote`, and the time of its training.

python tests/bench/ringvote.py [--photos DIR]

First: ms per image of a training step, for images with many and with few regions. Then: for
images of several sizes, the time for one image and the peak memory of the process.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from common import parser_with_photos, photos_or_scenes

from localize import registry
from localize.data import endless, recipe_stages
from localize.localizer import Told
from localize.methods.ringvote.network import RingVoteNet
from localize.methods.ringvote.train.loop import GPU_CHUNK
from localize.methods.ringvote.train.losses import batch_loss
from localize.methods.ringvote.train.packing import move
from localize.methods.ringvote.train.targets import Batches
from localize.training.devices import device_of
from synth import photos

RECIPE = Path(__file__).parents[2] / "data" / "recipes" / "ringvote.json"
SIZES = ((800, 800), (2000, 1500), (6000, 4000))  # width, height
ROUNDS = 3


def measure(name: str, image: np.ndarray, told: Told | None) -> tuple[float, float, int | None]:
    """A method and (H, W, 3) uint8 -> least seconds, peak memory in MB, number of parameters."""
    method = registry.load(name)
    told_values = [told] if told else None
    seconds = []
    for _ in range(1 if image.size > 10**7 else ROUNDS):
        start = time.perf_counter()
        method.locate([image], told_values)
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return min(seconds), peak, method.parameters


def training_time(folder: Path, many_regions: bool) -> float:
    """Photos -> ms per image of a training step, without the time to draw the images.

    Args:
        many_regions: whether the images are those of the first stage, with many regions each.
    """
    device = device_of("auto")
    cuda = device.type == "cuda"
    batch, chunk = (16, GPU_CHUNK) if cuda else (4, 1)
    stage = recipe_stages.load(RECIPE)[0 if many_regions else -1]
    source = endless.Endless(folder, (dataclasses.replace(stage, until=None),), 1)
    batches = move(list(Batches(source, 0, 3 * batch, batch, batch if cuda else 1)), device)
    network = RingVoteNet().to(device)
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for batch_parts in batches:
            for part in batch_parts:
                loss, _ = batch_loss(network, part, chunk)
                loss.backward()
        network.evidence_head.weight.grad.sum().item()  # waits until the device has finished
        seconds.append((time.perf_counter() - start) / len(batches) / batch)
    return 1000 * min(seconds)


def main() -> None:
    chosen = parser_with_photos(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = photos_or_scenes(chosen.photos, Path(temporary), count=1)
        photo = photos.read(folder, photos.find(folder)[0]).picture
        for many_regions in (True, False):
            regions = "up to 30 regions" if many_regions else "1 to 4 regions"
            milliseconds = training_time(folder, many_regions)
            print(f"training, {regions:16} {milliseconds:8.1f} ms per image of 320 x 320 px")
    images = {size: np.asarray(photo.resize(size)) for size in SIZES}
    processes = multiprocessing.get_context("spawn")  # a new one for each measurement of memory
    told_both = Told(40.0, 1.08)
    methods = (
        ("ringvote-told", told_both), ("ringvote", None),
        ("ringvote-careful-told", told_both), ("ringvote-careful", None),
    )  # fmt: skip
    for name, told in methods:
        for (width, height), image in images.items():
            with processes.Pool(1) as pool:
                seconds, peak, parameters = pool.apply(measure, (name, image, told))
            print(
                f"{name:21} {width:>5}x{height:<5} {1000 * seconds:8.1f} ms per image   "
                f"{peak:6.0f} MB peak   {parameters:,} parameters"
            )


if __name__ == "__main__":
    main()
