"""What every pixel says about a step of the told ratio: the network's input, without training.

The likelihood ratios are those of :mod:`localize.methods.boundary`, here in torch and shifted
so that each sits on the last pixel inside the region; beside them stand what a network needs
to judge better: gradients, texture, chroma and grey level.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from localize.methods.boundary import (
    DOUBT,
    FLOOR,
    GAPS,
    HALF,
    LUMA,
    NEON_FROM,
    NEON_GAP,
    NEON_NOISE,
    NU,
    SPAN,
)

WIDE = 4  # px on either side whose means are compared
CHROMA = (-2, 3)  # columns of the pixels whose colours are compared
CHROMA_NOISE = 3.0  # code values
MARGIN = max(GAPS) + SPAN + 1  # px that the evidence looks to either side
PER_AXIS = 2 * len(GAPS) + 4
BASE = 4  # the first channels: the filter's own evidence, right, down, left, up
CHANNELS = BASE + 2 * PER_AXIS + 2


def _mean(a: Tensor, n: int, dim: int) -> Tensor:
    """(..., L, ...) -> (..., L - n + 1, ...): sliding mean of n values."""
    length = a.shape[dim] - n + 1
    total = a.narrow(dim, 0, length).clone()
    for k in range(1, n):
        total += a.narrow(dim, k, length)
    return total.div_(n)


@dataclass(frozen=True)
class _Axis:
    """What does not depend on the ratio, of one direction: the edge is vertical.

    Args:
        padded: (B, 3, H + 2 HALF, W + 2 MARGIN) code values; ``luma`` its grey levels.
        noises: by gap, then for inside left and inside right: (B, H, W) variances.
        wide: (B, H, W) mean of the WIDE pixels before the edge less that of those after it.
        chroma: (B, H, W) how much the colour changes across the edge.
    """

    padded: Tensor
    luma: Tensor
    noises: list[list[Tensor]]
    wide: Tensor
    chroma: Tensor

    def at(self, a: Tensor, k: int) -> Tensor:
        """(..., H + 2 HALF, W + 2 MARGIN) -> (..., H, W): each pixel's neighbour k columns on."""
        width = a.shape[-1] - 2 * MARGIN
        return a[..., HALF:-HALF, MARGIN + k : MARGIN + k + width]


def _axis(rgb: Tensor) -> _Axis:
    """(B, 3, H, W) float32 -> its columns' measurements."""
    height, width = rgb.shape[2:]
    padded = F.pad(rgb, (MARGIN, MARGIN, HALF, HALF), mode="replicate")
    luma = _luma(padded)
    noises = []
    for gap in GAPS:
        rough = (luma[..., gap:] - luma[..., :-gap]).abs()
        texture = _mean(_mean(rough, SPAN, 2), 2 * HALF + 1, 1).square_().mul_(math.pi / 2)
        pair = []
        for shift in (0, -1):  # inside left, inside right
            before, after = MARGIN + 1 - gap - SPAN + shift, MARGIN + 1 + shift
            noise = texture[..., before : before + width] + texture[..., after : after + width]
            pair.append(noise.mul_(0.5).add_(FLOOR**2))
        noises.append(pair)
    means = _mean(luma, WIDE, 2)[..., HALF : HALF + height, :]
    wide = means[..., MARGIN - WIDE + 1 :][..., :width] - means[..., MARGIN + 1 :][..., :width]
    measured = _Axis(padded, luma, noises, wide, wide)
    chroma = torch.zeros_like(wide)
    for colour in (padded[:, 2] - luma, padded[:, 0] - luma):
        chroma += (measured.at(colour, CHROMA[0]) - measured.at(colour, CHROMA[1])).square_()
    chroma = chroma.div_(2 * CHROMA_NOISE**2).log1p_()
    return dataclasses.replace(measured, chroma=chroma)


