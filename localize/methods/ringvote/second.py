"""A second opinion: what the texture at hand does not predict, beside the network's evidence.

The votes of :mod:`localize.methods.listening` come from elsewhere: no example taught them, and a
rule is fitted to the very texture around. Where a network is deceived they seldom are, and the
other way round. Whom to believe along the outline of a region whose radius and ratio are told,
:mod:`weighing` has learned; untold, where the likeliest of many kinds of region are looked at,
votes count with a fixed weight.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from localize.localizer import Range
from localize.methods.boundary import LUMA
from localize.methods.listening import Listener, outward
from localize.methods.ringvote.candidate import Candidate
from localize.methods.ringvote.looks import COLS, ROWS, exchanged
from localize.methods.ringvote.network import STEPS
from localize.methods.ringvote.rules import Rules
from localize.methods.ringvote.voting import ARCS, PLANES, SHAPES, TURNS, spokes
from localize.methods.ringvote.weighing import Outlines, Weighing, doubted, plain, trusted

BESIDE = np.array([outward(turn, 1) for turn in range(ARCS)]).round().astype(int)  # px: down, right
OPPOSITE = np.array(exchanged((ROWS, COLS)))  # the kind of an edge that faces the other way


@torch.inference_mode()
def weighed(
    weighing: Weighing,
    rules: Rules,
    image: np.ndarray,
    planes: Tensor,
    found: Sequence[Candidate],
) -> list[Candidate]:
    """(H, W, 3) uint8, its (KINDS, H, W), candidates -> these, likeliest first, with other logits.

    The order and the chances are by what was learned, which compares places in one picture; the
    logits are those of votes with a fixed weight, by the rules, which say as much of any picture.

    Args:
        found: all of one radius and ratio, the planes'; of any shape.
    """
    if not found:
        return []
    seen = outlines(image, Listener.of(image, planes.device), planes, found)
    chances, logits = weighing(seen).tolist(), plain(rules, seen).tolist()
    order = sorted(range(len(found)), key=lambda n: -chances[n])
    return [dataclasses.replace(found[n], logit=logits[n], chance=chances[n]) for n in order]


def outlines(
    image: np.ndarray, listener: Listener, planes: Tensor, found: Sequence[Candidate]
) -> Outlines:
    """(H, W, 3) uint8, its (KINDS, H, W), n candidates -> what there is to see along outlines.

    Args:
        listener: the image's.
        found: all of one radius and ratio, the planes'.
    """
    height, width = image.shape[:2]
    r, step = found[0].r, math.log(found[0].ratio)
    parts = [spokes(number, r) for number in range(len(SHAPES))]
    kinds, down, right, weights = (np.concatenate(each) for each in zip(*parts, strict=True))
    owner = np.repeat(np.arange(len(found)), len(kinds))
    rows = np.concatenate([down + one.y for one in found])
    cols = np.concatenate([right + one.x for one in found])
    kinds, weights = (np.tile(each, len(found)) for each in (kinds, weights))
    turns = np.take(TURNS, kinds)
    below, beside = BESIDE[turns].T
    # The edge itself, one the other way, what lies a pixel outward and a pixel inward.
    ways = (
        (kinds, turns, 0),
        (OPPOSITE[kinds], (turns + ARCS // 2) % ARCS, 0),
        (kinds, turns, 1),
        (kinds, turns, -1),
    )
    evidence, votes = [], []
    for kind, turn, by in ways:
        y, x = rows + by * below, cols + by * beside
        inside = y.clip(0, height - 1), x.clip(0, width - 1)
        evidence.append(
            planes[tuple(torch.from_numpy(v).to(planes.device) for v in (kind, *inside))]
        )
        votes.append([torch.from_numpy(v).to(planes.device) for v in (y, x, turn)])
    places = [torch.cat(each) for each in zip(*votes, strict=True)]
    nats, variance = listener.at(planes.new_full((1, len(places[0])), step), *places)
    grey = image[rows, cols].astype(np.float32) @ LUMA
    levels, whose, kind, weight = (
        torch.from_numpy(v).to(planes.device) for v in (grey, owner, kinds, weights)
    )
    seen = torch.stack(evidence), nats.view(len(ways), -1), variance[: len(rows)], levels
    return Outlines(*seen, whose, kind, weight, r, step)


def seconded(rules: Rules, evidence: Tensor, votes: Tensor, r: float) -> Tensor:
    """(KINDS, H, W) evidence of a radius in px, (ARCS, H, W) votes -> (KINDS, H, W).

    The votes count with their fixed weight.

    Args:
        rules: by which the sum will be counted; it is in the units of the evidence.
    """
    spoken = doubted(votes)[list(TURNS)]
    for of, scale in zip(PLANES, rules.scales(r), strict=True):
        spoken[of] *= trusted(r) / scale
    return evidence + spoken


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
    heeding = [
        dataclasses.replace(one, logit=one.logit + more)
        for one, more in zip(found, added.tolist(), strict=True)
    ]
    return sorted(heeding, key=lambda one: -one.logit)
