"""Time and memory of `ringvote` in all its forms on images of several sizes; time to train it.

python tests/bench/ringvote.py [--photos DIR]
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from common import photo_folder

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


def measure(name: str, image: np.ndarray, told: Told | None) -> tuple[float, float, int]:
    """-> seconds an image (the best round), peak memory of the process in MB, parameters."""
    method = registry.load(name)
    given = [told] if told else None
    seconds = []
    for _ in range(1 if image.size > 10**7 else ROUNDS):
        began = time.perf_counter()
        method.locate([image], given)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return min(seconds), peak, method.parameters


def learn(folder: Path, many_regions: bool) -> float:
    """-> ms an image of a training step, without drawing the images."""
    device = device_of("auto")
    cuda = device.type == "cuda"
    batch, chunk = (16, GPU_CHUNK) if cuda else (4, 1)
    stage = recipe_stages.load(RECIPE)[0 if many_regions else -1]
    drawn = endless.Endless(folder, (dataclasses.replace(stage, until=None),), 1)
    batches = move(list(Batches(drawn, 0, 3 * batch, batch, batch if cuda else 1)), device)
    network = RingVoteNet().to(device)
    seconds = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for parts in batches:
            for each in parts:
                loss, _ = batch_loss(network, each, chunk)
                loss.backward()
        network.evidence_head.weight.grad.sum().item()  # waits for the device
        seconds.append((time.perf_counter() - began) / len(batches) / batch)
    return 1000 * min(seconds)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = photo_folder(Path(temporary), count=1)
        photo = photos.read(folder, photos.find(folder)[0]).picture
        for many_regions in (True, False):
            what = "up to 30 regions" if many_regions else "1 to 4 regions"
            print(f"training, {what:16} {learn(folder, many_regions):8.1f} ms an image of 320x320")
    images = {size: np.asarray(photo.resize(size)) for size in SIZES}
    processes = multiprocessing.get_context("spawn")  # each measures the memory of its own
    known = Told(40.0, 1.08)
    asked = (
        ("ringvote-told", known), ("ringvote", None),
        ("ringvote-careful-told", known), ("ringvote-careful", None),
    )  # fmt: skip
    for name, told in asked:
        for (width, height), image in images.items():
            with processes.Pool(1) as pool:
                seconds, peak, parameters = pool.apply(measure, (name, image, told))
            print(
                f"{name:21} {width:>5}x{height:<5} {1000 * seconds:8.1f} ms an image   "
                f"{peak:6.0f} MB at most   {parameters:,} parameters"
            )


if __name__ == "__main__":
    main()
