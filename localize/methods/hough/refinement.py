"""The votes for single centres, to fractions of a pixel; much cheaper than for all."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from localize.localizer import Range
from localize.methods.hough.aggregation import Rules, tempered
from localize.methods.hough.candidates import Candidate
from localize.methods.hough.voting import KINDS, PLANES, SHAPES, spokes

ANY = (0.0, math.inf)  # px, radii


@functools.lru_cache(maxsize=1024)
def _spokes(r: float, dx: float, dy: float) -> tuple[np.ndarray, ...]:
    """A radius and an offset, px -> who votes for the centre beside the whole pixel (0, 0).

    Kinds (rising), rows, columns and weights of the votes, (m,) each; (KINDS,) how many of each.
    A search asks for the same ones again and again.
    """
    parts = [spokes(number, r, dx, dy) for number in range(len(SHAPES))]
    kinds, rows, cols, counted = (np.concatenate(each) for each in zip(*parts, strict=True))
    counts = np.bincount(kinds, minlength=KINDS)
    small = (each.astype(np.int32) for each in (kinds, rows, cols))  # many are remembered
    return *small, counted, counts


class Ballot:
    """Counts the votes for centres of n kinds, on the device where the evidence is.

    Args:
        rules: how votes become a logit.
        planes: (KINDS, H, W) evidence.
        r: (n,) radii, px.
        dx, dy: (n,) offsets of the centres from whole pixels, or one for all.
        unit: px of the image that a pixel of the evidence is; radii are in px of the image.
    """

    def __init__(
        self,
        rules: Rules,
        planes: Tensor,
        r: np.ndarray,
        dx: np.ndarray | float = 0.0,
        dy: np.ndarray | float = 0.0,
        unit: int = 1,
    ) -> None:
        r, dx, dy = np.broadcast_arrays(np.asarray(r, float), dx, dy)
        self._radii = torch.from_numpy(r.astype(np.float32)).to(planes.device)
        r = r / unit
        height, width = self._size = planes.shape[1:]
        self._rules, self._flat = rules, planes.reshape(-1)
        spokes = [_spokes(*of) for of in zip(r.tolist(), dx.tolist(), dy.tolist(), strict=True)]
        kinds, rows, cols, weights, counts = (np.concatenate(v) for v in zip(*spokes, strict=True))
        self._counts = counts
        owners = np.repeat(np.arange(len(r)), [len(found[0]) for found in spokes])
        self._owner = torch.from_numpy(owners).to(planes.device)
        places = (kinds.astype(np.int64) * height + rows) * width + cols
        self._places = torch.from_numpy(places).to(planes.device)
        self._weights = torch.from_numpy(weights).to(planes.device)
        self._reach = [
            [function(offset + sign * r)[:, None] for offset in (dy, dx)]
            for function, sign in ((np.ceil, -1), (np.floor, 1))
        ]

    @torch.inference_mode()
    def logits(self, cols: np.ndarray, rows: np.ndarray) -> Tensor:
        """(m,) or (n, m) pixels -> (n, shapes, m) logits of the centres beside them.

        -inf where the region leaves the image or has no pixel.
        """
        device, (height, width) = self._flat.device, self._size
        moved = torch.from_numpy(np.atleast_2d(rows * width + cols)).to(device)
        moved = moved if len(moved) == 1 else moved.index_select(0, self._owner)
        # Where a region leaves the image its sum means nothing, but is taken.
        at = (self._places[:, None] + moved).clamp_(0, len(self._flat) - 1)
        votes = self._flat[at].mul_(self._weights[:, None])
        lengths = torch.from_numpy(self._counts).to(device)
        sums = torch.segment_reduce(votes, "sum", lengths=lengths).unflatten(0, (-1, KINDS))
        scales, priors = self._rules.scales(self._radii), self._rules.priors(self._radii)
        knees, found = self._rules.log_knee.exp(), []
        for shape, of in enumerate(PLANES):
            counted = tempered(sums[:, of] * scales[shape][:, None, None], knees[shape])
            found.append(counted.sum(1) + priors[shape][:, None])
        (top, left), (bottom, right) = self._reach
        fits = (rows + top >= 0) & (rows + bottom < height)
        fits = fits & (cols + left >= 0) & (cols + right < width)
        some = self._counts.reshape(-1, KINDS)
        there = np.stack([fits & some[:, of].any(1, keepdims=True) for of in PLANES], 1)
        return torch.stack(found, 1).masked_fill(~torch.from_numpy(there).to(device), -math.inf)


def middle(number: int, unit: int) -> int:
    """Which of the pixels of ``unit`` px -> its middle, px of the image."""
    return round((number + 0.5) * unit - 0.5)


def settled(
    rules: Rules,
    planes: Tensor,
    starts: Sequence[Candidate],
    reach: int,
    step: int = 1,
    within: Range = ANY,
    unit: int = 1,
) -> list[Candidate]:
    """(KINDS, H, W) -> for each candidate the best on a grid around it: centres of whole pixels.

    Args:
        reach, step: of the grid, along x, y and radius, in pixels of the evidence.
        within: px, the smallest and the largest radius.
        unit: px of the image that such a pixel is.
    """
    around = np.arange(-reach, reach + 1, step)
    dy, dx = (np.array(each) for each in zip(*product(around, repeat=2), strict=True))
    bigger = around * unit if within[0] < within[1] else np.zeros(1)
    cols = [round((one.x + 0.5) / unit - 0.5) for one in starts]
    rows = [round((one.y + 0.5) / unit - 0.5) for one in starts]
    radii = np.concatenate([one.r + bigger for one in starts]).clip(*within)
    x, y = (np.repeat(each, len(bigger)) for each in (cols, rows))
    logits = Ballot(rules, planes, radii, unit=unit).logits(x[:, None] + dx, y[:, None] + dy)
    best, places = logits.view(len(starts), -1).max(1)
    found = []
    for number, (logit, place) in enumerate(zip(best.tolist(), places.tolist(), strict=True)):
        size, square, at = np.unravel_index(place, (len(bigger), len(SHAPES), len(dx)))
        found.append(
            dataclasses.replace(
                starts[number],
                x=middle(cols[number] + int(dx[at]), unit),
                y=middle(rows[number] + int(dy[at]), unit),
                r=float(radii[number * len(bigger) + size]),
                logit=logit,
                square=bool(square),
            )
            if logit > -math.inf
            else dataclasses.replace(starts[number], logit=logit)  # it fits nowhere
        )
    return found
