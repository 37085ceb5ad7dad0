"""The loss: the negative log likelihood of the true centres, and errors of the attributes.

Centres are a Poisson process whose rates are the map: an image with regions at places c has the
likelihood exp(-sum of all rates) x product of the rates around each c. The map therefore learns
where centres are and, from the sum of its rates, whether there is one at all.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from localize.methods.heatmap.network import RATIO_UNIT, SQUARE, Maps, middles
from localize.methods.heatmap.targets import IS_SQUARE, LOG_RATIO, R, X, Y

RIGHT = 6.0  # px from a square's middle to a centre, within which the square is right
OFFSET_WEIGHT, RADIUS_WEIGHT, SHAPE_WEIGHT, RATIO_WEIGHT = 0.3, 1.0, 0.1, 0.2
LEAST_LOG_RATE = -12.0  # around a true centre; below it the loss of a region saturates


def loss_of(maps: Maps, regions: Tensor, sizes: Tensor) -> Tensor:
    """Maps of B images, their regions and sizes as of :class:`Batch` -> () loss, nats a region."""
    rows, columns = maps.log_rate.shape[1:]
    device = maps.log_rate.device
    x, y = middles(columns, device), middles(rows, device)
    inside = (x < sizes[:, None, :1])[:, 0, None] & (y < sizes[:, None, 1:])[:, 0, :, None]
    total = torch.where(inside, maps.log_rate.exp(), 0).sum((1, 2))
    given = ~regions[..., X].isnan()
    counts = given.sum(1)
    image, which = given.nonzero(as_tuple=True)
    true = regions[image, which]
    nll = total / counts.clamp_min(1)
    if len(true):
        dx = true[:, X, None, None] - x
        dy = true[:, Y, None, None] - y[:, None]
        right = (dx**2 + dy**2 <= RIGHT**2) & inside[image]
        log_rate = maps.log_rate[image].masked_fill(~right, -torch.inf).flatten(1).logsumexp(1)
        least = torch.tensor(LEAST_LOG_RATE, device=device)
        found = torch.logaddexp(log_rate, least) + _attributes(maps, image, true, right, dx, dy)
        nll = nll.index_add(0, image, -found / counts[image])
    return nll.mean()


def _attributes(
    maps: Maps, image: Tensor, true: Tensor, right: Tensor, dx: Tensor, dy: Tensor
) -> Tensor:
    """(n,): minus the mean error of offset, radius, shape and ratio over the right squares."""
    errors = (
        OFFSET_WEIGHT
        / SQUARE
        * ((maps.offset[image, 0] - dx).abs() + (maps.offset[image, 1] - dy).abs())
    )
    targets = (
        (maps.log_radius, true[:, R].log(), RADIUS_WEIGHT),
        (maps.log_ratio / RATIO_UNIT, true[:, LOG_RATIO] / RATIO_UNIT, RATIO_WEIGHT),
    )
    for values, target, weight in targets:
        errors = errors + weight * (values[image] - target[:, None, None]).abs()
    is_square = true[:, IS_SQUARE, None, None].expand_as(errors)
    odds = F.binary_cross_entropy_with_logits(maps.square[image], is_square, reduction="none")
    errors = errors + SHAPE_WEIGHT * odds
    mean: Tensor = (errors * right).sum((1, 2)) / right.sum((1, 2)).clamp_min(1)
    return -mean
