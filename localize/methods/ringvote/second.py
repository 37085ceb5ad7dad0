"""A second opinion: what the texture at hand does not predict, added to the network's evidence.

The votes of :mod:`localize.methods.texture` come from elsewhere: no example taught them, and a
rule is fitted to the very texture around. Where a network is deceived they seldom are, and the
other way round.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from localize.methods.ringvote.candidate import Candidate
from localize.methods.ringvote.network import STEPS, Rules
from localize.methods.ringvote.odds import TYPICAL
from localize.methods.ringvote.voting import PLANES, TURNS, spokes
from localize.methods.texture import heard_at

TRUST = 0.31  # weight of these votes beside the evidence
FADING = -0.6  # power of the radius: neighbours on a long edge say alike
DOUBT = 0.3  # share of pixels whose step is none of that ratio: wrapped, clipped, half covered
LOUDEST = 30.0  # nats, beyond which floats end


def seconded(rules: Rules, evidence: Tensor, votes: Tensor, r: float) -> Tensor:
    """(KINDS, H, W) evidence of a radius in px, (ARCS, H, W) votes -> (KINDS, H, W).

    Args:
        rules: by which the sum will be counted; it is in the units of the evidence.
    """
    heard = doubted(votes)[list(TURNS)]
    for of, scale in zip(PLANES, rules.scales(r), strict=True):
        heard[of] *= trusted(r) / scale
    return evidence + heard


def reconsidered(
    found: Sequence[Candidate], image: np.ndarray, ratio: float | None, device: torch.device
) -> list[Candidate]:
    """Regions in an (H, W, 3) uint8 -> the same, likeliest first: the votes count in the logits.

    Args:
        ratio: that of all of them; None: any on the same side of 1 as a region's own.
    """
    if not found:
        return []
    heights = [abs(math.log(ratio))] if ratio else [step for step in STEPS if step > 0]
    parts = []
    for number, one in enumerate(found):
        kinds, rows, cols, weights = spokes(one.square, one.r)
        owner = np.full_like(kinds, number)
        parts.append((rows + one.y, cols + one.x, np.take(TURNS, kinds), owner, weights))
    down, right, outward, whose, counted = (
        torch.from_numpy(np.concatenate(each)).to(device) for each in zip(*parts, strict=True)
    )
    signs = torch.tensor([math.copysign(1, one.ratio - 1) for one in found], device=device)
    steps = torch.tensor(heights, device=device)[:, None] * signs[whose]
    votes = doubted(heard_at(image, steps, down, right, outward, device)) * counted
    sums = votes.new_zeros(len(heights), len(found)).index_add_(1, whose, votes)
    sums *= torch.tensor([trusted(one.r) for one in found], device=device)
    added = sums.logsumexp(0) - math.log(len(heights))
    heeding = [
        dataclasses.replace(one, logit=one.logit + more)
        for one, more in zip(found, added.tolist(), strict=True)
    ]
    return sorted(heeding, key=lambda one: -one.logit)


def doubted(votes: Tensor) -> Tensor:
    """Votes in nats of an edge all of one ratio -> of one of which DOUBT is not."""
    return torch.log((1 - DOUBT) * votes.clamp(max=LOUDEST).exp() + DOUBT)


def trusted(r: float) -> float:
    """Radius, px -> the weight of a vote beside the evidence, in nats of a logit."""
    return float(TRUST * (max(r, 1.0) / TYPICAL) ** FADING)
