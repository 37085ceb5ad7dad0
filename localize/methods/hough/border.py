"""Where a picture ends: at the image's edge, and at that of a frame, a scanner's or a player's.

A long straight edge there looks like the side of a square, and what lies beyond is not the
picture: no evidence comes from pixels near it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NEAR = 8  # px from the edge: blurred lines, what coding does, what a prediction looks back to
ALIKE = 10  # code values from the colour of a frame
WHOLE = 0.99  # share of such pixels in a row or column of it
CODED = 8  # px beyond, in one of which it ends: coding ripples in the block that holds its edge
LEAST = 5  # px, width
OTHER, MANY = 0.3, 1 / 4  # a picture differs by such a share, more than regions do, in many places
SAMPLED = 512  # px of a row that are looked at, at least, where it is longer
TOGETHER = 64  # rows at a time


@dataclass(frozen=True)
class Border:
    """The rows and columns of an image (H, W) that are near the edge of its picture.

    Args:
        rows: (H,) bool.
        cols: (W,) bool.
    """

    rows: np.ndarray
    cols: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray) -> Border:
        """(H, W, 3) uint8 -> its border."""
        both = []
        for lines in (image, image.swapaxes(0, 1)):
            at = np.zeros(len(lines), bool)
            for end in (0, framed(lines), len(lines) - framed(lines[::-1]), len(lines)):
                at[max(0, end - NEAR) : end + NEAR] = True
            both.append(at)
        return cls(*both)

    def silence(self, planes: Tensor, top: int = 0, left: int = 0, cell: int = 1) -> Tensor:
        """(..., h, w) evidence -> the same, 0 near the picture's edge, in place.

        Args:
            top, left: of the planes in the image, px.
            cell: px of a side that a value stands for.
        """
        for axis, at in ((-2, self.rows[top:]), (-1, self.cols[left:])):
            numbers = np.unique(np.flatnonzero(at) // cell)
            inside = torch.from_numpy(numbers[numbers < planes.shape[axis]])
            planes.index_fill_(axis, inside.to(planes.device), 0)
        return planes


def framed(lines: np.ndarray) -> int:
    """(n, m, 3) uint8, rows from an edge of an image on -> how many are of a frame.

    0 if there is none: where a plain background ends, most of the row goes on as before; or if it
    is thin, as what is near the image's edge is silent all the same.
    """
    lines = lines[:, :: max(1, lines.shape[1] // SAMPLED)]
    colour = np.median(lines[0], axis=0)
    width = alike(lines, colour)
    if not LEAST <= width < len(lines):
        return 0
    near = lines[width - 1 : width + CODED].astype(np.int16)
    end = width + int(np.abs(np.diff(near, axis=0)).mean((1, 2)).argmax())
    beyond = np.abs(lines[min(end + CODED // 2, len(lines) - 1)] - colour)
    others = (beyond > ALIKE + OTHER * colour).any(1)
    return end if others.mean() >= MANY else 0


def alike(lines: np.ndarray, colour: np.ndarray) -> int:
    """(n, m, 3) uint8 -> how many rows, from the first on, are of the colour."""
    low, high = (np.clip(colour + far, 0, 255).astype(np.uint8) for far in (-ALIKE, ALIKE))
    ends = [0, *range(LEAST, len(lines), TOGETHER), len(lines)]  # mostly a few lines tell
    for first, end in itertools.pairwise(ends):
        some = lines[first:end]
        same = np.ones(some.shape[:2], bool)
        for channel in range(3):
            band = some[..., channel]
            same &= (band >= low[channel]) & (band <= high[channel])
        others = same.mean(1) < WHOLE
        if others.any():
            return first + int(others.argmax())
    return len(lines)
