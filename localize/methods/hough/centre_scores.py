"""Logits of all possible centres of a region of a known radius, and their local maxima."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from localize.localizer import Told
from localize.methods.hough.aggregation import VoteAggregation
from localize.methods.hough.candidates import Candidate, fit_radius, possible_centres
from localize.methods.hough.fft import fast_length
from localize.methods.hough.outlines import KINDS
from localize.methods.hough.voting import sum_arcs

LARGE = 1 << 22  # px of an image from which arcs are summed one by one, which bounds the memory
SUPPRESSED = 5  # px around a local maximum in which no other one is kept


@torch.inference_mode()
def score_centres(
    aggregation: VoteAggregation, evidence: Tensor, r: float
) -> tuple[Tensor, slice, slice]:
    """(KINDS, H, W) evidence, radius in px -> logits of possible centres; their rows, columns."""
    height, width = evidence.shape[1:]
    least = 2 * math.floor(r) + 3
    size = fast_length(max(height, least)), fast_length(max(width, least))
    rows, cols = possible_centres(height, r), possible_centres(width, r)
    spectrum = torch.stack([torch.fft.rfft2(plane, size) for plane in evidence])
    most = KINDS if size[0] * size[1] < LARGE else 1
    logits = aggregation.logits(sum_arcs(spectrum, r, size, most), r)[rows, cols]
    return logits, rows, cols


def local_maxima(logits: Tensor, most: int) -> list[tuple[int, int, float]]:
    """(H, W) -> row, column and value of the highest local maxima, at most ``most``, best first.

    A local maximum is the highest value within SUPPRESSED px along both axes.
    """
    highest = F.max_pool2d(logits[None, None], (2 * SUPPRESSED + 1, 1), 1, (SUPPRESSED, 0))
    highest = F.max_pool2d(highest, (1, 2 * SUPPRESSED + 1), 1, (0, SUPPRESSED))[0, 0]
    maxima = torch.where(logits == highest, logits, -math.inf)
    values, places = maxima.flatten().topk(min(most, maxima.numel()))
    return [
        (*divmod(place, logits.shape[1]), value)
        for value, place in zip(values.tolist(), places.tolist(), strict=True)
        if value > -math.inf
    ]


@torch.inference_mode()
def rank_centres(
    aggregation: VoteAggregation,
    evidence: Tensor,
    told: Told,
    most: int,
    added: Tensor | None = None,
) -> tuple[list[Candidate], np.ndarray]:
    """Evidence of the told ratio -> candidates, best first, and the map of logits.

    Args:
        evidence: (KINDS, H, W), nats.
        told: its radius is used, or the largest one that fits.
        most: number of candidates.
        added: (H, W) nats to add to the logits; None: nothing.

    Returns:
        the candidates and an (H, W) array, the lowest logit where the region does not fit.
    """
    r = fit_radius(told.r, evidence.shape[1:])
    logits, rows, cols = score_centres(aggregation, evidence, r)
    if added is not None:
        logits = logits + added[rows, cols]
    candidates = [
        Candidate(col + cols.start, row + rows.start, r, logit, ratio=told.discolor_ratio)
        for row, col, logit in local_maxima(logits, most)
    ]
    map = logits.min().expand(evidence.shape[1:]).clone()
    map[rows, cols] = logits
    return candidates, map.cpu().numpy()
