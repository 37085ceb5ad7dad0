"""The network: an image to the expected number of centres in each square of 4 px."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.methods.platt_scaling import PlattScaling
from localize.methods.ringvote.encoder import Block, Encoder
from localize.methods.ringvote.platt import INPUTS

WIDTH = 48  # channels of the encoder, as in the included weights of ringvote
SQUARE = 4  # px, side of a square of the maps
# Channels and dilations of the blocks of each level, from squares of SQUARE px to those of 8 SQUARE
# px. The dilations at 8 px carry the place of an edge to a centre 250 px away.
LEVELS: tuple[tuple[int, tuple[tuple[int, int], ...]], ...] = (
    (48, ((1, 1),)),
    (96, ((1, 2), (4, 8))),
    (96, ((1, 2),)),
    (96, ((1, 2),)),
)
STRIDE = SQUARE * 2 ** (len(LEVELS) - 1)  # px, side of a square of the coarsest level
CONTEXT = 384  # px; farther pixels hardly change the maps of a square
FEW_CENTRES = -9.0  # initial logarithm of the expected number of centres in a square
TYPICAL_RADIUS = 40.0  # px
RATIO_UNIT = 0.2  # |log ratio| that counts like a factor e of the radius
LARGEST = 10.0  # bound of the logarithm of the expected number


@dataclass(frozen=True)
class Maps:
    """The maps of B images, one value per square.

    Args:
        log_rate: (B, h, w), logarithm of the expected number of centres.
        offset: (B, 2, h, w), x and y from the square's middle to the centre, px.
        log_radius: (B, h, w), logarithm of the radius in px.
        square: (B, h, w), log odds that the region is a square.
        log_ratio: (B, h, w).
    """

    log_rate: Tensor
    offset: Tensor
    log_radius: Tensor
    square: Tensor
    log_ratio: Tensor


class HeatmapNet(Encoder):
    """(B, 3, H, W) code values -> :class:`Maps` of ceil(H / SQUARE) x ceil(W / SQUARE) squares."""

    def __init__(self) -> None:
        super().__init__(WIDTH)
        widths = [width for width, _ in LEVELS]
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, 2, stride=2)
            for before, after in zip((WIDTH, *widths), widths, strict=False)
        )
        self.down_blocks, self.up_blocks = (
            nn.ModuleList(
                nn.Sequential(*(Block(width, *pair) for pair in dilations))
                for width, dilations in levels
            )
            for levels in (LEVELS, LEVELS[-2::-1])
        )
        self.up = nn.ModuleList(
            nn.Conv2d(deep, wide, 1)
            for deep, wide in zip(widths[:0:-1], widths[-2::-1], strict=True)
        )
        self.heads = nn.Conv2d(widths[0], 6, 1)
        assert self.heads.bias is not None
        with torch.no_grad():
            self.heads.weight.mul_(0.1)
            self.heads.bias.zero_()
            self.heads.bias[0] = FEW_CENTRES
        self.platt = PlattScaling(INPUTS)  # fitted after training
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, rgb: Tensor) -> Maps:
        height, width = rgb.shape[2:]
        rgb = F.pad(rgb, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate")
        x = self.encode_view(rgb)
        levels: list[Tensor] = []
        for down, blocks in zip(self.down, self.down_blocks, strict=True):
            x = blocks(F.relu_(down(x)))
            levels.append(x)
        for up, blocks, skip in zip(self.up, self.up_blocks, levels[-2::-1], strict=True):
            x = blocks(F.interpolate(up(x), scale_factor=2.0) + skip)
        maps = self.heads(x).float()[..., : -(-height // SQUARE), : -(-width // SQUARE)]
        return Maps(
            log_rate=maps[:, 0].clamp(max=LARGEST),
            offset=maps[:, 1:3] * SQUARE,
            log_radius=maps[:, 3] + torch.tensor(TYPICAL_RADIUS).log(),
            square=maps[:, 4],
            log_ratio=maps[:, 5] * RATIO_UNIT,
        )


def middles(count: int, device: torch.device) -> Tensor:
    """(count,) px: the middles of squares along an axis; the first pixel's centre is 0."""
    return torch.arange(count, device=device) * float(SQUARE) + (SQUARE - 1) / 2
