"""Feature maps of two layers -> one vector per patch: pure functions.

The vector of a patch has two parts: one of the finer layer, and one of the coarser layer after
interpolation to the finer grid. The parts are stored separately until the vectors are needed,
because the coarse part has a quarter of the cells, and what is linear in it can be interpolated
afterwards.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from localize.methods.patchcore.options import Convention

Parts = tuple[torch.Tensor, torch.Tensor]  # (B, C, h, w) fine and (B, C', h', w') coarse

LAYER_LENGTH, LENGTH = 1024, 1024  # length of the paper's vectors of a layer and of a patch


def parts(layers: Parts, convention: Convention) -> Parts:
    """Feature maps of two layers -> the two parts of the patch vectors, each on its own grid."""
    if convention == "anomalib":
        fine, coarse = (functional.avg_pool2d(layer, 3, 1, 1) for layer in layers)
        return fine, coarse
    # The last average combines neighbours within one layer, so the parts can stay separate.
    fine, coarse = (
        _average(_average(_neighbourhoods(layer), LAYER_LENGTH), LENGTH // 2) for layer in layers
    )
    return fine, coarse


def join(both: Parts) -> torch.Tensor:
    """Fine and coarse parts -> (B·h·w, C + C') rows in the order image, y, x."""
    fine, coarse = both
    return to_rows(torch.cat([fine, enlarge(coarse, fine.shape[2:])], dim=1))


def enlarge(maps: torch.Tensor, size: tuple[int, int] | torch.Size) -> torch.Tensor:
    """(B, C, h', w') -> (B, C, h, w), bilinear."""
    if maps.shape[2:] == tuple(size):
        return maps
    return functional.interpolate(maps, size=tuple(size), mode="bilinear")


def to_rows(maps: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) -> (B·h·w, C)."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _neighbourhoods(layer: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) -> (B, 9·C, h, w): the 3x3 neighbours of each cell, channel by channel."""
    b, _, h, w = layer.shape
    return functional.unfold(layer, 3, padding=1).view(b, -1, h, w)


def _average(maps: torch.Tensor, length: int) -> torch.Tensor:
    """(B, C, h, w) -> (B, length, h, w): adaptive average over the channels."""
    b, c, h, w = maps.shape
    vectors = maps.permute(0, 2, 3, 1).reshape(b, h * w, c)
    averaged = functional.adaptive_avg_pool1d(vectors, length)
    return averaged.view(b, h, w, length).permute(0, 3, 1, 2)
