"""The encoder: an image to features of its local steps, at half the resolution.

`ringvote` computes evidence of an edge from them, `heatmap` a map of centres.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.methods.ringvote.features import CHANNELS, features

CELL = 2  # px of a side; the pixels of a cell become channels, nothing is averaged
DILATIONS = ((1, 1), (2, 1), (4, 1))  # of each block's two convolutions, in cells
CONTEXT_DILATIONS = ((1, 1), (2, 4))  # in squares of two cells


class Block(nn.Module):
    """Residual block of two 3 x 3 convolutions: (B, width, h, w) -> the same shape.

    Args:
        first, second: dilations, in cells.
    """

    def __init__(self, width: int, first: int, second: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=first, dilation=first)
        self.conv2 = nn.Conv2d(width, width, 3, padding=second, dilation=second)
        with torch.no_grad():
            self.conv2.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.conv2(F.relu_(self.conv1(x)))
        return F.relu_(residual.add_(x))


class Context(nn.Module):
    """Blocks at half the resolution: (B, width, h, w) -> the same shape."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, inner, 2, stride=2)
        self.blocks = nn.Sequential(*(Block(inner, *pair) for pair in CONTEXT_DILATIONS))
        self.up = nn.ConvTranspose2d(inner, width, 2, stride=2)
        with torch.no_grad():
            self.up.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        context: Tensor = self.up(self.blocks(F.relu_(self.down(x))))
        return context


class Encoder(nn.Module):
    """(B, 3, H, W) code values, H and W even -> (B, width, H / CELL, W / CELL).

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        # A convolution of 3 x 3 cells whose pixels are channels.
        self.stem = nn.Conv2d(CHANNELS, width, 3 * CELL, stride=CELL, padding=CELL)
        *first, last = (Block(width, *pair) for pair in DILATIONS)
        self.first_blocks, self.last_block = nn.Sequential(*first), last
        self.context = Context(width, 4 * width // 3)

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """The weights of the encoder, without those of a subclass."""
        for part in (self.stem, self.first_blocks, self.context, self.last_block):
            yield from part.parameters()

    def encode_view(self, rgb: Tensor) -> Tensor:
        """(B, 3, H, W) code values -> (B, width, H / CELL, W / CELL)."""
        x = self.first_blocks(F.relu_(self.stem(features(rgb))))
        encoding: Tensor = self.last_block(F.relu_(self.context(x).add_(x)))
        return encoding
