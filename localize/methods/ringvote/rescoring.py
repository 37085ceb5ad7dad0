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
from localize.methods.hough.candidates import Candidate
from localize.methods.hough.step_likelihood import Listener
from localize.methods.hough.voting import TURNS, spokes
from localize.methods.ringvote.network import STEPS
from localize.methods.ringvote.platt import TYPICAL

TRUST = 0.31  # weight of a vote in nats of a logit, at the radius TYPICAL
FADING = -0.6  # exponent of the radius in that weight: neighbours on a long edge are correlated
DOUBT = 0.3  # share of pixels whose step is not of that ratio: wrapped, clipped or half covered
LARGEST = 30.0  # nats; exp of more would leave the range in which float32 is precise


def reconsidered(
    found: Sequence[Candidate], image: np.ndarray, ratio: Range | None, device: torch.device
) -> list[Candidate]:
    """Regions in an (H, W, 3) uint8 -> the same, likeliest first: the votes count in the logits.

    Args:
        ratio: from which to which it is known to be; where that is more than one: any on the
            same side of 1 as a region's own.
    """
    if not found:
        return []
    heights = [step for step in STEPS if step > 0]
    if ratio is not None and ratio[0] == ratio[1]:
        heights = [abs(math.log(ratio[0]))]
    parts = []
    for number, one in enumerate(found):
        kinds, rows, cols, weights = spokes(one.square, one.r)
        owner = np.full_like(kinds, number)
        parts.append((rows + one.y, cols + one.x, np.take(TURNS, kinds), owner, weights))
    down, right, turns, whose, counted = (
        torch.from_numpy(np.concatenate(each)).to(device) for each in zip(*parts, strict=True)
    )
    signs = torch.tensor([math.copysign(1, one.ratio - 1) for one in found], device=device)
    steps = torch.tensor(heights, device=device)[:, None] * signs[whose]
    votes = doubted(Listener.of(image, device).at(steps, down, right, turns)[0]) * counted
    sums = votes.new_zeros(len(heights), len(found)).index_add_(1, whose, votes)
    sums *= torch.tensor([trusted(one.r) for one in found], device=device)
    added = sums.logsumexp(0) - math.log(len(heights))
    rescored = [
        dataclasses.replace(one, logit=one.logit + more)
        for one, more in zip(found, added.tolist(), strict=True)
    ]
    return sorted(rescored, key=lambda one: -one.logit)


def doubted(votes: Tensor) -> Tensor:
    """Nats of an edge all of one ratio -> nats of an edge of which the share DOUBT is not."""
    return torch.log((1 - DOUBT) * votes.clamp(max=LARGEST).exp() + DOUBT)


def trusted(r: float) -> float:
    """Radius, px -> the fixed weight of a vote, in nats of a logit."""
    return float(TRUST * (max(r, 1.0) / TYPICAL) ** FADING)
