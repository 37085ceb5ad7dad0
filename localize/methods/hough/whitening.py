"""Whitens an image with an autoregressive model that is fitted to each cell, without training.

Every pixel is predicted from the pixels before it in reading order. The residual is nearly white
noise; :mod:`localize.methods.hough.step_likelihood` searches it for steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

REACH = 4  # px from a pixel to the farthest one that its prediction uses
# (dy, dx) of the pixels that a prediction uses: all before it in reading order.
LAGS = tuple(
    (dy, dx) for dy, dx in product(range(-REACH, 1), range(-REACH, REACH + 1)) if (dy, dx) < (0, 0)
)
LEFT = LAGS.index((0, -1))  # all values are taken relative to this one, so the weights sum to 1
CELL = 32  # px of a side, with one model; it is fitted to the cell and the eight around it
SPREAD = 1.5  # px, sigma of the Gaussian over which the residual's variance is averaged
STRIDE = 2  # px between the pixels that models are fitted to; fewer are enough
ROUNDS = 2  # fits; the second weights each pixel by the residual's variance after the first
RIDGE = 1e-3  # of the mean variance, added to the normal equations


@dataclass(frozen=True)
class Whitened:
    """The residual of an image and the models that give it.

    Args:
        residual: (H, W), logarithms of grey levels minus their predictions.
        variance: (H, W), of the residual, averaged around each pixel.
        weights: (h, w, LAGS), the prediction weights of each cell; they sum to 1.
    """

    residual: Tensor
    variance: Tensor
    weights: Tensor


def whiten(logs: Tensor, noise: Tensor) -> Whitened:
    """Fits the models of all cells and subtracts their predictions.

    Args:
        logs: (H, W) logarithms of grey levels.
        noise: (H, W) variance of their noise.

    Source: weighted least squares, repeated with weights from the last fit.
    """
    height, width = logs.shape
    border = (REACH, REACH + -width % CELL, REACH, -height % CELL)
    padded = F.pad(logs[None, None], border, mode="replicate")[0, 0]
    tiles = padded.unfold(0, CELL + REACH, CELL).unfold(1, CELL + 2 * REACH, CELL)
    cells_across = tiles.shape[1]
    tiles = tiles.flatten(0, 1)[None]

    def shift(dy: int, dx: int) -> Tensor:
        plane = padded[REACH + dy :, REACH + dx :][:height, :width]
        return plane[::STRIDE, ::STRIDE]

    left = shift(0, -1)
    lags = [*(lag for lag in LAGS if lag != (0, -1)), (0, 0)]  # the last one is the target
    blocks = _blocks([shift(*lag) - left for lag in lags])
    noises = _blocks([noise[::STRIDE, ::STRIDE]])
    unit = torch.eye(len(lags) - 1, device=logs.device)
    variance = _blur((logs - padded[REACH:, REACH - 1 :][:height, :width]).square()) + noise
    for _ in range(ROUNDS):
        precision = _blocks([1 / variance[::STRIDE, ::STRIDE]])
        moments = _sum_neighbours(blocks[:, :, :-1] * precision @ blocks.mT)
        products, targets = moments[..., :-1], moments[..., -1:]
        # Adds the covariance of white noise on every level, as in errors-in-variables: without
        # it a model would rely on details that are smaller than the noise.
        noise_power = _sum_neighbours((precision * noises).sum(3, keepdim=True))
        size = products.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        products = products + noise_power * (unit + 1) + (RIDGE * size + 1e-12) * unit
        weights = torch.linalg.solve(products, targets + noise_power)[..., 0]
        last = 1 - weights.sum(-1, keepdim=True)
        weights = torch.cat([weights[..., :LEFT], last, weights[..., LEFT:]], -1)
        residual = _residual(tiles, weights.flatten(0, 1), cells_across)[:height, :width]
        variance = _blur(residual.square()) + noise
    return Whitened(residual, variance, weights)


def _residual(tiles: Tensor, weights: Tensor, cells_across: int) -> Tensor:
    """(1, cells, CELL + REACH, CELL + 2 REACH), (cells, LAGS) -> (H, W) residual of all cells."""
    kernels = torch.zeros((len(weights), (REACH + 1) * (2 * REACH + 1)), device=weights.device)
    kernels[:, : len(LAGS)] = -weights
    kernels[:, len(LAGS)] = 1  # the pixel itself follows the lags
    kernels = kernels.view(-1, 1, REACH + 1, 2 * REACH + 1)
    residual = F.conv2d(tiles, kernels, groups=len(weights))[0].unflatten(0, (-1, cells_across))
    return residual.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)


def _blocks(planes: Sequence[Tensor]) -> Tensor:
    """n planes of every STRIDE-th pixel -> (h, w, n, pixels of a cell); zeros beyond the edge."""
    side = CELL // STRIDE
    height, width = planes[0].shape
    tall, wide = -(-height // side), -(-width // side)
    blocks = planes[0].new_empty(tall, wide, len(planes), side, side)
    for number, plane in enumerate(planes):
        padded = F.pad(plane, (0, -width % side, 0, -height % side))
        blocks[:, :, number] = padded.view(tall, side, wide, side).transpose(1, 2)
    return blocks.flatten(3)


def _sum_neighbours(values: Tensor) -> Tensor:
    """(h, w, n, m) by cell -> the sums over each cell and the eight around it."""
    height, width = values.shape[:2]
    padded = F.pad(values, (0, 0, 0, 0, 1, 1, 1, 1))
    rows = padded[:height] + padded[1 : height + 1] + padded[2:]
    return rows[:, :width] + rows[:, 1 : width + 1] + rows[:, 2:]


def _blur(values: Tensor) -> Tensor:
    """(H, W) -> (H, W), its Gaussian mean."""
    reach = math.ceil(4 * SPREAD)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SPREAD) ** 2)
    shares = (kernel / kernel.sum()).tolist()
    # Adds the two pixels at the same distance first: on a CPU many times faster than conv2d.
    for axis, border in enumerate(((0, 0, reach, reach), (reach, reach, 0, 0))):
        count = values.shape[axis]
        padded = F.pad(values[None, None], border, mode="replicate")[0, 0]
        values = padded.narrow(axis, reach, count) * shares[reach]
        for near in range(reach):
            before, after = (padded.narrow(axis, at, count) for at in (near, 2 * reach - near))
            values.add_(before + after, alpha=shares[near])
    return values
