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
STEP_CHANNELS = ((0, 10), (14, 2), (17, 2))  # first and number of those that are compressed
CACHED = 1 << 16  # values that are compressed at a time on a CPU


def _step(padded: Tensor, pair: tuple[int, int], axis: int, out: Tensor) -> Tensor:
    """(B, H + 2 MARGIN, W + 2 MARGIN) -> (B, H, W): the pair's first value minus its second."""
    height, width = out.shape[1:]
    values = []
    for offset in pair:
        down, across = (offset, 0) if axis == 1 else (0, offset)
        rows = padded[:, MARGIN + down : MARGIN + down + height]
        values.append(rows[..., MARGIN + across : MARGIN + across + width])
    return torch.sub(values[0], values[1], out=out)


def _compress(planes: Tensor) -> None:
    """asinh, in place; many times faster than torch.asinh."""
    # On a CPU in parts that fit into the processor's cache.
    rows = planes.shape[2] if planes.is_cuda else max(1, CACHED // planes[0, :, 0].numel())
    for part in planes.split(rows, 2):
        size = torch.addcmul(part.new_ones(()), part, part).sqrt_().add_(part.abs()).log_()
        torch.copysign(size, part, out=part)


def window_sums(planes: Tensor, length: int, axis: int) -> Tensor:
    """The sum of every ``length`` consecutive values along an axis, by repeated doubling."""
    if length == 1:
        return planes
    half, count = window_sums(planes, length // 2, axis), planes.shape[axis] - length + 1
    sums = half.narrow(axis, 0, count) + half.narrow(axis, length // 2, count)
    return sums.add_(planes.narrow(axis, length - 1, count)) if length % 2 else sums


def mean_around(planes: Tensor, axis: int) -> Tensor:
    """The mean of the values up to MEAN_REACH px to either side along an axis, inside the image."""
    reach, length = MEAN_REACH, planes.shape[axis]
    pad = (reach, reach) if axis == 2 else (0, 0, reach, reach)
    places = torch.arange(length, device=planes.device)
    counts = places.clamp(max=reach) + (length - 1 - places).clamp(max=reach) + 1
    inverse = (1 / counts).unflatten(0, (1, -1) if axis == 2 else (-1, 1))
    return window_sums(F.pad(planes, pad), 2 * reach + 1, axis).mul_(inverse)


def _inverse_texture(luma: Tensor, axis: int) -> Tensor:
    """(B, H + 2 MARGIN, W + 2 MARGIN) -> (B, H, W): 1 / sigma of a step to the next pixel.

    Measured on either side of the step, so that the step itself does not count as texture.
    """
    down, across = luma.shape[1] - 2 * MARGIN + 2 * HALF, luma.shape[2] - 2 * MARGIN + 2 * HALF
    # The lines of the result and HALF more on each side, at all places along the direction.
    lines = luma.narrow(3 - axis, MARGIN - HALF, down if axis == 2 else across)
    steps = lines.shape[axis] - 1
    size = (lines.narrow(axis, 1, steps) - lines.narrow(axis, 0, steps)).abs_()
    squared = window_sums(window_sums(size, 2 * HALF + 1, 3 - axis), SPAN, axis).square_()
    length = luma.shape[axis] - 2 * MARGIN
    total = squared.narrow(axis, MARGIN - SPAN, length) + squared.narrow(axis, MARGIN + 1, length)
    # pi / 2 x the squared mean is the variance of a Gaussian; the mean of two sides halves it.
    share = math.pi / 4 / (SPAN * (2 * HALF + 1)) ** 2
    return total.mul_(share).add_(NOISE_FLOOR**2).rsqrt_()


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
            _step(logs, pair, axis, next(planes)).mul_(1 / FINE_LOG)
        _step(luma, PAIRS[0], axis, next(planes)).mul_(1 / FINE_CODE)
        for colour in colours:
            _step(colour, COLOURS, axis, next(planes)).mul_(1 / FINE_COLOUR)
    contrast = next(planes)
    mean = mean_around(mean_around(log_level, 2), 1)
    torch.sub(log_level, mean, out=contrast).mul_(10).clamp_(-6, 6)
    torch.abs(contrast, out=next(planes)).mul_(2).log1p_()
    torch.mul(level, 1 / 64, out=next(planes)).sub_(2)
    torch.amax(rgb, 1, out=next(planes)).sub_(BRIGHT).mul_(1 / 25).clamp_(-1, 1)
    for axis in (2, 1):
        inverse = _inverse_texture(luma, axis)
        for pair in PAIRS:
            _step(luma, pair, axis, next(planes)).mul_(inverse).mul_(2)
        torch.mul(level, inverse, out=next(planes)).add_(1).log_()
    for first, count in STEP_CHANNELS:
        _compress(out[:, first : first + count])
    return out
