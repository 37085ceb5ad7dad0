"""A detector that needs no edge: it looks for gaps in the histogram.

Brightening by a ratio q, rounded to the nearest level, leaves one level in q / (q - 1) empty. A
PNG keeps these gaps; JPEG and stochastic rounding fill them. What finds faint changes in PNG
only has read them, and so would this:

    localize sharpness docs/comb.py:find --photos PHOTOS --codecs png,jpeg90 --out chart
"""

from __future__ import annotations

import numpy as np

RATIOS = np.arange(1.02, 1.36, 0.002)
BLOCK = 8  # px, the step of the windows that are looked through
REACHES = (1, 2, 3, 4, 6)  # blocks from a window's middle one to its sides
MOST, ALIEN = 30.0, -30.0  # nats, of a level that is missed, at most, and of one too many


def gaps(ratio: float) -> np.ndarray:
    """(256,) which levels no pixel of a region has."""
    empty = np.ones(256, bool)
    empty[np.clip(np.rint(np.arange(256) * ratio), 0, 255).astype(int)] = False
    return empty


def histograms(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (h, w, 3, 256) counts of each block and channel."""
    down, across = (side // BLOCK for side in image.shape[:2])
    blocks = image[: down * BLOCK, : across * BLOCK].reshape(down, BLOCK, across, BLOCK, 3)
    levels = blocks.transpose(0, 2, 4, 1, 3).reshape(-1, BLOCK * BLOCK)
    places = np.arange(len(levels))[:, None] * 256 + levels
    return np.bincount(places.ravel(), minlength=256 * len(levels)).reshape(down, across, 3, 256)


def find(image: np.ndarray) -> dict[str, float]:
    """(H, W, 3) uint8 -> the likeliest centre, px, its ratio, and how likely."""
    counts = histograms(image)
    total = np.pad(counts, ((1, 0), (1, 0), (0, 0), (0, 0))).cumsum(0).cumsum(1)
    asked = np.array([gaps(ratio) for ratio in RATIOS], np.float32)
    best = {"x": 0.0, "y": 0.0, "score": -np.inf}
    for side in (2 * reach + 1 for reach in REACHES):
        if min(counts.shape[:2]) < side:
            continue
        seen = total[side:, side:] - total[:-side, side:] - total[side:, :-side]
        seen = (seen + total[:-side, :-side]).astype(np.float32)
        # A level that its neighbours have, but no pixel: the more they have, the odder.
        beside = np.zeros_like(seen)
        beside[..., 1:-1] = (seen[..., :-2] + seen[..., 2:]) / 2
        says = np.where(seen == 0, np.minimum(beside, MOST), ALIEN).sum(axis=2)
        scores = says @ asked.T
        y, x, which = np.unravel_index(scores.argmax(), scores.shape)
        if scores[y, x, which] > best["score"]:
            place = {name: (at + side / 2) * BLOCK - 0.5 for name, at in (("x", x), ("y", y))}
            best = {**place, "ratio": RATIOS[which], "score": scores[y, x, which]}
    return {name: float(value) for name, value in best.items()}