def _across(axis: _Axis, ratio: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Measurements, (B, 1, 1) -> evidence inside left, inside right, channels: (B, H, W) each.

    Every map sits on the last pixel inside.
    """
    products = axis.padded * ratio[:, None]
    step = _luma(products.clamp(max=255)).sub_(axis.luma)
    sign = torch.where(ratio < 1, -1.0, 1.0)
    totals = [torch.zeros_like(axis.wide) for _ in range(2)]
    channels: list[Tensor] = []
    for gap, noises in zip(GAPS, axis.noises, strict=True):
        low, high = -(gap // 2), gap - gap // 2
        for total, noise, (inside, outside) in zip(
            totals, noises, ((low, high), (high - 1, low - 1)), strict=True
        ):
            expected = axis.at(step, outside)
            seen = axis.at(axis.luma, inside) - axis.at(axis.luma, outside)
            same = seen.square().div_(noise).add_(NU)
            rest = (seen - expected).square_()
            rest = rest.div_((DOUBT * expected).square_().add_(noise)).add_(NU)
            evidence = same.div_(rest).log_().mul_((NU + 1) / 2)
            total += evidence
            channels.append(evidence)
    sharp = axis.noises[0][0].rsqrt()
    gradient = axis.at(axis.luma, 0) - axis.at(axis.luma, 1)
    here = axis.at(step, 0)
    channels.append((gradient * sharp).mul_(sign).clamp_(-6, 6).div_(2))
    channels.append((here.abs() * sharp).mul_(3).log1p_())
    channels.append((axis.wide / (here + sign * 0.5)).clamp_(-3, 3))
    channels.append(axis.chroma)
    return *_with_neon(axis, products, ratio, totals), channels


def _with_neon(
    axis: _Axis, products: Tensor, ratio: Tensor, totals: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """The evidence inside left and right, or that of wrapped values where it is stronger."""
    over = (products >= NEON_FROM) & (ratio > 1)[:, None]
    if not bool(over.any()):
        return totals[0], totals[1]
    wrapped = torch.where(over, products - 256, products)
    low, high = -(NEON_GAP // 2), NEON_GAP - NEON_GAP // 2
    best = []
    for total, (inside, outside) in zip(totals, ((low, high), (high - 1, low - 1)), strict=True):
        seen, plain = axis.at(axis.padded, inside), axis.at(axis.padded, outside)
        same = (seen - plain).square_().mean(1).div_(NEON_NOISE**2)
        gone = (seen - axis.at(wrapped, outside)).square_().mean(1).div_(NEON_NOISE**2)
        value = ((same + NU) / (gone + NU)).log_().mul_((NU + 1) / 2)
        value = torch.maximum(total, value)
        best.append(torch.where(axis.at(over, outside).any(1), value, total))
    return best[0], best[1]


def _luma(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, H, W)."""
    return torch.einsum("bchw,c->bhw", rgb, torch.from_numpy(LUMA).to(rgb.device))


class Features:
    """(B, 3, H, W) float32 code values, measured once for any number of ratios."""

    def __init__(self, rgb: Tensor) -> None:
        self._axes = _axis(rgb), _axis(rgb.transpose(2, 3))
        self._grey = _luma(rgb).div_(64).sub_(2)

    def of(self, ratio: Tensor) -> Tensor:
        """(B,) -> (B, CHANNELS, H, W) float32, channels last in memory."""
        ratio = ratio.to(self._grey).view(-1, 1, 1)
        right, left, x = _across(self._axes[0], ratio)
        down, up, y = _across(self._axes[1], ratio)
        strength = (ratio.log().abs().clamp_(min=1e-3) * 20).log().expand_as(self._grey)
        planes = [right, down.mT, left, up.mT, *x, *(p.mT for p in y), self._grey, strength]
        return torch.stack(planes, -1).permute(0, 3, 1, 2)


def features(rgb: Tensor, ratio: Tensor) -> Tensor:
    """(B, 3, H, W) float32 code values, (B,) -> (B, CHANNELS, H, W) float32, channels last."""
    return Features(rgb).of(ratio)
