"""The network: an image to evidence of an edge, for any ratio and radius.

The image is encoded once. Two heads turn the encoding into evidence in nats: the evidence head
per pixel, for a ratio by interpolation between a few learned ones, for when the ratio is told or
proposed; the coarse head per square of POOL px for the ratios HYPOTHESES, for the search.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.methods.hough.aggregation import VoteAggregation
from localize.methods.hough.outlines import KINDS
from localize.methods.platt_scaling import PlattScaling
from localize.methods.ringvote.encoder import CELL, Encoder
from localize.methods.ringvote.platt import INPUTS
from localize.methods.ringvote.tta import FLIPS, average_heads

POOL = 4  # px, side of a square of the coarse head
REACH = 72  # px; pixels farther away than that do not change the evidence of a pixel
_STEPS = (0.02, 0.04, 0.08, 0.16)
STEPS = (*(-step for step in reversed(_STEPS)), *_STEPS)  # logarithms of ratios that are learned
# px; radii that separate bands. Each band has its own heads, as outlines differ in curvature.
BANDS = (25.0, 42.0, 75.0)
HYPOTHESES = (1.03, 1.06, 1.12, 1 / 1.03, 1 / 1.06, 1 / 1.12)  # ratios of the coarse head

# Names of parts in weights that were saved by earlier versions -> the names now.
OLD_NAMES = {
    "enter": "stem", "before": "first_blocks", "after": "last_block",
    "decide": "evidence_head", "survey": "coarse_head",
    "fine": "aggregation", "rough": "coarse_aggregation",
    "told_odds": "platt_told", "blind_odds": "platt_image_only",
    "careful_told_odds": "platt_told_tta", "careful_blind_odds": "platt_image_only_tta",
    "one": "conv1", "two": "conv2",
}  # fmt: skip
UNUSED = "weighing."  # prefix of weights that earlier versions saved and nothing uses any more


def current_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of this or an earlier version -> the same with the names of this version.

    Weights that this version has no use for are left out.
    """
    return {
        ".".join(OLD_NAMES.get(part, part) for part in name.split(".")): value
        for name, value in state.items()
        if not name.startswith(UNUSED)
    }


def interpolate(ratio: float) -> list[float]:
    """A ratio -> the weight of each of STEPS, by linear interpolation of its logarithm.

    A ratio beyond the last step has the weights of the last step.

    >>> interpolate(math.exp(0.06))
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5, 0.0]
    """
    step = math.log(ratio)
    high = min(max(bisect.bisect(STEPS, step), 1), len(STEPS) - 1)
    low = high - 1
    if STEPS[low] < 0 < STEPS[high]:  # never interpolate between brighter and darker
        low = high = high if step > 0 else low
    share = min(1.0, max(0.0, (step - STEPS[low]) / ((STEPS[high] - STEPS[low]) or 1)))
    shares = [0.0] * len(STEPS)
    shares[low] += 1 - share
    shares[high] += share
    return [round(each, 9) for each in shares]


def band(r: float) -> int:
    """A radius in px -> the number of its band, 0 to len(BANDS)."""
    return bisect.bisect(BANDS, r)


def head_mix(conditions: Sequence[tuple[float, int]]) -> Tensor:
    """n pairs of ratio and band -> (n, STEPS, bands): the weight of each learned head."""
    mix = torch.zeros(len(conditions), len(STEPS), len(BANDS) + 1)
    for number, (ratio, radius_band) in enumerate(conditions):
        mix[number, :, radius_band] = torch.tensor(interpolate(ratio))
    return mix


def nearest_hypothesis(ratio: float) -> int:
    """A ratio -> the number of the hypothesis whose logarithm is nearest."""
    return min(range(len(HYPOTHESES)), key=lambda n: abs(math.log(ratio) - math.log(HYPOTHESES[n])))


