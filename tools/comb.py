"""A detector that finds regions by gaps in the histogram and not by their edges.

A ratio q above 1, rounded to the nearest level, leaves one level in q / (q - 1) empty. PNG keeps
these gaps; JPEG and stochastic rounding fill them. If a detector finds faint changes in PNG images
only, as this one does, then it uses the gaps:

    localize sharpness tools/comb.py:find --photos PHOTOS --codecs png,jpeg90 --out chart
"""

from __future__ import annotations

import numpy as np

RATIOS = np.arange(1.02, 1.36, 0.002)
BLOCK = 8  # px: windows begin at multiples of this
REACHES = (1, 2, 3, 4, 6)  # blocks from the middle block of a window to its sides
EMPTY, OCCUPIED = 30.0, -30.0  # nats: highest score of an empty level; score of a level in use


def gaps(ratio: float) -> np.ndarray:
    """A ratio -> (256,) bool: the levels that no product has."""
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
    """(H, W, 3) uint8 -> x and y (px), ratio and score of the best window."""
    counts = histograms(image)
    total = np.pad(counts, ((1, 0), (1, 0), (0, 0), (0, 0))).cumsum(0).cumsum(1)
    combs = np.array([gaps(ratio) for ratio in RATIOS], np.float32)
    best = {"x": 0.0, "y": 0.0, "score": -np.inf}
    for side in (2 * reach + 1 for reach in REACHES):
        if min(counts.shape[:2]) < side:
            continue
        levels = total[side:, side:] - total[:-side, side:] - total[side:, :-side]
        levels = (levels + total[:-side, :-side]).astype(np.float32)
        # An empty level is a stronger sign of a gap if its neighbours have many pixels.
        beside = np.zeros_like(levels)
        beside[..., 1:-1] = (levels[..., :-2] + levels[..., 2:]) / 2
        gains = np.where(levels == 0, np.minimum(beside, EMPTY), OCCUPIED).sum(axis=2)
        scores = gains @ combs.T
        y, x, which = np.unravel_index(scores.argmax(), scores.shape)
        if scores[y, x, which] > best["score"]:
            place = {name: (at + side / 2) * BLOCK - 0.5 for name, at in (("x", x), ("y", y))}
            best = {**place, "ratio": float(RATIOS[which]), "score": scores[y, x, which]}
    return {name: float(value) for name, value in best.items()}
