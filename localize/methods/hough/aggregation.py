"""Turns the sums of votes along an outline into the logit of its centre; ten parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

KNEE = 4.0  # nats, initial value
TYPICAL_RADIUS = 50.0  # px; parameters that depend on the radius are stated at this one


class VoteAggregation(nn.Module):
    """Logit of a centre: log(exp(circle) + exp(square)), each a prior plus saturated arc sums.

    Parameters, one for a circle and one for a square:

    - ``log_scale``, ``power``: a sum is multiplied by exp(log_scale) (r / TYPICAL_RADIUS)^power;
    - ``log_knee``: logarithm of the nats above which :func:`soft_saturate` compresses a sum;
    - ``prior``, ``tilt``: the prior is prior + tilt log(r / TYPICAL_RADIUS), nats.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((2,), -1.5))
        self.power = nn.Parameter(torch.full((2,), -0.8))
        self.log_knee = nn.Parameter(torch.full((2,), math.log(KNEE)))
        self.prior = nn.Parameter(torch.zeros(2))
        self.tilt = nn.Parameter(torch.zeros(2))

    def logits(self, sums: Iterable[tuple[int, Tensor]], r: float | Tensor) -> Tensor:
        """Sums of votes -> (..., H, W) logits of centres, of either shape.

        Args:
            sums: shape index and (..., n, H, W) sums of n of its arcs, as of
                :func:`localize.methods.hough.voting.correlate`, nats.
            r: radius, px; or (..., 1, 1), one for each.
        """
        return torch.logsumexp(torch.stack(self.shape_logits(sums, r)), 0)

    def shape_logits(self, sums: Iterable[tuple[int, Tensor]], r: float | Tensor) -> list[Tensor]:
        """As :meth:`logits` -> (..., H, W) for the circle and for the square."""
        radius = torch.as_tensor(r, device=self.prior.device).clamp(min=1)
        log_size = torch.log(radius / TYPICAL_RADIUS)
        scales = torch.exp(_line(self.log_scale, self.power, log_size))
        knees = self.log_knee.exp()
        totals: list[Tensor] = [*_line(self.prior, self.tilt, log_size)]
        for shape, arcs in sums:
            votes = soft_saturate(arcs * scales[shape][..., None], knees[shape])
            totals[shape] = totals[shape] + votes.sum(-3)
        return totals


def _line(intercept: Tensor, slope: Tensor, x: Tensor) -> Tensor:
    """(2,), (2,), (...) -> (2, ...): intercept + slope x."""
    shape = (2, *[1] * x.ndim)
    return intercept.view(shape) + slope.view(shape) * x


def soft_saturate(votes: Tensor, knee: Tensor) -> Tensor:
    """Sums of votes, nats -> the same, where positive compressed to knee log(1 + sum / knee).

    One arc of very high evidence then counts for less than moderate evidence on all arcs: a
    straight edge of high contrast, such as a fence or a roof, is no circle.
    """
    positive = votes.clamp(min=0)
    return (positive / knee).log1p().mul_(knee).add_(votes).sub_(positive)
