"""From an image to the answer: the maps, in tiles for large images, and their maximum."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from localize.localizer import Finding
from localize.methods.heatmap.network import CONTEXT, SQUARE, HeatmapNet, Maps, middles
from localize.methods.hough.candidates import Candidate
from localize.methods.ringvote import platt

WHOLE = 1 << 21  # px; a larger image is computed in tiles, which bounds the memory
TILE = 768  # px, side of a tile without its context; a multiple of STRIDE
FIELDS = tuple(each.name for each in fields(Maps))


@dataclass(frozen=True)
class Region:
    """The likeliest region of an image.

    Args:
        x, y, r: px.
        ratio: factor of the code values.
        square: whether it is more likely a square than a circle.
        log_expected: logarithm of the expected number of regions in the image.
    """

    x: float
    y: float
    r: float
    ratio: float
    square: bool
    log_expected: float

    def platt_inputs(self) -> Tensor:
        """The inputs of the Platt scaling."""
        return platt.inputs([Candidate(0, 0, self.r, self.log_expected, self.square, self.ratio)])


@torch.inference_mode()
def maps_of(network: HeatmapNet, image: np.ndarray) -> Maps:
    """(H, W, 3) uint8 -> the maps of the image (B = 1)."""
    height, width = image.shape[:2]
    if height * width <= WHOLE:
        return network(_to_input(network, image))
    rows = []
    for top in range(0, height, TILE):
        tiles = [_tile(network, image, top, left) for left in range(0, width, TILE)]
        rows.append(_join(tiles, -1))
    return _join(rows, -2)


def _tile(network: HeatmapNet, image: np.ndarray, top: int, left: int) -> Maps:
    """The maps of one tile, computed with CONTEXT px around it."""
    first_row, first_column = max(0, top - CONTEXT), max(0, left - CONTEXT)
    part = image[first_row : top + TILE + CONTEXT, first_column : left + TILE + CONTEXT]
    maps = network(_to_input(network, part))
    row, column = (top - first_row) // SQUARE, (left - first_column) // SQUARE
    squares = TILE // SQUARE
    rows, columns = slice(row, row + squares), slice(column, column + squares)
    return Maps(*(getattr(maps, name)[..., rows, columns] for name in FIELDS))


def _join(parts: list[Maps], dimension: int) -> Maps:
    return Maps(*(torch.cat([getattr(each, name) for each in parts], dimension) for name in FIELDS))


def _to_input(network: HeatmapNet, image: np.ndarray) -> Tensor:
    device = next(network.parameters()).device
    return torch.from_numpy(np.array(image)).to(device).permute(2, 0, 1)[None].float()


def best(maps: Maps) -> Region:
    """The maps of an image (B = 1) -> its likeliest region.

    Its place and attributes are means over 3 x 3 squares, weighted by their rates.
    """
    rate = maps.log_rate.double()
    total = float(rate.flatten().logsumexp(0))
    rate = (rate - rate.max()).exp()
    sums = F.avg_pool2d(rate[None], 3, 1, 1)[0, 0]
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    rows = slice(max(0, row - 1), row + 2)
    columns = slice(max(0, column - 1), column + 2)
    weights = rate[0, rows, columns]
    weights = weights / weights.sum()
    height, width = rate.shape[1:]
    x = middles(width, rate.device)[columns] + maps.offset[0, 0, rows, columns]
    y = middles(height, rate.device)[rows, None] + maps.offset[0, 1, rows, columns]
    log_radius, log_ratio, square = (
        float((getattr(maps, name)[0, rows, columns] * weights).sum())
        for name in ("log_radius", "log_ratio", "square")
    )
    return Region(
        x=float((x * weights).sum()),
        y=float((y * weights).sum()),
        r=math.exp(log_radius),
        ratio=math.exp(log_ratio),
        square=square > 0,
        log_expected=total,
    )


def find(network: HeatmapNet, image: np.ndarray) -> Finding:
    """(H, W, 3) uint8 -> the likeliest region, px."""
    height, width = image.shape[:2]
    maps = maps_of(network, image)
    found = best(maps)
    full = F.interpolate(maps.log_rate[None], scale_factor=float(SQUARE))[0, 0, :height, :width]
    return Finding(
        x=min(max(found.x, 0.0), width - 1.0),
        y=min(max(found.y, 0.0), height - 1.0),
        r=found.r,
        ratio=found.ratio,
        score=network.platt.log_odds(found.platt_inputs()),
        map=full.cpu().numpy(),
    )
