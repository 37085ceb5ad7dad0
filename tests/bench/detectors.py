"""Compares detectors that learn from clean images on one scene and on varied photos.

python tests/bench/detectors.py --out DIR [--photos DIR --test-photos DIR] [--methods A,B]

Makes two datasets of 512 px images with ratios from 1.05 to 1.15, trains each method on the clean
twins of the train split and scores it on the test split. A finished part is not made again.

- one scene: 96 crops of one procedural scene of 640 x 600 px, as a fixed camera sees one object
  again and again; the crops overlap. 48 clean images to train on, 32 + 32 images to test with.
- varied photos: those of --photos to train on, those of --test-photos to test with, two crops of
  each, at most --images images of a kind. Without these options, other procedural scenes.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import localize
from localize import registry
from localize.data.folder import Folder
from synth import PRESETS, console, generate, scenes
from synth.recipe import Recipe

METHODS = (
    "boundary", "patchcore", "autoencoder", "transfer-clean", "anomalib:padim", "anomalib:fre",
    "anomalib:stfpm", "anomalib:draem", "anomalib:ganomaly", "anomalib:anomaly_dino",
)  # fmt: skip
# Options and numbers of steps that bring each training to a few minutes on a CPU. The tables show
# the epochs of models of anomalib beside their usual number.
OPTIONS: dict[str, dict[str, Any]] = {
    "autoencoder": {"epochs": 10, "crops": 512},
    "anomalib:draem": {"input": (64, 64)},
    "anomalib:ganomaly": {"input": (128, 128)},
}
STEPS = {"anomalib:fre": 60, "anomalib:stfpm": 30, "anomalib:draem": 4, "anomalib:ganomaly": 30}
BATCH = 16  # images per step of a model of anomalib
SCENE, SIDE, CROPS = (640, 600), 512, 96


def recipe(**fields: object) -> Recipe:
    """The recipe of both datasets, with some fields changed."""
    changed = {"size": (512, 512), "ratio": (1.05, 1.15), "twins": True, "masks": True, **fields}
    return Recipe(**{**vars(PRESETS["default"]), **changed})


def write_crops(folder: Path) -> Path:
    """Render one scene and save random crops of it; -> the folder of the crops."""
    crops = folder / "crops"
    if not crops.is_dir():
        [path] = scenes.write(folder / "scene", 1, *SCENE, seed=4)
        pixels = np.asarray(Image.open(path).convert("RGB"))
        rng = np.random.default_rng(0)
        crops.mkdir(parents=True)
        for number in range(CROPS):
            x, y = (int(rng.integers(side - SIDE + 1)) for side in SCENE)
            crop = Image.fromarray(pixels[y : y + SIDE, x : x + SIDE])
            crop.save(crops / f"crop-{number:02}.png")
    return crops


def datasets_of_scene(folder: Path) -> tuple[Path, Path]:
    """One dataset with all splits; overlapping crops are in different splits on purpose."""
    out = folder / "set"
    if not out.is_dir():
        split = (48 / CROPS, 16 / CROPS, 32 / CROPS)
        generate(write_crops(folder), out, recipe(split=split, keep_duplicates=True, seed=1))
    return out, out


def datasets_of_photos(
    folder: Path, train: Path | None, test: Path | None, images: int
) -> tuple[Path, Path]:
    """A dataset to train on and one to test with, made from different photos."""
    if train is None or test is None:
        train, test = folder / "scenes-train", folder / "scenes-test"
        for path, count, seed in ((train, 60, 11), (test, 24, 12)):
            if not path.is_dir():
                scenes.write(path, count, 768, 640, seed=seed)
    sets = folder / "train-set", folder / "test-set"
    if not sets[0].is_dir():
        generate(train, sets[0], recipe(split=(0.8, 0.2, 0), seed=1), count=images)
    if not sets[1].is_dir():
        generate(test, sets[1], recipe(per_photo=2, split=(0, 0, 1), seed=2))
    return sets


def trained(method: str, dataset: Path, runs: Path) -> str:
    """The SPEC of a method: its run folder, if it learns."""
    if registry.method(method).learns == "nothing":
        return method
    run = runs / registry.folder_of(method)
    if not (run / "model.json").is_file():
        console.print_line(f"{dataset}: {method}")
        options = OPTIONS.get(method, {})
        if method in STEPS:
            per_epoch = math.ceil(len(Folder(dataset, "train").negatives()) / BATCH)
            options = options | {"epochs": round(STEPS[method] / per_epoch)}
        localize.train(method, dataset, run, overwrite=True, **options)
    return str(run)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--photos", type=Path, help="folder of photos to train on")
    parser.add_argument("--test-photos", type=Path, help="folder of photos to test with")
    parser.add_argument("--images", type=int, default=100, help="training images [100]")
    parser.add_argument("--methods", default=",".join(METHODS), help="joined by commas")
    chosen = parser.parse_args()
    parts = {
        "one scene": datasets_of_scene(chosen.out / "one-scene"),
        "varied photos": datasets_of_photos(
            chosen.out / "varied", chosen.photos, chosen.test_photos, chosen.images
        ),
    }
    columns = ["method", "n", "n_clean", "image_auroc", "image_auroc_low", "image_auroc_high",
               "hit@r", "mean_distance", "mean_distance_low", "mean_distance_high"]  # fmt: skip
    for name, (train, test) in parts.items():
        folder = train.parent
        specs = [trained(each, train, folder / "runs") for each in chosen.methods.split(",")]
        scores = localize.evaluate(
            specs, test, folder / "scores", split="test", overwrite=True, time_limit=600,
            say=console.print_line,
        ).scores  # fmt: skip
        print(f"\n{name}\n{scores[columns].to_string(index=False, float_format='%.3g')}")
        pd.DataFrame(scores).to_csv(chosen.out / f"{folder.name}.csv", index=False)


if __name__ == "__main__":
    main()
