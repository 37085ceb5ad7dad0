"""Compares the pixel metrics of Acuity with those of anomalib 2.7.0 and torchmetrics.

    make peers
    PYTHONPATH=. .peers/anomalib/bin/python tests/peers/detection_oracle.py

The random maps are those of clean images and of images with up to three regions, with and
without equal values. The exit code is 1 if a difference is larger than in :data:`BOUND`, the
bounds that `docs/reference/scores.md` states.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from localize.evaluation import detection
from localize.training.torchvision_compat import make_torchvision_importable

make_torchvision_importable()

from anomalib.metrics.aupro import _AUPRO  # noqa: E402
from torchmetrics.functional.classification import binary_auroc  # noqa: E402

SEED = 0
SIDE = 160  # px; more pixels than the summary of a map keeps
BOUND = {"aupro": 1e-3, "pixel_auroc": 4e-4}


def smooth(noise: np.ndarray, width: int) -> np.ndarray:
    """(H, W) -> (H, W): means over width x width pixels, across the border to the other side."""
    shifts = range(-(width // 2), width - width // 2)
    for axis in (0, 1):
        noise = sum(np.roll(noise, shift, axis) for shift in shifts) / width
    return noise


def draw(rng: np.random.Generator, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Eight maps (8, H, W) float32 and their masks (8, H, W) bool; every third is clean."""
    rows, cols = np.mgrid[0:SIDE, 0:SIDE]
    maps, masks = [], []
    for i in range(8):
        mask = np.zeros((SIDE, SIDE), bool)
        for _ in range(0 if i % 3 == 0 else rng.integers(1, 4)):
            x, y, r = *rng.integers(10, SIDE - 10, 2), rng.integers(2, 25)
            mask |= (cols - x) ** 2 + (rows - y) ** 2 <= r * r
        heat = 6 * smooth(rng.normal(size=mask.shape), 9) + rng.uniform(0, 2) * mask
        maps.append({"ties": np.round(heat), "narrow": 20 + heat / 1000}.get(kind, heat))
        masks.append(mask)
    return np.stack(maps).astype(np.float32), np.stack(masks)


def metrics_of_acuity(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """The values of `localize.evaluation.detection`."""
    summaries = [detection.summarize_map(m, mask) for m, mask in zip(maps, masks, strict=True)]
    metrics = detection.pixel_metrics(summaries, range(len(maps)), draws=1)
    return {name: metrics[name].value for name in BOUND}


def metrics_of_peers(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    """The values of anomalib (AUPRO) and torchmetrics (AUROC)."""
    metric = _AUPRO(fpr_limit=0.3)
    scores, truth = torch.from_numpy(maps), torch.from_numpy(masks)
    metric.update(scores, truth.int())
    # binary_auroc applies a sigmoid in float32 to values outside 0 to 1, which makes different
    # values equal. Ranks between 0 and 1 in float64 avoid this.
    ranks = torch.unique(scores, return_inverse=True)[1].double() / scores.numel()
    area = binary_auroc(ranks.ravel(), truth.ravel().int())
    return {"aupro": float(metric.compute()), "pixel_auroc": float(area)}


def main() -> int:
    rng = np.random.default_rng(SEED)
    largest: dict[tuple[str, str], float] = {}
    for kind in ("plain", "narrow", "ties"):
        for _ in range(5):
            maps, masks = draw(rng, kind)
            acuity, peers = metrics_of_acuity(maps, masks), metrics_of_peers(maps, masks)
            for name in BOUND:
                difference = abs(acuity[name] - peers[name])
                largest[name, kind] = max(largest.get((name, kind), 0.0), difference)
    for (name, kind), difference in largest.items():
        print(f"{name:<12} {kind:<7} max difference {difference:.1e} (allowed {BOUND[name]:.0e})")
    return int(not all(difference <= BOUND[name] for (name, _), difference in largest.items()))


if __name__ == "__main__":
    sys.exit(main())
