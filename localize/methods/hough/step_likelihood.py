"""Log likelihood ratio of a faint step in the residual of a texture model, without training.

A step of known height changes the residual (:mod:`localize.methods.hough.whitening`) along the
edge in a way that follows from the model's weights. For each pixel and direction, the likelihood
of the residual with such a step is compared with that without. The height of a step is the
logarithm of a ratio; directions are in eighths of a turn clockwise from the right, outward.

Source: prewhitening matched filter as an observer, Wagner and Brown (1985); Student-t noise,
Lange, Little and Taylor (1989).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from localize.methods.hough.border import Border
from localize.methods.hough.mirroring import FLIPS, ROWS, mirrored_kinds
from localize.methods.hough.outlines import ARCS, DIRECTIONS, direction_vector
from localize.methods.hough.whitening import CELL, LAGS, REACH, Whitened, whiten
from synth.colour import LUMA

NOISE = 5.0  # code values, standard deviation of what compression does to a faint step
NU = 3.0  # degrees of freedom of Student's t; its heavy tails limit the influence of a pixel
DARK, BRIGHT = 6.0, 250.0  # code values; darker or brighter pixels are rounded or clipped
HALO = 4  # cells beyond a strip that its evidence depends on
STRIP = 1 << 21  # px that are computed at a time, which bounds the memory
OUTSIDE = 1e30  # variance of pixels outside the image, which makes their evidence 0
ROOM = REACH + 1  # px before and after an edge where a step changes the residual


def step_response(weights: Tensor, direction: int, ahead: int) -> Tensor:
    """The residual that a step of height 1 leaves ``ahead`` px beyond its straight edge.

    Args:
        weights: (h, w, LAGS) prediction weights of the cells.

    Returns:
        (h, w), by cell.
    """
    down, right = direction_vector(direction, 1)
    inside = [float(ahead + dy * down + dx * right <= 1e-6) for dy, dx in LAGS]
    return float(ahead <= 0) - weights @ torch.tensor(inside).to(weights)


def evidence_of_step(whitened: Whitened, step: float) -> Tensor:
    """(H, W) residual and a step's height -> (ARCS, H, W) evidence, nats.

    The value at a pixel is for an edge whose last pixel inside it is.
    """
    height, width = whitened.residual.shape
    tall, wide = (CELL * count for count in whitened.weights.shape[:2])
    border = (ROOM, ROOM + wide - width, ROOM, ROOM + tall - height)
    residual = F.pad(whitened.residual, border)
    precision = 1 / (NU * F.pad(whitened.variance, border, value=OUTSIDE))
    without_step = torch.log1p(residual.square() * precision)

    def shift(plane: Tensor, direction: int, px: int) -> Tensor:
        """The values so many px beyond each pixel, (h, CELL, w, CELL): by cell and pixel."""
        top, left = (ROOM + round(each) for each in direction_vector(direction, px))
        part = plane[top : top + tall, left : left + wide]
        return part.unflatten(1, (-1, CELL)).unflatten(0, (-1, CELL))

    planes = []
    for direction in range(ARCS):
        nats = torch.zeros_like(shift(residual, direction, 0))
        for first in range(-ROOM, ROOM, 2):
            factor = torch.ones(())  # one logarithm of a product of two is faster than two
            for px in (first, first + 1):
                response = step_response(whitened.weights, direction, px)
                response = step * response[:, None, :, None]
                certainty = shift(precision, direction, px)
                nats += shift(without_step, direction, px)
                left_over = shift(residual, direction, px) - response
                factor = factor * (1 + left_over.square() * certainty)
            nats -= factor.log()
        planes.append(nats.flatten(2).flatten(0, 1)[:height, :width])
    return (NU + 1) / 2 * torch.stack(planes)


def evidence_at(
    whitened: Whitened, steps: Tensor, rows: Tensor, cols: Tensor, directions: Tensor
) -> Tensor:
    """As :func:`evidence_of_step`, at m pixels for n steps at each -> (n, m), nats.

    Args:
        steps: (n, m) heights.
        rows, cols, directions: (m,) pixels of the residual and the outward direction at each.
    """
    residual = F.pad(whitened.residual, (ROOM,) * 4)
    precision = (1 / NU) / F.pad(whitened.variance, (ROOM,) * 4, value=OUTSIDE)
    across, (tall, wide) = residual.shape[1], whitened.weights.shape[:2]
    pixels = (rows + ROOM) * across + cols + ROOM
    cells = (directions * tall + rows // CELL) * wide + cols // CELL
    nats = torch.zeros_like(steps)
    for first in range(-ROOM, ROOM, ROOM):
        factor = torch.ones(())  # one logarithm of a product is faster, and this one fits a float
        for px in range(first, first + ROOM):
            moves = [[round(v) for v in direction_vector(turn, px)] for turn in range(ARCS)]
            offsets = torch.tensor([down * across + right for down, right in moves])
            ahead = pixels + offsets.to(pixels.device)[directions]
            responses = torch.stack(
                [step_response(whitened.weights, turn, px) for turn in range(ARCS)]
            )
            left, certainty = residual.take(ahead), precision.take(ahead)
            response = responses.take(cells)
            without_step = (left.square() * certainty).add_(1)
            with_step = (left - steps * response).square_().mul_(certainty).add_(1)
            factor = factor * (without_step / with_step)
        nats += factor.log()
    return (NU + 1) / 2 * nats


def evidence(image: np.ndarray, ratio: float, device: torch.device) -> Tensor:
    """(H, W, 3) uint8 -> (KINDS, H, W) float32 evidence of an edge of the ratio, nats."""
    return dense(image, ratio, device)[list(DIRECTIONS)]


def dense(image: np.ndarray, ratio: float, device: torch.device) -> Tensor:
    """(H, W, 3) uint8 -> (ARCS, H, W) float32 evidence of an edge of the ratio, nats.

    The mean over the image and its mirror images, as a prediction uses only the pixels before
    a pixel; 0 near the picture's edge and where pixels are too dark or too bright.
    """
    height, width = image.shape[:2]
    solver = _solving_device(device)
    total = torch.zeros((ARCS, height, width), device=solver)
    for strip in _strips(image, solver):
        nats = evidence_of_step(strip.whitened, math.log(ratio)) * strip.usable
        nats = nats[:, strip.top - strip.first : strip.end - strip.first]
        nats = nats[strip.order].flip([1 + axis for axis in strip.axes])
        rows = slice(strip.top, strip.end)
        if 0 in strip.axes:
            rows = slice(height - rows.stop, height - rows.start)
        total[:, rows] += nats / len(FLIPS)
    return Border.of(image).suppress(total).to(device)


def sparse(
    image: np.ndarray, steps: Tensor, rows: Tensor, cols: Tensor, directions: Tensor
) -> Tensor:
    """The values of :func:`dense` at m pixels for n steps at each -> (n, m), nats.

    Args:
        image: (H, W, 3) uint8.
        steps: (n, m) logarithms of ratios.
        rows, cols, directions: (m,) pixels and the outward direction at each; the evidence of
            a pixel outside the image is 0.
    """
    device, (height, width) = steps.device, image.shape[:2]
    solver = _solving_device(device)
    picture = Border.of(image).suppress(
        torch.ones((height, width), dtype=torch.bool, device=solver)
    )
    steps, rows, cols, directions = (v.to(solver) for v in (steps, rows, cols, directions))
    total = torch.zeros_like(steps)
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    usable = picture[rows.clamp(0, height - 1), cols.clamp(0, width - 1)]
    for strip in _strips(image, solver):
        down = height - 1 - rows if 0 in strip.axes else rows
        here = inside & (down >= strip.top) & (down < strip.end)
        down = down[here] - strip.first
        right = (width - 1 - cols if 1 in strip.axes else cols)[here]
        order = torch.tensor(strip.order, device=solver)
        nats = evidence_at(strip.whitened, steps[:, here], down, right, order[directions[here]])
        total[:, here] += nats * (strip.usable[down, right] & usable[here]) / len(FLIPS)
    return total.to(device)


@dataclass(frozen=True)
class _Strip:
    """Some rows of a mirrored image, whitened.

    Args:
        axes: axes of the image that are mirrored; 0: rows.
        order: the direction that each of ARCS becomes in the mirror image.
        first: row of the mirror image that is the first one of ``whitened``.
        top, end: rows of the mirror image for which the evidence of this strip is used.
        whitened: the residual and its models.
        usable: (rows, W) bool, neither too dark nor too bright.
    """

    axes: tuple[int, ...]
    order: list[int]
    first: int
    top: int
    end: int
    whitened: Whitened
    usable: Tensor


def _strips(image: np.ndarray, device: torch.device) -> Iterator[_Strip]:
    """(H, W, 3) uint8 -> the strips of the image and of its mirror images, one at a time."""
    height, width = image.shape[:2]
    luma = torch.from_numpy(LUMA).to(device)
    rows = max(1, STRIP // (width * CELL)) * CELL
    for flip in FLIPS:
        axes, order = tuple(side - ROWS for side in flip), mirrored_kinds(flip)[:ARCS]
        mirrored = np.flip(image, axes)
        for top in range(0, height, rows):
            first, end = max(0, top - HALO * CELL), min(height, top + rows)
            part = np.array(mirrored[first : end + HALO * CELL])
            grey = torch.from_numpy(part).to(device).float() @ luma
            whitened = whiten(torch.log(grey + 1), (NOISE / (grey + 1)).square())
            yield _Strip(axes, order, first, top, end, whitened, (grey > DARK) & (grey < BRIGHT))


def _solving_device(device: torch.device) -> torch.device:
    """The device for the fits: PyTorch 2.6 and older solve no equations on Apple's GPUs."""
    return device if device.type != "mps" else torch.device("cpu")
