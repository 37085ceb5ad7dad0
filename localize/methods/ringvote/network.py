"""The network: a picture to oriented evidence for any ratio.

It looks once. What it saw says, for each of a few ratios, how likely the edge of such a region
passes here: per pixel, interpolated between the ratios, for those who know where to look; and
per square of POOL px, for those who search.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.methods.hough.aggregation import Rules
from localize.methods.hough.voting import KINDS
from localize.methods.ringvote.features import CHANNELS, features
from localize.methods.ringvote.platt import Odds
from localize.methods.ringvote.tta import FLIPS, of_all

CELL = 2  # px of a side: so many pixels are channels of one, nothing is averaged
POOL = 4  # px, of the search
DILATIONS = ((1, 1), (2, 1), (4, 1))  # in cells
AROUND = ((1, 1), (2, 4))  # in squares of two cells
REACH = 72  # px beyond which nothing changes a pixel's evidence
_STEPS = (0.02, 0.04, 0.08, 0.16)
STEPS = (*(-step for step in reversed(_STEPS)), *_STEPS)  # logarithms of ratios
BANDS = (25.0, 42.0, 75.0)  # px: radii between which a small circle's edge is no large one's
HYPOTHESES = (1.03, 1.06, 1.12, 1 / 1.03, 1 / 1.06, 1 / 1.12)  # of the search


def between(ratio: float) -> list[float]:
    """A ratio -> what each of STEPS contributes to its evidence; beyond the last, that one.

    >>> between(math.exp(0.06))
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0]
    """
    step = math.log(ratio)
    high = min(max(bisect.bisect(STEPS, step), 1), len(STEPS) - 1)
    low = high - 1
    if STEPS[low] < 0 < STEPS[high]:  # between are ratios too faint for either
        low = high = high if step > 0 else low
    share = min(1.0, max(0.0, (step - STEPS[low]) / ((STEPS[high] - STEPS[low]) or 1)))
    shares = [0.0] * len(STEPS)
    shares[low] += 1 - share
    shares[high] += share
    return [round(each, 9) for each in shares]


def band(r: float) -> int:
    """A radius in px -> the number of its band, 0 to len(BANDS)."""
    return bisect.bisect(BANDS, r)


def mixed(kinds: Sequence[tuple[float, int]]) -> Tensor:
    """n ratios, each with a band -> (n, STEPS, bands): what each of the weights contributes."""
    mix = torch.zeros(len(kinds), len(STEPS), len(BANDS) + 1)
    for number, (ratio, which) in enumerate(kinds):
        mix[number, :, which] = torch.tensor(between(ratio))
    return mix


def nearest(ratio: float) -> int:
    """A ratio -> the number of the hypothesis that serves it."""
    return min(range(len(HYPOTHESES)), key=lambda n: abs(math.log(ratio) - math.log(HYPOTHESES[n])))


class Block(nn.Module):
    """(B, width, h, w) -> the same, and what two convolutions add to it."""

    def __init__(self, width: int, first: int, second: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, padding=first, dilation=first)
        self.two = nn.Conv2d(width, width, 3, padding=second, dilation=second)
        with torch.no_grad():
            self.two.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.two(F.relu_(self.one(x)))
        return F.relu_(added.add_(x))


class Context(nn.Module):
    """(B, width, h, w) -> the same: what lies around, seen at half the resolution."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, inner, 2, stride=2)
        self.blocks = nn.Sequential(*(Block(inner, *pair) for pair in AROUND))
        self.up = nn.ConvTranspose2d(inner, width, 2, stride=2)
        with torch.no_grad():
            self.up.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.up(self.blocks(F.relu_(self.down(x))))
        return found


