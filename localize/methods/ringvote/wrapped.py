"""Wrapped pixels: evidence that lies inside a region instead of on its outline.

With the overflow ``wrap``, a product above 255 becomes a small code value. Such pixels differ
strongly from their neighbours and lie inside a region, never outside. A small network finds them.
Their evidence inside a candidate is compared with that in the rest of the image.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.methods.hough.candidates import Candidate
from localize.methods.hough.interior import integral_image, row_sums, square_sums, sum_inside
from localize.methods.hough.shared_sides import Rectangles

CELL = 2  # px of a side; the pixels of a cell are channels
WIDTH = 16  # channels of the hidden layers
BRIGHT, DARK = 225.0, 25.0  # code values beyond which a pixel may wrap, or may have wrapped
REACH = 8  # px; pixels farther away do not change the evidence of a pixel
STRIP = 3 << 20  # px that are computed at a time, which bounds the memory
LEAST = 300.0  # nats in the whole image below which it has no wrapped pixels
KNEE = 30.0  # nats above which a sum counts with its logarithm
OUTSIDE = 0.1  # of the image's evidence: this much outside a region costs little
WEIGHT = 0.4  # of these sums in a logit


class WrappedPixelHead(nn.Module):
    """(B, 3, H, W) code values, H and W even -> (B, H, W) log odds that a pixel has wrapped.

    Without a fit no pixel has.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(9 * CELL**2, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.out = nn.Conv2d(WIDTH, CELL**2, 1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.constant_(self.out.bias, -2.0)

    def forward(self, rgb: Tensor) -> Tensor:
        near_white, near_black = (rgb - BRIGHT) / 15, (DARK - rgb) / 12
        x = torch.cat([rgb / 64 - 2, near_white.clamp(0, 2), near_black.clamp(0, 2)], 1)
        x = F.relu_(self.conv1(F.pixel_unshuffle(x, CELL)))
        x = F.relu_(self.conv2(x))
        return F.pixel_shuffle(self.out(x), CELL)[:, 0]


@dataclass(frozen=True)
class WrappedPixels:
    """The evidence of an image that its pixels have wrapped.

    Args:
        plane: (H, W) nats, at least 0.
    """

    plane: np.ndarray

    @cached_property
    def integral(self) -> np.ndarray:
        """(H + 1, W + 1) float64: sums of all values above and to the left."""
        return integral_image(self.plane)

    @property
    def total(self) -> float:
        """The sum of all values, nats."""
        return float(self.integral[-1, -1])

    def terms(self, inside: np.ndarray) -> np.ndarray:
        """Sums of the evidence inside regions -> terms of the regions' logits, at least 0.

        A term rises with the evidence inside and falls with that outside, which the region does
        not explain; 0 for a region without any inside.
        """
        scale = KNEE + OUTSIDE * self.total
        inside = np.clip(inside, 0, self.total)
        gain = np.log1p(inside / KNEE)
        loss = math.log1p(self.total / scale) - np.log1p((self.total - inside) / scale)
        terms: np.ndarray = WEIGHT * KNEE * (gain + loss)
        return terms

    def square_terms(self, rectangles: Rectangles) -> Tensor:
        """The terms of squares with these first and last columns and rows, of one shape."""
        left, top, right, bottom = (each.cpu().numpy() for each in rectangles)
        sums = self.integral
        inside = sums[bottom + 1, right + 1] - sums[top, right + 1]
        inside = inside - sums[bottom + 1, left] + sums[top, left]
        return torch.from_numpy(self.terms(inside)).to(rectangles[0].device, torch.float32)

    def add_to(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Candidates -> the same with their terms added to the logits, the likeliest first."""
        rows = row_sums(self.plane)
        inside = [sum_inside(rows, one.x, one.y, one.r, one.square) for one in candidates]
        added = [
            dataclasses.replace(one, logit=one.logit + term)
            for one, term in zip(candidates, self.terms(np.array(inside)).tolist(), strict=True)
        ]
        return sorted(added, key=lambda one: -one.logit)

    def pool(self, side: int, border: int) -> WrappedPixels:
        """The sums in squares of ``side`` px, which begin ``border`` px before the image."""
        height, width = self.plane.shape
        padded = np.pad(
            self.plane,
            [(border, border + -(length + 2 * border) % side) for length in (height, width)],
        )
        tall, wide = (length // side for length in padded.shape)
        return WrappedPixels(padded.reshape(tall, side, wide, side).sum((1, 3)))

    def map(self, r: float) -> np.ndarray:
        """Radius, px -> (H, W) float32: the terms of squares by centre.

        A square stands for a circle as well, which it contains.
        """
        return self.terms(square_sums(self.plane, r)).astype(np.float32)


@torch.inference_mode()
def find_wrapped_pixels(head: WrappedPixelHead, image: np.ndarray) -> WrappedPixels | None:
    """(H, W, 3) uint8 -> the evidence that its pixels have wrapped; None where none has."""
    height, width = image.shape[:2]
    device = head.out.weight.device
    plane = np.empty((height, width), np.float32)
    rows = max(CELL, STRIP // width // CELL * CELL)
    for top in range(0, height, rows):
        first, end = max(0, top - REACH), min(height, top + rows)
        strip = torch.from_numpy(np.array(image[first : end + REACH])).to(device)
        rgb = strip.permute(2, 0, 1)[None].float()
        rgb = F.pad(rgb, (0, width % CELL, 0, rgb.shape[2] % CELL), mode="replicate")
        plane[top:end] = head(rgb)[0, top - first : end - first, :width].relu().cpu().numpy()
    return WrappedPixels(plane) if plane.sum(dtype=np.float64) > LEAST else None
