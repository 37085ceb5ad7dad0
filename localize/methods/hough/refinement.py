"""Evaluates single centres, to fractions of a pixel; much cheaper than all centres by FFT."""

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
from localize.methods.hough.aggregation import VoteAggregation
from localize.methods.hough.candidates import OFFSETS, Candidate
from localize.methods.hough.outlines import KINDS, PLANES, SHAPES, outline_votes

ANY_RADIUS = (0.0, math.inf)  # px
# px, added to a radius: steps of a quarter pixel up to the next whole ones.
RADIUS_OFFSETS = np.array([0.0, -0.25, 0.25, -0.5, 0.5, -0.75, 0.75, 1.0])


@functools.lru_cache(maxsize=1024)
def _votes_of_all_shapes(r: float, dx: float, dy: float) -> tuple[np.ndarray, ...]:
    """Radius and offset, px -> the votes for the centre beside the whole pixel (0, 0).

    Returns:
        kinds (rising), rows, columns and weights, (m,) each; and (KINDS,) votes of each kind.
        Cached, as a search evaluates the same radii again and again.
    """
    parts = [outline_votes(shape, r, dx, dy) for shape in range(len(SHAPES))]
    kinds, rows, cols, weights = (np.concatenate(each) for each in zip(*parts, strict=True))
    counts = np.bincount(kinds, minlength=KINDS)
    small = (each.astype(np.int32) for each in (kinds, rows, cols))  # saves memory in the cache
    return *small, weights, counts


class CentreScorer:
    """Logits of single centres for n combinations of radius and sub-pixel offset.

    Runs on the device of the evidence.

    Args:
        aggregation: how votes become a logit.
        evidence: (KINDS, H, W), nats.
        r: (n,) radii, px.
        dx, dy: (n,) offsets of the centres from whole pixels, or one for all.
        unit: px of the image along a pixel of the evidence; ``r`` is in px of the image.
    """

    def __init__(
        self,
        aggregation: VoteAggregation,
        evidence: Tensor,
        r: np.ndarray,
        dx: np.ndarray | float = 0.0,
        dy: np.ndarray | float = 0.0,
        unit: int = 1,
    ) -> None:
        r, dx, dy = np.broadcast_arrays(np.asarray(r, float), dx, dy)
        self._radii = torch.from_numpy(r.astype(np.float32)).to(evidence.device)
        r = r / unit
        height, width = self._size = evidence.shape[1:]
        self._aggregation, self._evidence = aggregation, evidence.reshape(-1)
        votes = [
            _votes_of_all_shapes(*one)
            for one in zip(r.tolist(), dx.tolist(), dy.tolist(), strict=True)
        ]
        kinds, rows, cols, weights, counts = (np.concatenate(v) for v in zip(*votes, strict=True))
        self._counts = counts
        combination = np.repeat(np.arange(len(r)), [len(each[0]) for each in votes])
        self._combination = torch.from_numpy(combination).to(evidence.device)
        places = (kinds.astype(np.int64) * height + rows) * width + cols
        self._places = torch.from_numpy(places).to(evidence.device)
        self._weights = torch.from_numpy(weights).to(evidence.device)
        # (n, 1) rows and columns from the whole pixel to the first and the last inside.
        self._extent = [
            [rounding(offset + sign * r)[:, None] for offset in (dy, dx)]
            for rounding, sign in ((np.ceil, -1), (np.floor, 1))
        ]

    @torch.inference_mode()
    def logits(self, cols: np.ndarray, rows: np.ndarray) -> Tensor:
        """(m,) or (n, m) whole pixels -> (n, shapes, m) logits of the centres beside them.

        -inf where the region leaves the image or has no pixel.
        """
        device, (height, width) = self._evidence.device, self._size
        centres = torch.from_numpy(np.atleast_2d(rows * width + cols)).to(device)
        if len(centres) > 1:
            centres = centres.index_select(0, self._combination)
        # Where a region leaves the image, its sum is meaningless and masked below.
        at = (self._places[:, None] + centres).clamp_(0, len(self._evidence) - 1)
        votes = self._evidence[at].mul_(self._weights[:, None])
        lengths = torch.from_numpy(self._counts).to(device)
        sums = torch.segment_reduce(votes, "sum", lengths=lengths).unflatten(0, (-1, KINDS))
        arcs = ((shape, sums[:, planes, :, None]) for shape, planes in enumerate(PLANES))
        by_shape = self._aggregation.shape_logits(arcs, self._radii[:, None, None])
        (top, left), (bottom, right) = self._extent
        fits = (rows + top >= 0) & (rows + bottom < height)
        fits = fits & (cols + left >= 0) & (cols + right < width)
        counts = self._counts.reshape(-1, KINDS)
        valid = [fits & counts[:, planes].any(1, keepdims=True) for planes in PLANES]
        invalid = torch.from_numpy(~np.stack(valid, 1)).to(device)
        return torch.stack(by_shape, 1)[..., 0].masked_fill(invalid, -math.inf)


