"""Whitens a picture with an autoregressive model that is fitted to each cell, without training.

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

REACH = 4  # px that a prediction looks back
LAGS = tuple(
    (dy, dx) for dy, dx in product(range(-REACH, 1), range(-REACH, REACH + 1)) if (dy, dx) < (0, 0)
)
BESIDE = LAGS.index((0, -1))  # what all others are compared with: so level does not count
CELL = 32  # px of a side, with one rule; fitted to it and the eight cells around it
SPREAD = 1.5  # px, of the Gaussian in which the leftovers' variance is measured
SPARE = 2  # px between those that rules are fitted to, which are enough
ROUNDS = 2  # of fitting: flat parts count more once it is known where they are
RIDGE = 1e-3  # of the mean variance


@dataclass(frozen=True)
class Texture:
    """What predictions leave over.

    Args:
        rest: (H, W), logarithms of grey levels less their predictions.
        variance: (H, W), of these.
        rules: (h, w, LAGS), by cell: what each pixel before counts in a prediction; sums to 1.
    """

    rest: Tensor
    variance: Tensor
    rules: Tensor


def texture(logs: Tensor, noise: Tensor) -> Texture:
    """(H, W) logarithms of grey levels, (H, W) variance of their noise -> what is left over.

    Source: weighted least squares, repeated with the weights that follow from the last fit.
    """
    height, width = logs.shape
    border = (REACH, REACH + -width % CELL, REACH, -height % CELL)
    padded = F.pad(logs[None, None], border, mode="replicate")[0, 0]
    tiles = padded.unfold(0, CELL + REACH, CELL).unfold(1, CELL + 2 * REACH, CELL)
    across = tiles.shape[1]
    tiles = tiles.flatten(0, 1)[None]

    def lagged(dy: int, dx: int) -> Tensor:
        there = padded[REACH + dy :, REACH + dx :][:height, :width]
        return there[::SPARE, ::SPARE]

    beside = lagged(0, -1)
    seen = [*(lag for lag in LAGS if lag != (0, -1)), (0, 0)]  # the last is to be predicted
    blocks = _cells([lagged(*lag) - beside for lag in seen])
    noises = _cells([noise[::SPARE, ::SPARE]])
    unit = torch.eye(len(seen) - 1, device=logs.device)
    variance = _blurred((logs - padded[REACH:, REACH - 1 :][:height, :width]).square()) + noise
    for _ in range(ROUNDS):
        weights = _cells([1 / variance[::SPARE, ::SPARE]])
        moments = _around(blocks[:, :, :-1] * weights @ blocks.mT)
        products, answers = moments[..., :-1], moments[..., -1:]
        # As if that much white noise lay on every level, so that no rule trusts fine detail.
        blurring = _around((weights * noises).sum(3, keepdim=True))
        size = products.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        products = products + blurring * (unit + 1) + (RIDGE * size + 1e-12) * unit
        rules = torch.linalg.solve(products, answers + blurring)[..., 0]
        last = 1 - rules.sum(-1, keepdim=True)
        rules = torch.cat([rules[..., :BESIDE], last, rules[..., BESIDE:]], -1)
        rest = _rest(tiles, rules.flatten(0, 1), across)[:height, :width]
        variance = _blurred(rest.square()) + noise
    return Texture(rest, variance, rules)


def _rest(tiles: Tensor, rules: Tensor, across: int) -> Tensor:
    """(1, cells, CELL + REACH, CELL + 2 REACH), (cells, LAGS) -> all leftovers, by pixel."""
    kernels = torch.zeros((len(rules), (REACH + 1) * (2 * REACH + 1)), device=rules.device)
    kernels[:, : len(LAGS)] = -rules
    kernels[:, len(LAGS)] = 1  # the pixel itself comes after those
    kernels = kernels.view(-1, 1, REACH + 1, 2 * REACH + 1)
    rest = F.conv2d(tiles, kernels, groups=len(rules))[0].unflatten(0, (-1, across))
    return rest.permute(0, 2, 1, 3).flatten(2).flatten(0, 1)


def _cells(planes: Sequence[Tensor]) -> Tensor:
    """n (H, W), every SPARE-th pixel -> (h, w, n, those of a cell); beyond the edge are zeros."""
    side = CELL // SPARE
    height, width = planes[0].shape
    tall, wide = -(-height // side), -(-width // side)
    blocks = planes[0].new_empty(tall, wide, len(planes), side, side)
    for number, plane in enumerate(planes):
        padded = F.pad(plane, (0, -width % side, 0, -height % side))
        blocks[:, :, number] = padded.view(tall, side, wide, side).transpose(1, 2)
    return blocks.flatten(3)


def _around(values: Tensor) -> Tensor:
    """(h, w, n, m) by cell -> the sums over it and the eight around it."""
    height, width = values.shape[:2]
    padded = F.pad(values, (0, 0, 0, 0, 1, 1, 1, 1))
    rows = padded[:height] + padded[1 : height + 1] + padded[2:]
    return rows[:, :width] + rows[:, 1 : width + 1] + rows[:, 2:]


def _blurred(values: Tensor) -> Tensor:
    """(H, W) -> (H, W), its Gaussian mean."""
    reach = math.ceil(4 * SPREAD)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SPREAD) ** 2)
    shares = (kernel / kernel.sum()).tolist()
    # Sums of what lies as far to either side: on a CPU many times faster than a convolution.
    for axis, border in enumerate(((0, 0, reach, reach), (reach, reach, 0, 0))):
        count = values.shape[axis]
        padded = F.pad(values[None, None], border, mode="replicate")[0, 0]
        values = padded.narrow(axis, reach, count) * shares[reach]
        for near in range(reach):
            before, after = (padded.narrow(axis, at, count) for at in (near, 2 * reach - near))
            values.add_(before + after, alpha=shares[near])
    return values
