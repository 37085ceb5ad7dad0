"""Rescores candidates with the likelihood ratio of a prewhitened matched filter.

The filter (:mod:`localize.methods.hough.step_likelihood`) is fitted to the texture around each
pixel and learns nothing from examples. Its votes along a candidate's outline are added to the
candidate's logit with a fixed weight that falls with the radius.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from localize.localizer import Range
from localize.methods.hough.aggregation import TYPICAL_RADIUS
from localize.methods.hough.candidates import Candidate
from localize.methods.hough.outlines import DIRECTIONS, outline_votes
from localize.methods.hough.step_likelihood import sparse
from localize.methods.ringvote.network import STEPS

WEIGHT = 0.31  # of a vote in nats of a logit, at TYPICAL_RADIUS
EXPONENT = -0.6  # of the radius in that weight: neighbours on a long edge are correlated
OUTLIERS = 0.3  # share of edge pixels whose step differs: wrapped, clipped or half covered
LARGEST = 30.0  # nats; exp of more would leave the range in which float32 is precise


def rescore(
    candidates: Sequence[Candidate], image: np.ndarray, ratio: Range | None, device: torch.device
) -> list[Candidate]:
    """Adds the filter's votes to the logits of candidates in an (H, W, 3) uint8 image.

    Args:
        ratio: the lowest and the highest possible ratio. If they are equal, the votes are for
            that ratio; otherwise for each of STEPS on the candidate's side of 1, and the mean
            of the likelihoods counts.
        device: the torch device that it runs on.

    Returns:
        the candidates, the likeliest first.
    """
    if not candidates:
        return []
    heights = [step for step in STEPS if step > 0]
    if ratio is not None and ratio[0] == ratio[1]:
        heights = [abs(math.log(ratio[0]))]
    parts = []
    for number, one in enumerate(candidates):
        kinds, down, right, shares = outline_votes(one.square, one.r)
        owner = np.full_like(kinds, number)
        parts.append((down + one.y, right + one.x, np.take(DIRECTIONS, kinds), owner, shares))
    rows, cols, directions, owners, weights = (
        torch.from_numpy(np.concatenate(each)).to(device) for each in zip(*parts, strict=True)
    )
    signs = torch.tensor([math.copysign(1, one.ratio - 1) for one in candidates], device=device)
    steps = torch.tensor(heights, device=device)[:, None] * signs[owners]
    votes = allow_outliers(sparse(image, steps, rows, cols, directions)) * weights
    sums = votes.new_zeros(len(heights), len(candidates)).index_add_(1, owners, votes)
    sums *= torch.tensor([vote_weight(one.r) for one in candidates], device=device)
    added = sums.logsumexp(0) - math.log(len(heights))
    rescored = [
        dataclasses.replace(one, logit=one.logit + nats)
        for one, nats in zip(candidates, added.tolist(), strict=True)
    ]
    return sorted(rescored, key=lambda one: -one.logit)


def allow_outliers(votes: Tensor) -> Tensor:
    """Nats of a step -> nats of a mixture in which a share OUTLIERS of the pixels has no step."""
    return torch.log((1 - OUTLIERS) * votes.clamp(max=LARGEST).exp() + OUTLIERS)


def vote_weight(r: float) -> float:
    """Radius, px -> the weight of a vote, in nats of a logit."""
    return float(WEIGHT * (max(r, 1.0) / TYPICAL_RADIUS) ** EXPONENT)
