"""`unet-dsnt`: a U-Net computes a heat map at full resolution, whose mean is the answer.

Options, training and run folders are those of the CNN regressors.

Source: U-Net, Ronneberger et al. (2015); the differentiable spatial to numerical transform and
its regulariser, Nibali et al. (2018).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.methods.cnn import Cnn, Variant

WIDTHS = (8, 16, 32, 64)  # channels, from full resolution down
GROUPS = 4  # of the group norms
SIGMA = 3.0  # px of the input: standard deviation of the target heat map
SHAPE_WEIGHT = 1.0  # weight of the divergence in the loss; the squared error has weight 1


def _two_convolutions(before: int, after: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers += [nn.Conv2d(channels, after, 3, padding=1), nn.GroupNorm(GROUPS, after), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """(B, 3, h, w) float32 in 0 to 1, (B, 2) ignored -> (B, 2): x and y as fractions."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            _two_convolutions(before, after)
            for before, after in zip((3, *WIDTHS), WIDTHS, strict=False)
        )
        self.up = nn.ModuleList(
            _two_convolutions(deep + wide, wide)
            for deep, wide in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True)
        )
        self.paint = nn.Conv2d(WIDTHS[0], 1, 1)

    def heat(self, images: Tensor) -> Tensor:
        """(B, 3, h, w) -> (B, h, w), which sums to 1."""
        height, width = images.shape[2:]
        deepest = 2 ** (len(WIDTHS) - 1)
        x = F.pad(images, (0, -width % deepest, 0, -height % deepest), mode="replicate")
        levels: list[Tensor] = []
        for level in self.down:
            x = level(F.max_pool2d(x, 2) if levels else x)
            levels.append(x)
        for level, skip in zip(self.up, levels[-2::-1], strict=True):
            x = level(torch.cat([F.interpolate(x, scale_factor=2.0), skip], dim=1))
        logits = self.paint(x)[:, 0, :height, :width]
        return torch.softmax(logits.flatten(1), 1).view_as(logits)

    def forward(self, images: Tensor, numeric: Tensor) -> Tensor:
        return mean(self.heat(images))


def mean(heat: Tensor) -> Tensor:
    """(B, h, w) maps that sum to 1 -> (B, 2): their means x, y as fractions of width, height."""
    height, width = heat.shape[1:]
    x, y = ((torch.arange(n, device=heat.device) + 0.5) / n for n in (width, height))
    return torch.stack([heat.sum(1) @ x, heat.sum(2) @ y], dim=1)


def gaussian(target: Tensor, height: int, width: int) -> Tensor:
    """(B, 2) fractions -> (B, h, w): Gaussians of SIGMA px around them that sum to 1."""
    sides = []
    for centre, n in ((target[:, 1], height), (target[:, 0], width)):
        distance = torch.arange(n, device=target.device) + 0.5 - n * centre[:, None]
        sides.append(torch.softmax(-((distance / SIGMA) ** 2) / 2, 1))
    return sides[0][:, :, None] * sides[1][:, None]


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """(B, h, w), (B, h, w) maps that sum to 1 -> (B,) Jensen-Shannon divergence, 0 to ln 2 nats."""
    middle = ((first + second) / 2).clamp_min(1e-24).log()
    parts = [(p * (p.clamp_min(1e-24).log() - middle)).flatten(1).sum(1) for p in (first, second)]
    return (parts[0] + parts[1]) / 2


def heat_loss(
    network: nn.Module, images: Tensor, numeric: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """A batch -> () loss; (B, 2) predicted centres as fractions of width and height."""
    assert isinstance(network, UNet)
    heat = network.heat(images)
    centres = mean(heat)
    divergences = divergence(heat, gaussian(target, *heat.shape[1:]))
    return F.mse_loss(centres, target) + SHAPE_WEIGHT * divergences.mean(), centres


class UnetDsnt(Cnn):
    """The method `unet-dsnt`."""

    variants: ClassVar[Mapping[str, Variant]] = {"unet-dsnt": Variant("none", 1e-3, 30)}
    loss = staticmethod(heat_loss)

    def build(self, mean: Sequence[float], scale: Sequence[float]) -> nn.Module:
        return UNet()
