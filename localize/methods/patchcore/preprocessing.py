"""Image -> square input of the network; patch scores -> map in the pixels of the image."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from localize.methods.patchcore.options import Convention

SIDE = 256  # px: the side of the square; in convention paper the short side before the crop
CROP = 224  # px: the side of the crop in the convention paper
SIGMA, RADIUS = 4.0, 16  # px of the square: blur of the maps


@dataclass(frozen=True)
class Axis:
    """One axis of an image: ``length`` px are resized to ``resized`` px.

    The square input consists of ``side`` of these px, starting at ``offset``.
    """

    length: int
    resized: int
    offset: int
    side: int

    def inside(self) -> np.ndarray:
        """-> (length,): the coordinate of each pixel of the image in the square, px."""
        scale = self.resized / self.length
        return (np.arange(self.length) + 0.5) * scale - 0.5 - self.offset


def axes(size: tuple[int, int], convention: Convention, multiple: int = 1) -> tuple[Axis, Axis]:
    """(width, height) px of an image -> its two axes, x first.

    Args:
        multiple: the side of the square is a multiple of this (the patch of a vision transformer).
    """
    if convention == "anomalib":
        side = SIDE // multiple * multiple
        x, y = (Axis(length, side, 0, side) for length in size)
        return x, y
    crop, short = CROP // multiple * multiple, min(size)
    resized = [SIDE * length // short for length in size]
    x, y = (
        Axis(length, new, round((new - crop) / 2), crop)
        for length, new in zip(size, resized, strict=True)
    )
    return x, y


def square(image: np.ndarray, both: tuple[Axis, Axis], device: torch.device) -> torch.Tensor:
    """(H, W, 3) uint8 -> (3, side, side) float32 in 0 to 1, antialiased."""
    x, y = both
    pixels = torch.tensor(image).to(device)  # a copy: arrays may be read-only
    planes = pixels.permute(2, 0, 1)[None].float().div_(255)
    if planes.shape[2:] != (y.resized, x.resized):
        planes = functional.interpolate(
            planes, size=(y.resized, x.resized), mode="bilinear", antialias=True
        )
    return planes[0, :, y.offset : y.offset + y.side, x.offset : x.offset + x.side]


def full_map(scores: torch.Tensor, both: tuple[Axis, Axis], convention: Convention) -> np.ndarray:
    """(h, w) patch scores -> (H, W) float32: enlarged, blurred, in the pixels of the image.

    Pixels outside the square get the least value of the map.
    """
    x, y = both
    # Enlarging, blurring and resizing are linear and separable by axis.
    rows, columns = (
        _matrix(axis, cells, convention) for axis, cells in zip((y, x), scores.shape, strict=True)
    )
    values: np.ndarray = (rows @ scores.cpu().double() @ columns.T).float().numpy()
    inside = np.ix_(*(_pixels_inside(axis) for axis in (y, x)))
    if values[inside].size < values.size:
        whole = np.full_like(values, values[inside].min())
        whole[inside] = values[inside]
        return whole
    return values


def _pixels_inside(axis: Axis) -> np.ndarray:
    """-> (n,) indices of the pixels that lie in the square."""
    inside = axis.inside()
    return np.flatnonzero((inside >= -0.5) & (inside <= axis.side - 0.5))


@functools.lru_cache(maxsize=64)
def _matrix(axis: Axis, cells: int, convention: Convention) -> torch.Tensor:
    """-> (length, cells): the weight of the score of each cell in each pixel along one axis."""
    places = torch.from_numpy(axis.inside()).clamp(0, axis.side - 1)
    pixels = torch.arange(axis.side, dtype=torch.float64)
    hat = (1 - (places[:, None] - pixels).abs()).clamp_min(0)
    return hat @ enlarging(axis.side, cells, convention)


def enlarging(side: int, cells: int, convention: Convention) -> torch.Tensor:
    """-> (side, cells) float64: the weight of the score of each cell in each px of the square.

    The scores are enlarged to the square and blurred.
    """
    lines = torch.eye(cells, dtype=torch.float64)[:, None]
    mode = "nearest" if convention == "anomalib" else "linear"
    lines = functional.interpolate(lines, size=side, mode=mode)
    if convention == "anomalib":
        lines = functional.pad(lines, (RADIUS, RADIUS), mode="reflect")
    else:  # mirrored with the edge repeated, as in scipy's gaussian_filter
        edges = lines[..., :RADIUS].flip(-1), lines[..., -RADIUS:].flip(-1)
        lines = torch.cat([edges[0], lines, edges[1]], dim=-1)
    steps = torch.arange(-RADIUS, RADIUS + 1, dtype=torch.float64)
    kernel = torch.exp(-((steps / SIGMA) ** 2) / 2)
    blurred = functional.conv1d(lines, (kernel / kernel.sum())[None, None])[:, 0]  # (cells, side)
    return blurred.T
