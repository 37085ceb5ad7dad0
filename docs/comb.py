"""A detector that needs no edge: it looks for gaps in the histogram.

Brightening by a ratio q, rounded to the nearest level, leaves one level in q / (q - 1) empty. A
PNG keeps these gaps; JPEG and stochastic rounding fill them. What finds faint changes in PNG
only has read them, and so would this:

    localize sharpness docs/comb.py:find --photos PHOTOS --codecs png,jpeg90 --out chart
"""

from __future__ import annotations

import cv2
import numpy as np

RATIOS = np.arange(1.02, 1.36, 0.01)
SIDES = (31, 61, 121)  # px, of the windows that are looked through
ALIEN = -4.0  # nats, for a level that no region of the ratio has


def levels(ratio: float) -> np.ndarray:
    """(256,) what each level says for a region of a ratio, nats."""
    reached = np.unique(np.clip(np.rint(np.arange(256) * ratio), 0, 255).astype(int))
    says = np.full(256, ALIEN, np.float32)
    says[reached] = np.log(ratio)
    says[[0, 255]] = 0  # black stays black, and white is where all that is brighter ends
    return says


def find(image: np.ndarray) -> dict[str, float]:
    """(H, W, 3) uint8 -> the likeliest centre, px, its ratio, and how likely."""
    best = {"score": -np.inf}
    for ratio in RATIOS:
        evidence = levels(ratio)[image].sum(axis=2)
        for side in SIDES:
            total = cv2.boxFilter(evidence, -1, (side, side), normalize=False)
            edge = side // 2
            inner = total[edge : len(total) - edge, edge : total.shape[1] - edge]
            if inner.size and inner.max() > best["score"]:
                y, x = np.unravel_index(inner.argmax(), inner.shape)
                best = {"x": x + edge, "y": y + edge, "ratio": ratio, "score": inner.max()}
    return {name: float(value) for name, value in best.items()}
