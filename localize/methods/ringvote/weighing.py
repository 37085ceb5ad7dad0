"""What the network sees and what the texture does not predict, weighed by who was right before.

Each pixel on the outline of a candidate has evidence, of :mod:`network`, and a vote, of
:mod:`localize.methods.listening`. Which of them to believe, and how far, depends on the pixel: a
few weights, learned once the network is, say what both together count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localize.methods.ringvote.odds import TYPICAL
from localize.methods.ringvote.rules import Rules, tempered
from localize.methods.ringvote.voting import KINDS, PLANES

HIDDEN = 24
SEEN = 10  # values of a pixel on an outline
FACTS = 4  # of the region that is looked for
TRUST = 0.31  # weight of the votes beside the evidence, before anything is learned
FADING = -0.6  # power of the radius: neighbours on a long edge say alike
DOUBT = 0.3  # share of pixels whose step is none of that ratio: wrapped, clipped, half covered
LOUDEST = 30.0  # nats, beyond which floats end
LEAST = 1e-3  # a step, the logarithm of a ratio: told of none at all, it looks for that
SURE = 15.0  # nats of evidence, beyond which more means nothing


@dataclass(frozen=True)
class Outlines:
    """What there is to see along the outlines of n candidates of one radius and ratio.

    Args:
        evidence: (4, m), nats: of the pixel, of an edge the other way, one px outward, one inward.
        votes: (4, m), nats, likewise.
        variance: (m,), logarithms: of what a prediction leaves over.
        grey: (m,), code values.
        owner: (m,), whose outline the pixel is on.
        kind: (m,), which of KINDS its edge is.
        weight: (m,), what it counts in that.
        r: px.
        step: the logarithm of the ratio.
    """

    evidence: Tensor
    votes: Tensor
    variance: Tensor
    grey: Tensor
    owner: Tensor
    kind: Tensor
    weight: Tensor
    r: float
    step: float


class Weighing(nn.Module):
    """Outlines of n candidates -> (n,) logits. See the module.

    What is learned is added to a sum that is sensible by itself: votes with a fixed weight.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rules = Rules()
        self.trust = nn.Parameter(torch.tensor(math.log(TRUST)))
        self.fading = nn.Parameter(torch.tensor(FADING))
        self.waning = nn.Parameter(torch.zeros(()))  # power of the radius, of what is learned
        self.layers = nn.Sequential(
            nn.Linear(SEEN + FACTS, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
            nn.Linear(HIDDEN, 1),
        )  # fmt: skip
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def forward(self, outlines: Outlines) -> Tensor:
        size = math.log(max(outlines.r, 1.0) / TYPICAL)
        nats = both(self.rules, outlines, torch.exp(self.trust + self.fading * size))
        learned = self.layers(described(outlines, size)).squeeze(1) * torch.exp(self.waning * size)
        return counted(self.rules, outlines, nats + learned)


def plain(rules: Rules, outlines: Outlines) -> Tensor:
    """Outlines of n candidates -> (n,) logits by what nobody learned: votes of a fixed weight."""
    return counted(rules, outlines, both(rules, outlines, trusted(outlines.r)))


def both(rules: Rules, outlines: Outlines, trust: Tensor | float) -> Tensor:
    """Outlines, the weight of a vote in nats of a logit -> (m,) evidence and votes of pixels."""
    square = (outlines.kind >= PLANES[1].start).long()
    heeded = trust / rules.scales(outlines.r)[square]
    return outlines.evidence[0] + heeded * doubted(outlines.votes[0])


def counted(rules: Rules, outlines: Outlines, nats: Tensor) -> Tensor:
    """(m,) what each pixel on the outlines of n candidates counts -> (n,) logits."""
    scales, priors = rules.scales(outlines.r), rules.priors(outlines.r)
    count, knees = int(outlines.owner.max()) + 1, rules.log_knee.exp()
    sums = nats.new_zeros(count * KINDS)
    sums = sums.index_add(0, outlines.owner * KINDS + outlines.kind, nats * outlines.weight)
    arcs = sums.view(count, KINDS)
    totals = [
        tempered(arcs[:, of] * scales[shape], knees[shape]).sum(1) + priors[shape]
        for shape, of in enumerate(PLANES)
    ]
    return torch.logsumexp(torch.stack(totals), 0)


def described(outlines: Outlines, size: float) -> Tensor:
    """Outlines, the logarithm of their size -> (m, SEEN + FACTS), all about as large as 1."""
    strength = max(abs(outlines.step), LEAST)
    evidence = outlines.evidence.clamp(-SURE, SURE) / 4
    votes = torch.asinh(outlines.votes / 2) / 1.5
    known = [
        (2 * math.log(strength) - outlines.variance) / 2,
        outlines.grey / 64 - 2,
        *(
            torch.full_like(outlines.grey, value)
            for value in (size, 10 * strength, math.copysign(1, outlines.step))
        ),
        (outlines.kind >= PLANES[1].start).to(votes),
    ]
    return torch.stack([*evidence, *votes, *known], 1)


def doubted(votes: Tensor) -> Tensor:
    """Votes in nats of an edge all of one ratio -> of one of which DOUBT is not."""
    return torch.log((1 - DOUBT) * votes.clamp(max=LOUDEST).exp() + DOUBT)


def trusted(r: float) -> float:
    """Radius, px -> the fixed weight of a vote beside the evidence, in nats of a logit."""
    return float(TRUST * (max(r, 1.0) / TYPICAL) ** FADING)
