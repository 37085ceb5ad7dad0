"""The network: features to oriented evidence; and how evidence becomes a score."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.methods.ringvote.features import BASE, CHANNELS
from localize.methods.ringvote.judging import Judge
from localize.methods.ringvote.voting import ARCS

DILATIONS = (1, 2, 1)
COARSE = 4  # px that the coarse branch averages over
REACH = 32  # px beyond which nothing changes a pixel's evidence
KNEE = 4.0  # nats
TYPICAL = 50.0  # px, the radius at which the scales hold


class Trunk(nn.Module):
    """(B, CHANNELS, H, W) float32 -> (B, ARCS, H, W) evidence, by convolutions at full resolution.

    Untrained, it is the matched filter itself: the convolutions add nothing yet.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.width = width
        self.coarse = nn.Sequential(
            nn.Conv2d(CHANNELS, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=2, dilation=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
        )
        self.first = nn.Conv2d(CHANNELS, width, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in DILATIONS
        )
        self.last = nn.Conv2d(width, ARCS, 1)
        self.filter = nn.Conv2d(BASE, ARCS, 1, bias=False)
        # By shape: how much a vote counts, how that depends on the radius, from where
        # on it counts less, how likely the shape is.
        self.log_scale = nn.Parameter(torch.full((2,), -2.5))
        self.power = nn.Parameter(torch.full((2,), -0.8))
        self.log_knee = nn.Parameter(torch.full((2,), math.log(KNEE)))
        self.prior = nn.Parameter(torch.zeros(2))
        self.log_unit = nn.Parameter(torch.tensor(-1.0))  # of evidence, in nats a pixel
        # They learn last, from what the rest finds.
        self.judges = nn.ModuleDict({"told": Judge(), "blind": Judge()})
        self._begin()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _begin(self) -> None:
        for layer in (self.first, *self.layers):
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)
        mix = torch.zeros(ARCS, BASE, 1, 1)
        for arc in range(ARCS):  # on a diagonal both neighbours count
            mix[arc, arc // 2] = mix[arc, (arc + 1) // 2 % BASE] = 1
        with torch.no_grad():
            self.filter.weight.copy_(mix)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        coarse = self.coarse(F.avg_pool2d(x, COARSE, ceil_mode=True))
        coarse = F.interpolate(coarse, scale_factor=float(COARSE))[..., :height, :width]
        h = self.first(x).add_(coarse).relu_()
        for number, layer in enumerate(self.layers):
            h = layer(h).add_(h).relu_() if number % 2 else layer(h).relu_()
        # Zeros for the other channels: a slice of them would be copied first.
        plain = F.pad(self.filter.weight, (0, 0, 0, 0, 0, CHANNELS - BASE))
        evidence: Tensor = F.conv2d(x, plain).add_(self.last(h))
        return evidence

    def judge_of(self, kind: Literal["told", "blind"]) -> Judge:
        """The one that takes the second look."""
        judge = self.judges[kind]
        assert isinstance(judge, Judge)
        return judge

    def logits(self, counted: Iterable[tuple[int, Tensor]], r: float) -> Tensor:
        """Sums (..., n, H, W) of the shapes' arcs, from `voting.counts` -> (..., H, W) logits."""
        totals: list[Tensor] = list(self.prior)
        scales, knees = self.scales(r), self.log_knee.exp()
        for shape, sums in counted:
            totals[shape] = totals[shape] + tempered(sums * scales[shape], knees[shape]).sum(-3)
        return torch.logsumexp(torch.stack(totals), 0)

    def scales(self, r: float) -> Tensor:
        """Radius, px -> (2,): what a vote counts for a circle and for a square."""
        return torch.exp(self.log_scale + self.power * math.log(max(r, 1.0) / TYPICAL))

    @torch.no_grad()
    def rules(self, r: float) -> list[tuple[float, float, float]]:
        """Radius, px -> scale, knee and prior of each shape, as :meth:`logits` uses them."""
        columns = (self.scales(r), self.log_knee.exp(), self.prior)
        return list(zip(*(column.tolist() for column in columns), strict=True))


def tempered(votes: Tensor, knee: Tensor) -> Tensor:
    """The votes of an arc: against, they count in full; for, ever less above ``knee`` nats.

    So a region must be seen all around: a fence or a roof, however clear, is no circle.
    """
    return torch.where(votes < 0, votes, knee * torch.log1p(votes.clamp(min=0) / knee))
