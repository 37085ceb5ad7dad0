"""What the network sees of every pixel: grey levels and colours, and how they change beside it.

Nothing here depends on a ratio. Steps are of logarithms, in which a ratio is an additive
constant, and of code values, in which rounding and coding make even noise, as they are and in
units of the texture on either side. They are compressed: no strong edge drowns the faint ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from localize.methods.boundary import FLOOR, HALF, LUMA, SPAN

DARK = 4.0  # code values, added before the logarithm
AROUND = 8  # px to either side, of the mean that a pixel is compared with
FINE_LOG, FINE_CODE, FINE_COLOUR = 0.02, 2.0, 6.0  # steps from which compression sets in
BRIGHT = 230.0  # code values
PAIRS = ((0, 1), (-1, 2))  # px from a pixel: the two whose grey levels are compared
COLOURS = (-2, 3)  # and the two whose colours are, as JPEG smears them
MARGIN = SPAN + 1  # px, the farthest that a step is compared with
CHANNELS = 20


def _step(padded: Tensor, pair: tuple[int, int], axis: int, out: Tensor) -> Tensor:
    """(B, H + 2 MARGIN, W + 2 MARGIN) -> (B, H, W): the first pixel's value less the second's."""
    height, width = out.shape[1:]
    sides = []
    for offset in pair:
        down, across = (offset, 0) if axis == 1 else (0, offset)
        rows = padded[:, MARGIN + down : MARGIN + down + height]
        sides.append(rows[..., MARGIN + across : MARGIN + across + width])
    return torch.sub(sides[0], sides[1], out=out)


def _compress(plane: Tensor) -> Tensor:
    """asinh, in place: many times faster than torch's own."""
    size = plane.abs()
    size = (size * size).add_(1).sqrt_().add_(size).log_()
    return torch.copysign(size, plane, out=plane)


def _texture(luma: Tensor, axis: int) -> Tensor:
    """(B, H + 2 MARGIN, W + 2 MARGIN) -> (B, H, W): 1 / sigma of a step to the next pixel.

    Measured on either side of the step, which would inflate its own noise.
    """
    if axis == 1:
        return _texture(luma.mT, 2).mT
    width = luma.shape[2] - 2 * MARGIN
    rows = luma[:, MARGIN - HALF : luma.shape[1] - MARGIN + HALF]
    rough = (rows[..., 1:] - rows[..., :-1]).abs_()
    rough = F.avg_pool2d(rough, (2 * HALF + 1, 1), 1)
    rough = F.avg_pool2d(rough, (1, SPAN), 1).square_()
    before = rough[..., MARGIN - SPAN :][..., :width]
    return (
        (before + rough[..., MARGIN + 1 :][..., :width]).mul_(math.pi / 4).add_(FLOOR**2).rsqrt_()
    )


@torch.no_grad()
def features(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) float32 code values -> (B, CHANNELS, H, W) float32."""
    padded = F.pad(rgb, (MARGIN,) * 4, mode="replicate")
    red, green, blue = padded.unbind(1)
    shares = LUMA.tolist()
    luma = red * shares[0]
    luma.add_(green, alpha=shares[1]).add_(blue, alpha=shares[2])
    logs = (luma + DARK).log_()
    colours = [blue.sub_(luma), red.sub_(luma)]  # in padded, which nobody needs any more
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    here, level = logs[inner], luma[inner]
    # Written where it stays: that is faster than planes that are stacked.
    out = rgb.new_empty(rgb.shape[0], CHANNELS, *rgb.shape[2:])
    planes = iter(out.unbind(1))
    for axis in (2, 1):
        for pair in PAIRS:
            _compress(_step(logs, pair, axis, next(planes)).mul_(1 / FINE_LOG))
        _compress(_step(luma, PAIRS[0], axis, next(planes)).mul_(1 / FINE_CODE))
        for colour in colours:
            _compress(_step(colour, COLOURS, axis, next(planes)).mul_(1 / FINE_COLOUR))
    above = next(planes)
    mean = here.contiguous()
    for window in ((1, 2 * AROUND + 1), (2 * AROUND + 1, 1)):
        half = window[0] // 2, window[1] // 2
        mean = F.avg_pool2d(mean, window, 1, half, count_include_pad=False)
    torch.sub(here, mean, out=above).mul_(10).clamp_(-6, 6)
    torch.abs(above, out=next(planes)).mul_(2).log1p_()
    torch.mul(level, 1 / 64, out=next(planes)).sub_(2)
    torch.amax(rgb, 1, out=next(planes)).sub_(BRIGHT).mul_(1 / 25).clamp_(-1, 1)
    for axis in (2, 1):
        sharp = _texture(luma, axis)
        for pair in PAIRS:
            _compress(_step(luma, pair, axis, next(planes)).mul_(sharp).mul_(2))
        torch.mul(level, sharp, out=next(planes)).add_(1).log_()
    return out
