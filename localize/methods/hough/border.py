"""Finds where the picture ends: at the image's edge, or at a plain frame inside the image.

A long straight edge there, such as that of a scan or a video player, has the evidence of a
square's side, and beyond it there is no picture: evidence near it is set to 0.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

NEAR = 8  # px from the edge; covers blurred edges, compression artefacts and whitening's reach
SAME_COLOUR = 10  # code values by which a frame's pixels may differ from its colour
FRAME_SHARE = 0.99  # share of such pixels in a row or column of a frame
BLOCK = 8  # px; compression blurs a frame's edge within the block that holds it
LEAST_WIDTH = 5  # px; a narrower frame lies within NEAR px of the image's edge anyway
# Beyond a frame, at least this share of the pixels must differ by more than a region may.
PICTURE_SHARE = 1 / 4
REGION_CHANGE = 0.3  # a region changes a code value by less than this share of it
SAMPLES = 512  # px of a row to examine, at least, where it is longer
ROWS_AT_ONCE = 64


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
            near = np.zeros(len(lines), bool)
            last = len(lines) - frame_width(lines[::-1])
            for edge in (0, frame_width(lines), last, len(lines)):
                near[max(0, edge - NEAR) : edge + NEAR] = True
            both.append(near)
        return cls(*both)

    def suppress(self, planes: Tensor, top: int = 0, left: int = 0, cell: int = 1) -> Tensor:
        """(..., h, w) evidence -> the same, set to 0 near the picture's edge, in place.

        Args:
            top, left: position of the planes in the image, px.
            cell: side in px of the square that a value belongs to; a square is near the edge
                if one of its pixels is.
        """
        for axis, near in ((-2, self.rows[top:]), (-1, self.cols[left:])):
            numbers = np.unique(np.flatnonzero(near) // cell)
            inside = torch.from_numpy(numbers[numbers < planes.shape[axis]])
            planes.index_fill_(axis, inside.to(planes.device), 0)
        return planes


def frame_width(lines: np.ndarray) -> int:
    """Width of a plain frame along the first edge of an image, px; 0 if there is none.

    A frame has one colour, is at least LEAST_WIDTH px wide, and ends along the whole line: at
    the end of a plain background in a photo, most of the line continues in the same colour.

    Args:
        lines: (n, m, 3) uint8, rows (or columns) from that edge on.
    """
    lines = lines[:, :: max(1, lines.shape[1] // SAMPLES)]
    colour = np.median(lines[0], axis=0)
    width = count_lines_of(colour, lines)
    if not LEAST_WIDTH <= width < len(lines):
        return 0
    near = lines[width - 1 : width + BLOCK].astype(np.int16)
    end = width + int(np.abs(np.diff(near, axis=0)).mean((1, 2)).argmax())
    beyond = np.abs(lines[min(end + BLOCK // 2, len(lines) - 1)] - colour)
    differs = (beyond > SAME_COLOUR + REGION_CHANGE * colour).any(1)
    return end if differs.mean() >= PICTURE_SHARE else 0


def count_lines_of(colour: np.ndarray, lines: np.ndarray) -> int:
    """(3,), (n, m, 3) uint8 -> how many lines, from the first on, have the colour."""
    low, high = (
        np.clip(colour + change, 0, 255).astype(np.uint8) for change in (-SAME_COLOUR, SAME_COLOUR)
    )
    # In most images the first few lines suffice.
    ends = [0, *range(LEAST_WIDTH, len(lines), ROWS_AT_ONCE), len(lines)]
    for first, end in itertools.pairwise(ends):
        part = lines[first:end]
        same = np.ones(part.shape[:2], bool)
        for channel in range(3):
            values = part[..., channel]
            same &= (values >= low[channel]) & (values <= high[channel])
        differs = same.mean(1) < FRAME_SHARE
        if differs.any():
            return first + int(differs.argmax())
    return len(lines)
