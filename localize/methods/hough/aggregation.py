"""How the votes along a shape become the logit of a centre: ten numbers that are learned."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from localize.methods.ringvote.platt import TYPICAL

KNEE = 4.0  # nats


class Rules(nn.Module):
    """How the votes of a shape's arcs become the logit of a centre.

    By shape: how much a vote counts, how that depends on the radius, from where on it counts
    less, how likely the shape is, and how that depends on the radius.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((2,), -1.5))
        self.power = nn.Parameter(torch.full((2,), -0.8))
        self.log_knee = nn.Parameter(torch.full((2,), math.log(KNEE)))
        self.prior = nn.Parameter(torch.zeros(2))
        self.tilt = nn.Parameter(torch.zeros(2))

    def logits(self, counted: Iterable[tuple[int, Tensor]], r: float | Tensor) -> Tensor:
        """Sums (..., n, H, W) of the shapes' arcs, from `voting.counts` -> (..., H, W) logits.

        Args:
            r: radius, px; or (..., 1, 1), one for each.
        """
        totals: list[Tensor] = [*self.priors(r)]
        scales, knees = self.scales(r), self.log_knee.exp()
        for shape, sums in counted:
            votes = tempered(sums * scales[shape][..., None], knees[shape])
            totals[shape] = totals[shape] + votes.sum(-3)
        return torch.logsumexp(torch.stack(totals), 0)

    def scales(self, r: float | Tensor) -> Tensor:
        """Radius, px, of any shape -> (2, ...): what a vote counts for a circle and a square."""
        return torch.exp(_line(self.log_scale, self.power, r))

    def priors(self, r: float | Tensor) -> Tensor:
        """Radius, px, of any shape -> (2, ...): how likely each shape is at first, in nats."""
        return _line(self.prior, self.tilt, r)


def _line(start: Tensor, slope: Tensor, r: float | Tensor) -> Tensor:
    """(2,), (2,), radius, px, of any shape -> (2, ...), linear in its logarithm."""
    size = torch.log(torch.as_tensor(r, device=start.device).clamp(min=1) / TYPICAL)
    shape = (2, *[1] * size.ndim)
    return start.view(shape) + slope.view(shape) * size


def tempered(votes: Tensor, knee: Tensor) -> Tensor:
    """The votes of an arc: against, they count in full; for, ever less above ``knee`` nats.

    So a region must be seen all around: a fence or a roof, however clear, is no circle.
    """
    positive = votes.clamp(min=0)
    return (positive / knee).log1p().mul_(knee).add_(votes).sub_(positive)