class RingVoteNet(Encoder):
    """Encoder, evidence heads, vote aggregation and Platt scaling.

    (B, 3, H, W) code values -> :meth:`encode` -> :meth:`evidence` or :meth:`coarse_evidence`.

    Args:
        width: channels of the encoder.
        views: 1 for the image alone, up to 4 for the mean of evidence over the image and its
            mirror images (:mod:`localize.methods.ringvote.tta`); the weights are the same.
    """

    def __init__(self, width: int = 48, views: int = 1) -> None:
        super().__init__(width)
        self.flips = FLIPS[:views]
        bands, side = len(BANDS) + 1, POOL // CELL
        self.evidence_head = nn.Conv2d(width, len(STEPS) * bands * KINDS * CELL**2, 1)
        self.coarse_head = nn.Conv2d(width, len(HYPOTHESES) * bands * KINDS, side, stride=side)
        for head in (self.evidence_head, self.coarse_head):
            assert head.bias is not None
            nn.init.zeros_(head.weight)
            nn.init.constant_(head.bias, -2.0)
        self.aggregation, self.coarse_aggregation = VoteAggregation(), VoteAggregation()
        # Fitted after training, to the candidates that the trained network gives.
        self.platt_told, self.platt_image_only = PlattScaling(INPUTS), PlattScaling(INPUTS)
        self.platt_told_tta, self.platt_image_only_tta = PlattScaling(INPUTS), PlattScaling(INPUTS)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        """As of torch, also for a state dict of an earlier version."""
        return super().load_state_dict(current_keys(state_dict), *args, **options)

    def encode(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) code values -> (B, channels, h, w) by cell, of sides rounded up to POOL."""
        height, width = rgb.shape[2:]
        rgb = F.pad(rgb, (0, -width % POOL, 0, -height % POOL), mode="replicate")
        views = [self.encode_view(rgb.flip(flip)).flip(flip) for flip in self.flips]
        return views[0] if len(views) == 1 else torch.cat(views, 1)

    def platt(self, image_only: bool) -> PlattScaling:
        """The scaling for this number of views, and for the image-only or the told form."""
        if self.uses_tta:
            return self.platt_image_only_tta if image_only else self.platt_told_tta
        return self.platt_image_only if image_only else self.platt_told

    @property
    def uses_tta(self) -> bool:
        """Whether it averages the evidence of several views."""
        return len(self.flips) > 1

    @property
    def channels(self) -> int:
        """Channels of an encoding, of all views together."""
        return self.width * len(self.flips)

    def evidence(self, encoding: Tensor, mix: Tensor) -> Tensor:
        """(B, channels, h, w) of :meth:`encode` -> (B, n, KINDS, CELL h, CELL w), nats a pixel.

        Args:
            mix: (B, n, STEPS, bands) of :func:`head_mix`, n conditions for each image.
        """
        mix = mix.flatten(2)
        head = self.evidence_head
        assert head.bias is not None
        pixels = (len(mix), -1, KINDS, CELL, CELL)
        weight = (mix @ head.weight.view(mix.shape[2], -1)).view(*pixels, self.width)
        bias = (mix @ head.bias.view(mix.shape[2], -1)).view(*pixels, 1)
        weight = average_heads(weight, self.flips, 2, 5).flatten(1, 4)
        bias = average_heads(bias, self.flips, 2, 5).sum(5, keepdim=True).flatten(1, 4)
        planes = torch.baddbmm(bias, weight, encoding.flatten(2)).unflatten(2, encoding.shape[2:])
        return F.pixel_shuffle(planes, CELL).unflatten(1, (-1, KINDS))

    def coarse_evidence(self, encoding: Tensor) -> Tensor:
        """(B, channels, h, w) -> (B, HYPOTHESES, bands, KINDS, H / POOL, W / POOL), nats."""
        head = self.coarse_head
        assert head.bias is not None
        weight = head.weight.unflatten(0, (-1, KINDS))
        bias = head.bias.view(-1, KINDS, 1, 1, 1)
        weight = average_heads(weight, self.flips, 1, 2).flatten(0, 1)
        bias = average_heads(bias, self.flips, 1, 2).sum(2).flatten()
        # A convolution as a product of matrices, which gives contiguous planes.
        side, last = head.stride[0], encoding.permute(0, 2, 3, 1)
        squares = last.unflatten(2, (-1, side)).unflatten(1, (-1, side)).transpose(2, 3)
        size = squares.shape[1:3]
        weight = weight.permute(0, 2, 3, 1).flatten(1).expand(len(encoding), -1, -1)
        planes = torch.baddbmm(bias[:, None], weight, squares.flatten(3).flatten(1, 2).mT)
        return planes.view(len(encoding), len(HYPOTHESES), -1, KINDS, *size)
