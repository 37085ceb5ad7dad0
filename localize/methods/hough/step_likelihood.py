"""Log likelihood ratio of a faint step in the residual of a texture model, without training.

A step of known height changes the residual (:mod:`localize.methods.hough.whitening`) along the
edge in a way that follows from the model's weights. For each pixel and direction, the likelihood
of the residual with such a step is compared with that without.

Source: prewhitening matched filter as an observer, Wagner and Brown (1985); Student-t noise,
Lange, Little and Taylor (1989).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from localize.methods.boundary import LUMA
from localize.methods.hough.border import Border
from localize.methods.hough.voting import ARCS, TURNS
from localize.methods.hough.whitening import CELL, LAGS, REACH, Texture, texture
from localize.methods.ringvote.tta import FLIPS, ROWS, exchanged

NOISE = 5.0  # code values: what coding does to a faint step, as noise
NU = 3.0  # degrees of freedom of Student's t: heavy tails, no pixel counts for much
DARK, BRIGHT = 6.0, 250.0  # code values between which a step is a ratio
SAFE = 4  # cells beyond a strip that its answers depend on
STRIP = 1 << 21  # px that are looked at together, which bounds the memory
FAR = 1e30  # variance of what lies outside: it says nothing


def outward(turn: int, px: float) -> tuple[float, float]:
    """So many px outward, where that is ``turn`` eighths from the right, clockwise: down, right."""
    angle = turn * math.tau / ARCS
    return px * math.sin(angle), px * math.cos(angle)


def shape_of_step(rules: Tensor, turn: int, ahead: int) -> Tensor:
    """(h, w, LAGS) -> (h, w): what a step of height 1 leaves over, ``ahead`` px beyond its edge.

    The edge is straight; outward is ``turn`` eighths from the right, clockwise.
    """
    down, right = outward(turn, 1)
    inside = [float(ahead + dy * down + dx * right <= 1e-6) for dy, dx in LAGS]
    return float(ahead <= 0) - rules @ torch.tensor(inside).to(rules)


def votes(found: Texture, step: float) -> Tensor:
    """(H, W) of leftovers -> (ARCS, H, W), nats: is this the last pixel inside of such an edge?

    Args:
        step: its height, the logarithm of a ratio.
    """
    height, width = found.rest.shape
    room = REACH + 1
    tall, wide = (CELL * count for count in found.rules.shape[:2])
    border = (room, room + wide - width, room, room + tall - height)
    rest = F.pad(found.rest, border)
    certain = 1 / (NU * F.pad(found.variance, border, value=FAR))
    usual = torch.log1p(rest.square() * certain)

    def ahead_by(plane: Tensor, turn: int, px: int) -> Tensor:
        """Its value so many px beyond each pixel, (h, CELL, w, CELL), as a rule serves a cell."""
        top, left = (room + round(each) for each in outward(turn, px))
        there = plane[top : top + tall, left : left + wide]
        return there.unflatten(1, (-1, CELL)).unflatten(0, (-1, CELL))

    planes = []
    for turn in range(ARCS):
        nats = torch.zeros_like(ahead_by(rest, turn, 0))
        for first in range(-room, room, 2):
            odds = torch.ones(())  # a logarithm of a product is quicker, while it fits a float
            for px in (first, first + 1):
                shape = step * shape_of_step(found.rules, turn, px)[:, None, :, None]
                sure = ahead_by(certain, turn, px)
                nats += ahead_by(usual, turn, px)
                odds = odds * (1 + (ahead_by(rest, turn, px) - shape).square() * sure)
            nats -= odds.log()
        planes.append(nats.flatten(2).flatten(0, 1)[:height, :width])
    return (NU + 1) / 2 * torch.stack(planes)


def votes_at(found: Texture, steps: Tensor, rows: Tensor, cols: Tensor, turns: Tensor) -> Tensor:
    """(H, W) of leftovers, (n, m) steps at m pixels -> (n, m), nats: as :func:`votes`, for few.

    Args:
        steps: heights, n at each pixel.
        rows, cols, turns: (m,) the pixels, and in which of ARCS directions outward is there.
    """
    room = REACH + 1
    rest = F.pad(found.rest, (room,) * 4)
    certain = (1 / NU) / F.pad(found.variance, (room,) * 4, value=FAR)
    across, (tall, wide) = rest.shape[1], found.rules.shape[:2]
    here = (rows + room) * across + cols + room
    cells = (turns * tall + rows // CELL) * wide + cols // CELL
    nats = torch.zeros_like(steps)
    for first in range(-room, room, room):
        odds = torch.ones(())  # a logarithm of a product is quicker, while it fits a float
        for px in range(first, first + room):
            ways = [[round(each) for each in outward(turn, px)] for turn in range(ARCS)]
            ahead = torch.tensor([down * across + right for down, right in ways])
            there = here + ahead.to(here.device)[turns]
            shapes = torch.stack([shape_of_step(found.rules, turn, px) for turn in range(ARCS)])
            left, sure, shape = rest.take(there), certain.take(there), shapes.take(cells)
            usual = (left.square() * sure).add_(1)
            odds = odds * (usual / (left - steps * shape).square_().mul_(sure).add_(1))
        nats += odds.log()
    return (NU + 1) / 2 * nats


def evidence(image: np.ndarray, ratio: float, device: torch.device) -> Tensor:
    """(H, W, 3) uint8 -> (KINDS, H, W) float32, nats: is this the last pixel inside of an edge?"""
    whole = heard(image, ratio, device)
    return whole[list(TURNS)]


def heard(image: np.ndarray, ratio: float, device: torch.device) -> Tensor:
    """(H, W, 3) uint8 -> (ARCS, H, W) float32, nats: is this the last pixel inside of an edge?

    The mean over four orders of reading, as what comes before a pixel depends on that.
    """
    able = _able(device)
    return _spoken(_strips(image, able), image, math.log(ratio), able).to(device)


def _spoken(
    strips: Iterable[_Strip], image: np.ndarray, step: float, device: torch.device
) -> Tensor:
    """All strips of an (H, W, 3) uint8 -> (ARCS, H, W), nats, on their device."""
    height, width = image.shape[:2]
    whole = torch.zeros((ARCS, height, width), device=device)
    for strip in strips:
        found = votes(strip.found, step) * strip.speaks
        found = found[:, strip.top - strip.first : strip.end - strip.first]
        found = found[strip.order].flip([1 + axis for axis in strip.axes])
        place = slice(strip.top, strip.end)
        if 0 in strip.axes:
            place = slice(height - place.stop, height - place.start)
        whole[:, place] += found / len(FLIPS)
    return Border.of(image).silence(whole)


@dataclass(frozen=True)
class _Strip:
    """Part of a mirrored picture.

    Args:
        axes: of the picture, that are mirrored; 0: rows.
        order: which direction each of ARCS has become.
        first: its first row in that.
        top, end: from which row on to which one its answers hold.
        found: what predictions leave over.
        speaks: (H, W), whether a step is a ratio there.
    """

    axes: tuple[int, ...]
    order: list[int]
    first: int
    top: int
    end: int
    found: Texture
    speaks: Tensor


@dataclass(frozen=True)
class Listener:
    """An image, of which single pixels can be asked, as :func:`heard` asks all.

    Args:
        image: (H, W, 3) uint8.
        picture: (H, W) bool, where the picture does not end; on the device that answers.
        kept: all strips, for those who ask again; None: they come anew for each question, one
            after the other, which bounds the memory.
    """

    image: np.ndarray
    picture: Tensor
    kept: Sequence[_Strip] | None = None

    @classmethod
    def of(cls, image: np.ndarray, device: torch.device, keep: bool = False) -> Listener:
        """(H, W, 3) uint8 -> who answers for its pixels."""
        able = _able(device)
        whole = torch.ones(image.shape[:2], dtype=torch.bool, device=able)
        kept = list(_strips(image, able)) if keep else None
        return cls(image, Border.of(image).silence(whole), kept)

    @property
    def strips(self) -> Iterable[_Strip]:
        """Those of each order of reading."""
        return _strips(self.image, self.picture.device) if self.kept is None else self.kept

    def everywhere(self, ratio: float) -> Tensor:
        """A ratio -> (ARCS, H, W), nats: :func:`heard`."""
        return _spoken(self.strips, self.image, math.log(ratio), self.picture.device)

    def at(self, steps: Tensor, rows: Tensor, cols: Tensor, turns: Tensor) -> tuple[Tensor, Tensor]:
        """(n, m) steps at m pixels -> (n, m) nats, and (m,) logarithms of the leftovers' variance.

        Args:
            steps, rows, cols, turns: as of :func:`votes_at`; pixels beyond the image say nothing.
        """
        device, (height, width) = steps.device, self.picture.shape
        steps, rows, cols, turns = (v.to(self.picture.device) for v in (steps, rows, cols, turns))
        total, variance = torch.zeros_like(steps), steps.new_zeros(steps.shape[1])
        inner = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        told = self.picture[rows.clamp(0, height - 1), cols.clamp(0, width - 1)]
        for strip in self.strips:
            down = height - 1 - rows if 0 in strip.axes else rows
            here = inner & (down >= strip.top) & (down < strip.end)
            down = down[here] - strip.first
            right = (width - 1 - cols if 1 in strip.axes else cols)[here]
            order = torch.tensor(strip.order, device=rows.device)
            found = votes_at(strip.found, steps[:, here], down, right, order[turns[here]])
            total[:, here] += found * (strip.speaks[down, right] & told[here]) / len(FLIPS)
            variance[here] += strip.found.variance[down, right].log() / len(FLIPS)
        return total.to(device), variance.to(device)


def _strips(image: np.ndarray, device: torch.device) -> Iterator[_Strip]:
    """(H, W, 3) uint8 -> strips of each order of reading."""
    height, width = image.shape[:2]
    luma = torch.from_numpy(LUMA).to(device)
    rows = max(1, STRIP // (width * CELL)) * CELL
    for flip in FLIPS:
        axes, order = tuple(side - ROWS for side in flip), exchanged(flip)[:ARCS]
        seen = np.flip(image, axes)
        for top in range(0, height, rows):
            first, end = max(0, top - SAFE * CELL), min(height, top + rows)
            part = np.array(seen[first : end + SAFE * CELL])
            grey = torch.from_numpy(part).to(device).float() @ luma
            found = texture(torch.log(grey + 1), (NOISE / (grey + 1)).square())
            yield _Strip(axes, order, first, top, end, found, (grey > DARK) & (grey < BRIGHT))


def _able(device: torch.device) -> torch.device:
    """Where rules can be fitted: PyTorch 2.6 and older solve no equations on Apple's GPUs."""
    return device if device.type != "mps" else torch.device("cpu")
