"""Evidence per pixel to a score for every centre: votes along circles and squares, by FFT.

Source: votes for the centre of a shape, Ballard (1981).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

ARCS = 8  # directions from inside to outside: right, right-down, down, ... 45 degrees apart
SIDES = 4  # of a square: right, down, left, up
PLANES = (slice(0, ARCS), slice(ARCS, ARCS + SIDES))  # of evidence, for a circle and a square
KINDS = ARCS + SIDES
FAR = 10**6  # px, beyond every row's end


@dataclass(frozen=True)
class Outlines:
    """The last pixels inside of n regions of one shape.

    Args:
        owner: (m,) numbers, rising: whose pixel it is.
        rows, cols: (m,), counted from the whole pixel beside the centre.
        weights: (m, ARCS or SIDES): which directions are outward there; they sum to 1.
    """

    owner: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    weights: np.ndarray


Outline = tuple[np.ndarray, np.ndarray, np.ndarray]  # rows, cols and weights of one region


def circles(r: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> Outlines:
    """Radii and offsets of centres from whole pixels, each (n,) px -> the outlines."""
    r, dx, dy = r[:, None], dx[:, None], dy[:, None]
    v = np.arange(-math.ceil(r.max()) - 1, math.ceil(r.max()) + 2)
    gap = r * r - (v - dy) ** 2
    half = np.sqrt(np.maximum(0, gap))
    left = np.where(gap < 0, FAR, np.ceil(dx - half)).astype(int)
    right = np.where(gap < 0, -FAR, np.floor(dx + half)).astype(int)
    # A pixel is the last inside where the row above or below, or its own, ends before it.
    nothing = np.full_like(left[:, :1], FAR)
    above, below = np.hstack([nothing, left[:, :-1]]), np.hstack([left[:, 1:], nothing])
    ends = np.minimum(np.maximum(left, np.maximum(above, below) - 1), right)
    above, below = np.hstack([-nothing, right[:, :-1]]), np.hstack([right[:, 1:], -nothing])
    begins = np.maximum(np.minimum(right, np.minimum(above, below) + 1), ends + 1)
    runs, cols = _runs(np.stack([left, begins], 2).ravel(), np.stack([ends, right], 2).ravel())
    owner, row = np.divmod(runs // 2, len(v))
    rows = v[row]
    turn = np.arctan2(rows - dy[owner, 0], cols - dx[owner, 0]) / (2 * math.pi / ARCS)
    gaps = np.abs((turn[:, None] - np.arange(ARCS) + ARCS / 2) % ARCS - ARCS / 2)
    return Outlines(owner, rows, cols, np.maximum(0, 1 - gaps).astype(np.float32))


def _runs(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) first and last places (none where the last is before the first) -> whose, all places."""
    count = np.maximum(0, last - first + 1)
    owner = np.repeat(np.arange(len(count)), count)
    return owner, np.arange(count.sum()) - np.repeat(np.cumsum(count) - count - first, count)


def squares(r: np.ndarray, dx: np.ndarray, dy: np.ndarray) -> Outlines:
    """As :func:`circles`, of half sides r: weights are (m, SIDES)."""
    (left, top), (right, bottom) = (
        [function(centre + sign * r).astype(int) for centre in (dx, dy)]
        for function, sign in ((np.ceil, -1), (np.floor, 1))
    )
    (tall, along), (wide, across) = _runs(top, bottom), _runs(left, right)
    owner = np.concatenate([tall, wide, tall, wide])
    rows = np.concatenate([along, bottom[wide], along, top[wide]])
    cols = np.concatenate([right[tall], across, left[tall], across])
    kinds = np.repeat(np.arange(SIDES), [len(tall), len(wide)] * 2)
    order = np.argsort(owner, kind="stable")
    weights = np.eye(SIDES, dtype=np.float32)[kinds[order]]
    return Outlines(owner[order], rows[order], cols[order], weights)


OUTLINES: tuple[Callable[..., Outlines], ...] = (circles, squares)


def circle(r: float, dx: float = 0.0, dy: float = 0.0) -> Outline:
    """The outline of one circle of radius r px, whose centre lies (dx, dy) px from a pixel."""
    return _alone(circles, r, dx, dy)


def square(r: float, dx: float = 0.0, dy: float = 0.0) -> Outline:
    """As :func:`circle`, of one square of half side r px."""
    return _alone(squares, r, dx, dy)


def _alone(shape: Callable[..., Outlines], *of: float) -> Outline:
    found = shape(*(np.array([float(value)]) for value in of))
    return found.rows, found.cols, found.weights


SHAPES: tuple[Callable[..., Outline], ...] = (circle, square)


def counts(
    spectrum: Tensor, r: float, sizes: tuple[int, int], together: int = KINDS
) -> Iterator[tuple[int, Tensor]]:
    """(..., KINDS, H, W // 2 + 1) transform of evidence -> shape's number and (..., n, H, W) sums.

    Each sum runs along one arc of the circle or one side of the square of radius r px around
    every pixel. They mean nothing where the region leaves the image; ``sizes`` are H and W,
    each at least 2 r + 3. At most ``together`` arcs come at a time, which bounds the memory.
    """
    for number, (shape, planes) in enumerate(zip(SHAPES, PLANES, strict=True)):
        rows, cols, weights = shape(r)
        used = np.flatnonzero(weights.any(axis=0))
        for first in range(0, len(used), together):
            arcs = used[first : first + together]
            plane, along = np.nonzero(weights.T[arcs])  # what lies before 0 wraps, as transforms do
            at = (plane * sizes[0] + rows[along] % sizes[0]) * sizes[1] + cols[along] % sizes[1]
            kernel = torch.zeros(len(arcs) * sizes[0] * sizes[1], device=spectrum.device)
            count = torch.from_numpy(weights.T[arcs][plane, along]).to(kernel)
            kernel[torch.from_numpy(at).to(kernel.device)] = count
            voters = torch.fft.rfft2(kernel.view(len(arcs), *sizes))
            theirs = spectrum[..., arcs + planes.start, :, :]
            yield number, torch.fft.irfft2(theirs * voters.conj(), sizes)
