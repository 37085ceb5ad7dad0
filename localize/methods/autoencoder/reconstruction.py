"""Reconstructions of images of any size, in overlapping tiles that are blended."""

from __future__ import annotations

import functools

import numpy as np
import torch

from localize.methods.autoencoder.network import PATCH, Autoencoder
from localize.training.trainer import to_float

STRIDE = PATCH // 2  # px between tiles; four tiles reconstruct each pixel
BATCH = 16  # tiles per forward pass


def starts(length: int) -> list[int]:
    """The first pixel of each tile along an axis; the last tile ends with the axis.

    >>> starts(300), starts(128), starts(90)
    ([0, 64, 128, 172], [0], [0])
    """
    last = max(0, length - PATCH)
    return [*range(0, last, STRIDE), last]


@functools.lru_cache(maxsize=64)
def weights(length: int) -> np.ndarray:
    """-> (tiles, PATCH) float32: the weight of each tile's pixels along an axis.

    They fall smoothly towards the ends of a tile, so that the blended tiles have no seams, and
    those of one pixel add up to 1.
    """
    window = np.sin(np.pi * (np.arange(PATCH) + 0.5) / PATCH) ** 2
    sums = np.zeros(max(length, PATCH))
    for start in starts(length):
        sums[start : start + PATCH] += window
    tiles = [window / sums[start : start + PATCH] for start in starts(length)]
    return np.array(tiles, np.float32)


def enlarge(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> at least (PATCH, PATCH, 3): mirrored beyond the right and lower edge."""
    missing = [(0, max(0, PATCH - length)) for length in image.shape[:2]]
    return np.pad(image, (*missing, (0, 0)), mode="symmetric") if any(map(sum, missing)) else image


@torch.inference_mode()
def reconstruct(
    network: Autoencoder, image: np.ndarray, top: int = 0, bottom: int | None = None
) -> np.ndarray:
    """(H, W, 3) uint8 -> (bottom - top, W, 3) float32: rows of its reconstruction, about 0 to 1.

    A row does not depend on which others are computed with it.
    """
    height, width = image.shape[:2]
    bottom = height if bottom is None else bottom
    image = enlarge(image)
    blended = np.zeros((bottom - top, image.shape[1], 3), np.float32)
    for row, row_weights in zip(starts(height), weights(height), strict=True):
        first, last = max(row, top), min(row + PATCH, bottom)
        if first >= last:
            continue
        inside = slice(first - row, last - row)
        tiles = _tiles(network, image[row : row + PATCH], width)
        for column, column_weights, tile in zip(starts(width), weights(width), tiles, strict=True):
            weight = row_weights[inside, None, None] * column_weights[:, None]
            blended[first - top : last - top, column : column + PATCH] += weight * tile[inside]
    return blended[:, :width]


def _tiles(network: Autoencoder, strip: np.ndarray, width: int) -> np.ndarray:
    """(PATCH, W, 3) uint8 -> (tiles, PATCH, PATCH, 3) float32, reconstructed one by one."""
    device = next(network.parameters()).device
    patches = np.stack([strip[:, start : start + PATCH] for start in starts(width)])
    inputs = torch.from_numpy(patches).permute(0, 3, 1, 2)
    outputs = [network(to_float(group.to(device))).cpu() for group in inputs.split(BATCH)]
    return torch.cat(outputs).permute(0, 2, 3, 1).numpy()