def middle_pixel(number: int, unit: int) -> int:
    """Index of a pixel of ``unit`` px -> the image pixel in its middle."""
    return round((number + 0.5) * unit - 0.5)


def refine(
    aggregation: VoteAggregation,
    evidence: Tensor,
    candidates: Sequence[Candidate],
    reach: int,
    step: int = 1,
    within: Range = ANY_RADIUS,
    unit: int = 1,
) -> list[Candidate]:
    """The best candidate on a grid of centre and radius around each given one.

    Args:
        evidence: (KINDS, H, W), nats.
        reach, step: of the grid along x, y and radius, in pixels of the evidence.
        within: the smallest and the largest radius, px.
        unit: px of the image along a pixel of the evidence.

    Returns:
        as many candidates; the logit of one that fits nowhere is -inf.
    """
    offsets = np.arange(-reach, reach + 1, step)
    dy, dx = (np.array(each) for each in zip(*product(offsets, repeat=2), strict=True))
    radius_steps = offsets * unit if within[0] < within[1] else np.zeros(1)
    cols = [round((one.x + 0.5) / unit - 0.5) for one in candidates]
    rows = [round((one.y + 0.5) / unit - 0.5) for one in candidates]
    radii = np.concatenate([one.r + radius_steps for one in candidates]).clip(*within)
    x, y = (np.repeat(each, len(radius_steps)) for each in (cols, rows))
    scorer = CentreScorer(aggregation, evidence, radii, unit=unit)
    logits = scorer.logits(x[:, None] + dx, y[:, None] + dy)
    best, places = logits.view(len(candidates), -1).max(1)
    refined = []
    for number, (logit, place) in enumerate(zip(best.tolist(), places.tolist(), strict=True)):
        size, square, at = np.unravel_index(place, (len(radius_steps), len(SHAPES), len(dx)))
        refined.append(
            dataclasses.replace(
                candidates[number],
                x=middle_pixel(cols[number] + int(dx[at]), unit),
                y=middle_pixel(rows[number] + int(dy[at]), unit),
                r=float(radii[number * len(radius_steps) + size]),
                logit=logit,
                square=bool(square),
            )
            if logit > -math.inf
            else dataclasses.replace(candidates[number], logit=logit)
        )
    return refined


def refine_centre(
    aggregation: VoteAggregation, evidence: Tensor, candidate: Candidate
) -> tuple[float, float]:
    """(KINDS, H, W) and a candidate -> x and y of its centre to a quarter of a pixel, px."""
    radii = np.full(len(OFFSETS), candidate.r)
    scorer = CentreScorer(aggregation, evidence, radii, OFFSETS[:, 0], OFFSETS[:, 1])
    logits = scorer.logits(np.array([candidate.x]), np.array([candidate.y]))
    dx, dy = OFFSETS[int(logits.logsumexp(1).argmax())]
    return candidate.x + float(dx), candidate.y + float(dy)


def refine_radius(
    aggregation: VoteAggregation,
    evidence: Tensor,
    x: float,
    y: float,
    candidate: Candidate,
    within: Range = ANY_RADIUS,
) -> float:
    """(KINDS, H, W), a centre and a candidate, px -> its radius to a quarter of a pixel, px."""
    col, row = round(x), round(y)
    radii = (candidate.r + RADIUS_OFFSETS).clip(*within)
    scorer = CentreScorer(aggregation, evidence, radii, x - col, y - row)
    logits = scorer.logits(np.array([col]), np.array([row]))
    return float(radii[int(logits[:, int(candidate.square), 0].argmax())])
