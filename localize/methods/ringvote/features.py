"""The input channels of the network: grey levels, colours and their local steps.

Nothing here depends on a ratio. Steps are differences of logarithms, in which a ratio is an
additive constant, and differences of code values, in which rounding and compression add the
same noise everywhere; the latter also divided by the local texture. Steps are compressed with
asinh, so that strong edges do not dominate faint ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from synth.colour import LUMA

LOG_OFFSET = 4.0  # code values, added before the logarithm
MEAN_REACH = 8  # px to either side, of the mean that a pixel is compared with
# Steps at which asinh changes from linear to logarithmic: of logarithms and code values.
FINE_LOG, FINE_CODE, FINE_COLOUR = 0.02, 2.0, 6.0
BRIGHT = 230.0  # code values; near 255 values are clipped or wrap
PAIRS = ((0, 1), (-1, 2))  # px from a pixel: the two whose grey levels are compared
COLOURS = (-2, 3)  # the two whose colours are compared, farther apart as JPEG blurs colour
NOISE_FLOOR = 2.0  # code values, noise of a step in a flat part of the image
SPAN, HALF = 4, 2  # texture: mean over SPAN px along and 2 HALF + 1 px across the direction
MARGIN = SPAN + 1  # px on each side of a pixel that its channels depend on, but for the mean
CHANNELS = 20


def _step(padded: Tensor, pair: tuple[int, int], axis: int, out: Tensor) -> Tensor:
    """(B, H + 2 MARGIN, W + 2 MARGIN) -> (B, H, W): the pair's first value minus its second."""
    height, width = out.shape[1:]
    values = []
    for offset in pair:
        down, across = (offset, 0) if axis == 1 else (0, offset)
        rows = padded[:, MARGIN + down : MARGIN + down + height]
        values.append(rows[..., MARGIN + across : MARGIN + across + width])
    return torch.sub(values[0], values[1], out=out)


def _compress(plane: Tensor) -> Tensor:
    """asinh, in place; many times faster than torch.asinh."""
    size = plane.abs()
    size = (size * size).add_(1).sqrt_().add_(size).log_()
    return torch.copysign(size, plane, out=plane)


def _inverse_texture(luma: Tensor, axis: int) -> Tensor:
    """(B, H + 2 MARGIN, W + 2 MARGIN) -> (B, H, W): 1 / sigma of a step to the next pixel.

    Measured on either side of the step, so that the step itself does not count as texture.
    """
    if axis == 1:
        return _inverse_texture(luma.mT, 2).mT
    width = luma.shape[2] - 2 * MARGIN
    rows = luma[:, MARGIN - HALF : luma.shape[1] - MARGIN + HALF]
    size = (rows[..., 1:] - rows[..., :-1]).abs_()
    size = F.avg_pool2d(size, (2 * HALF + 1, 1), 1)
    squared = F.avg_pool2d(size, (1, SPAN), 1).square_()
    before = squared[..., MARGIN - SPAN :][..., :width]
    total = before + squared[..., MARGIN + 1 :][..., :width]
    # pi / 2 x the squared mean is the variance of a Gaussian; the mean of two sides halves it.
    return total.mul_(math.pi / 4).add_(NOISE_FLOOR**2).rsqrt_()


@torch.no_grad()
def features(rgb: Tensor) -> Tensor:
    """(B, 3, H, W) float32 code values -> (B, CHANNELS, H, W) float32.

    For each axis two steps of log luma, one of luma and two of colour; log luma minus its mean
    around the pixel and the logarithm of that difference's size; luma; closeness to white; for
    each axis two steps of luma over texture and the logarithm of luma over texture.
    """
    padded = F.pad(rgb, (MARGIN,) * 4, mode="replicate")
    red, green, blue = padded.unbind(1)
    shares = LUMA.tolist()
    luma = red * shares[0]
    luma.add_(green, alpha=shares[1]).add_(blue, alpha=shares[2])
    logs = (luma + LOG_OFFSET).log_()
    colours = [blue.sub_(luma), red.sub_(luma)]  # in place: ``padded`` is not needed any more
    inner = (..., slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    log_level, level = logs[inner], luma[inner]
    # Every channel is written into the result directly, which is faster than torch.stack.
    out = rgb.new_empty(rgb.shape[0], CHANNELS, *rgb.shape[2:])
    planes = iter(out.unbind(1))
    for axis in (2, 1):
        for pair in PAIRS:
            _compress(_step(logs, pair, axis, next(planes)).mul_(1 / FINE_LOG))
        _compress(_step(luma, PAIRS[0], axis, next(planes)).mul_(1 / FINE_CODE))
        for colour in colours:
            _compress(_step(colour, COLOURS, axis, next(planes)).mul_(1 / FINE_COLOUR))
    contrast = next(planes)
    mean = log_level.contiguous()
    for window in ((1, 2 * MEAN_REACH + 1), (2 * MEAN_REACH + 1, 1)):
        half = window[0] // 2, window[1] // 2
        mean = F.avg_pool2d(mean, window, 1, half, count_include_pad=False)
    torch.sub(log_level, mean, out=contrast).mul_(10).clamp_(-6, 6)
    torch.abs(contrast, out=next(planes)).mul_(2).log1p_()
    torch.mul(level, 1 / 64, out=next(planes)).sub_(2)
    torch.amax(rgb, 1, out=next(planes)).sub_(BRIGHT).mul_(1 / 25).clamp_(-1, 1)
    for axis in (2, 1):
        inverse = _inverse_texture(luma, axis)
        for pair in PAIRS:
            _compress(_step(luma, pair, axis, next(planes)).mul_(inverse).mul_(2))
        torch.mul(level, inverse, out=next(planes)).add_(1).log_()
    return out