class Trunk(nn.Module):
    """A picture to what is seen in it, once; that to evidence in nats, for any ratio.

    (B, 3, H, W) code values -> :meth:`seen` -> :meth:`evidence`, :meth:`surveyed`.

    Args:
        looks: how many times it looks at a picture, for the mean of the evidence: see
            :mod:`looks`. More take longer; the weights are the same.
    """

    def __init__(self, width: int = 48, looks: int = 1) -> None:
        super().__init__()
        self.width, self.flips = width, FLIPS[:looks]
        # As of 3 x 3 cells, whose pixels are channels: nothing is averaged.
        self.enter = nn.Conv2d(CHANNELS, width, 3 * CELL, stride=CELL, padding=CELL)
        *before, last = (Block(width, *pair) for pair in DILATIONS)
        self.before, self.after = nn.Sequential(*before), last
        self.context = Context(width, 4 * width // 3)
        bands, side = len(BANDS) + 1, POOL // CELL
        self.decide = nn.Conv2d(width, len(STEPS) * bands * KINDS * CELL**2, 1)
        self.survey = nn.Conv2d(width, len(HYPOTHESES) * bands * KINDS, side, stride=side)
        for head in (self.decide, self.survey):
            assert head.bias is not None
            nn.init.zeros_(head.weight)
            nn.init.constant_(head.bias, -2.0)
        self.fine, self.rough = Rules(), Rules()
        # They are fitted last, to what the rest finds.
        self.told_odds, self.blind_odds = Odds(), Odds()
        self.careful_told_odds, self.careful_blind_odds = Odds(), Odds()
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def seen(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) code values -> (B, channels, h, w) in cells, of sides rounded up to POOL."""
        height, width = rgb.shape[2:]
        rgb = F.pad(rgb, (0, -width % POOL, 0, -height % POOL), mode="replicate")
        found = [self._look(rgb.flip(flip)).flip(flip) for flip in self.flips]
        return found[0] if len(found) == 1 else torch.cat(found, 1)

    def _look(self, rgb: Tensor) -> Tensor:
        x = self.before(F.relu_(self.enter(features(rgb))))
        found: Tensor = self.after(F.relu_(self.context(x).add_(x)))
        return found

    def odds(self, blind: bool) -> Odds:
        """Those of who looks as often as this network does, and is told or not."""
        if self.careful:
            return self.careful_blind_odds if blind else self.careful_told_odds
        return self.blind_odds if blind else self.told_odds

    @property
    def careful(self) -> bool:
        """Whether it looks more than once."""
        return len(self.flips) > 1

    @property
    def channels(self) -> int:
        """Of what is seen: those of all looks."""
        return self.width * len(self.flips)

    def evidence(self, seen: Tensor, mix: Tensor) -> Tensor:
        """(B, channels, h, w) of :meth:`seen` -> (B, n, KINDS, CELL h, CELL w), nats a pixel.

        Args:
            mix: (B, n, STEPS, bands) of :func:`mixed`: for each picture, n kinds of region.
        """
        mix = mix.flatten(2)
        assert self.decide.bias is not None
        pixels = (len(mix), -1, KINDS, CELL, CELL)
        weight = (mix @ self.decide.weight.view(mix.shape[2], -1)).view(*pixels, self.width)
        bias = (mix @ self.decide.bias.view(mix.shape[2], -1)).view(*pixels, 1)
        weight = of_all(weight, self.flips, 2, 5).flatten(1, 4)
        bias = of_all(bias, self.flips, 2, 5).sum(5, keepdim=True).flatten(1, 4)
        planes = torch.baddbmm(bias, weight, seen.flatten(2)).unflatten(2, seen.shape[2:])
        return F.pixel_shuffle(planes, CELL).unflatten(1, (-1, KINDS))

    def surveyed(self, seen: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, HYPOTHESES, bands, KINDS, H / POOL, W / POOL), in nats."""
        assert self.survey.bias is not None
        weight = self.survey.weight.unflatten(0, (-1, KINDS))
        bias = self.survey.bias.view(-1, KINDS, 1, 1, 1)
        weight = of_all(weight, self.flips, 1, 2).flatten(0, 1)
        bias = of_all(bias, self.flips, 1, 2).sum(2).flatten()
        planes = F.conv2d(seen, weight, bias, stride=self.survey.stride)
        return planes.unflatten(1, (len(HYPOTHESES), -1, KINDS))
