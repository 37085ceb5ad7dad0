"""Measures the CPU time for one image and the number of parameters of every method.

python tests/bench/methods.py [--photos DIR]

The images have 800 x 800 px. Told methods are given the true radius and ratio.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from common import median_cpu_seconds, parser_with_photos, photos_or_scenes

from localize import registry
from localize.data.folder import Folder
from localize.localizer import Localizer, Told
from localize.methods.cnn import Cnn
from localize.registry import METHODS
from synth import PRESETS, generate, photos, render


def prepare(name: str, dataset: Path) -> Localizer:
    """A method's name -> a localizer that can locate.

    A CNN without included weights gets random ones: the time does not depend on the weights. The
    other methods are fitted to the dataset, those with epochs for one epoch.
    """
    entry = METHODS[name]
    if entry.learns == "nothing":
        return registry.create(name)
    if entry.weights:
        return registry.load(name, device="cpu")
    options = entry.select_options({"device": "cpu", "epochs": 1, "calibration_images": 4})
    method = registry.create(name, **options)
    if isinstance(method, Cnn):
        network = method.build((0.0, 0.0), (1.0, 1.0)).eval()
        method.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    else:
        images = Folder(dataset, "train")
        method.fit(images, images, dataset / name)
    return method


def main() -> None:
    chosen = parser_with_photos(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = photos_or_scenes(chosen.photos, Path(temporary), count=4)
        samples = [render(folder / name, PRESETS["seed"]) for name in photos.find(folder)[:4]]
        dataset = Path(temporary) / "set"
        generate(folder, dataset, replace(PRESETS["seed"], twins=True, split=(1, 0, 0)), count=4)
        methods = {name: prepare(name, dataset) for name in METHODS}
    images = [sample.image for sample in samples]
    told = [Told(s.truth.r, s.truth.discolor_ratio) for s in samples if s.truth]
    times = median_cpu_seconds(
        {
            name: lambda m=m: m.locate(images, told if m.told else None)
            for name, m in methods.items()
        },
        rounds=3,
    )
    reference = times["cnn-fast"]
    print(f"{len(images)} images of 800 x 800 px, median CPU time of 3 rounds")
    for name, seconds in times.items():
        print(
            f"{name:21} {1000 * seconds / len(images):9.2f} ms per image   "
            f"{seconds / reference:7.3f} x cnn-fast   {methods[name].parameters:>11,} parameters"
        )


if __name__ == "__main__":
    main()
