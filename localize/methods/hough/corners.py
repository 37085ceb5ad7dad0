"""Finds the best squares that share a corner with a candidate.

Where two adjacent sides of a square have much evidence and the other two little, a search that
moves centre and radius by small steps stays at a wrong radius: it would have to change all three
together. The sides of a square are straight, so cumulative sums give the evidence of a side of any
length at once, and every radius is tried at each corner.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from localize.localizer import Range
from localize.methods.hough.aggregation import VoteAggregation
from localize.methods.hough.candidates import Candidate

CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))  # directions from a corner to the centre: x, y
Rectangles = tuple[Tensor, Tensor, Tensor, Tensor]


def corner_lines(one: Candidate) -> list[tuple[int, int]]:
    """The column and the row of the square's sides that meet at each of CORNERS."""
    left, right = math.ceil(one.x - one.r), math.floor(one.x + one.r)
    top, bottom = math.ceil(one.y - one.r), math.floor(one.y + one.r)
    return [(left if dx > 0 else right, top if dy > 0 else bottom) for dx, dy in CORNERS]


def rectangle_sums(sides: tuple[Tensor, Tensor], rectangles: Rectangles) -> Tensor:
    """The sums along the sides of rectangles -> (SIDES, ...): right, lower, left, upper side.

    Args:
        sides: cumulative evidence (2, H + 1, W) and (2, H, W + 1) of
            :func:`localize.methods.hough.voting.accumulate_sides`.
        rectangles: their first column, first row, last column and last row, of one shape.
    """
    upright, level = sides
    left, top, right, bottom = rectangles
    return torch.stack(
        [
            upright[0, bottom + 1, right] - upright[0, top, right],
            level[0, bottom, right + 1] - level[0, bottom, left],
            upright[1, bottom + 1, left] - upright[1, top, left],
            level[1, top, right + 1] - level[1, top, left],
        ]
    )


def search_corners(
    aggregation: VoteAggregation,
    sides: tuple[Tensor, Tensor],
    candidates: Sequence[Candidate],
    radii: Range,
) -> list[Candidate]:
    """Squares -> the best square at each of their corners, if one fits into the image.

    The centre of a found square may lie between two pixels; its x and y are rounded down.

    Args:
        sides: as of :func:`rectangle_sums`, of the whole image, for the candidates' ratio and band.
        radii: the smallest and the largest possible radius, px.
    """
    height, width = sides[1].shape[1], sides[0].shape[2]
    device = sides[0].device
    shortest = math.ceil(2 * radii[0])
    longest = min(math.floor(2 * radii[1]), height - 1, width - 1)
    if not candidates or shortest > longest:
        return []
    lengths = torch.arange(shortest, longest + 1, device=device)  # of a side, less one pixel
    corners = torch.tensor([corner_lines(one) for one in candidates], device=device).flatten(0, 1)
    signs = torch.tensor(CORNERS, device=device).repeat(len(candidates), 1)
    (col, row), (far_col, far_row) = corners.T, (corners + lengths[:, None, None] * signs).unbind(2)
    left, right = torch.minimum(col, far_col), torch.maximum(col, far_col)
    top, bottom = torch.minimum(row, far_row), torch.maximum(row, far_row)
    fits = (left >= 0) & (right < width) & (top >= 0) & (bottom < height)
    left, right = left.clamp(0, width - 1), right.clamp(0, width - 1)
    top, bottom = top.clamp(0, height - 1), bottom.clamp(0, height - 1)
    sums = rectangle_sums(sides, (left, top, right, bottom))  # (SIDES, lengths, corners)
    votes = [(1, sums.transpose(0, 1)[..., None])]
    logits = aggregation.shape_logits(votes, (lengths / 2)[:, None, None])[1][..., 0]
    best = logits.masked_fill(~fits, -math.inf).argmax(0, keepdim=True)
    values = [
        each.gather(0, best)[0].tolist() for each in (logits, left + right, top + bottom, fits)
    ]
    return [
        dataclasses.replace(
            candidates[number // len(CORNERS)], x=x // 2, y=y // 2, r=length / 2, logit=logit
        )
        for number, (logit, x, y, possible, length) in enumerate(
            zip(*values, lengths[best[0]].tolist(), strict=True)
        )
        if possible
    ]
