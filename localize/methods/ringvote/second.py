"""A second opinion: what the texture at hand does not predict, added to the network's evidence.

The votes of :mod:`localize.methods.texture` come from elsewhere: no example taught them, and a
rule is fitted to the very texture around. Where a network is deceived they seldom are, and the
other way round.
"""

from __future__ import annotations

import torch
from torch import Tensor

from localize.methods.ringvote.network import Rules
from localize.methods.ringvote.odds import TYPICAL
from localize.methods.ringvote.voting import ARCS, SIDES

TRUST = 0.31  # weight of these votes beside the evidence
FADING = -0.6  # power of the radius: neighbours on a long edge say alike
DOUBT = 0.3  # share of pixels whose step is none of that ratio: wrapped, clipped, half covered
LOUDEST = 30.0  # nats, beyond which floats end


def seconded(rules: Rules, evidence: Tensor, votes: Tensor, r: float) -> Tensor:
    """(KINDS, H, W) evidence of a radius in px, (ARCS, H, W) votes -> (KINDS, H, W).

    Args:
        rules: by which the sum will be counted; it is in the units of the evidence.
    """
    votes = torch.log((1 - DOUBT) * votes.clamp(max=LOUDEST).exp() + DOUBT)
    circles, squares = TRUST * (r / TYPICAL) ** FADING / rules.scales(r)
    return evidence + torch.cat([votes * circles, votes[:: ARCS // SIDES] * squares])
