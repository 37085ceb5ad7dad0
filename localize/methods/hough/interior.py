"""Sums of a plane of values inside regions."""

from __future__ import annotations

import math

import numpy as np


def row_sums(plane: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W + 1) float64: in each row the sums of all values to the left."""
    return np.pad(plane.cumsum(1, dtype=np.float64), ((0, 0), (1, 0)))


def sum_inside(cumulative: np.ndarray, x: float, y: float, r: float, square: bool) -> float:
    """The sum of a plane inside a region; pixels beyond the plane count 0.

    Args:
        cumulative: (H, W + 1) of :func:`row_sums`.
        x, y, r: centre and radius of the region, px.
        square: whether it is a square instead of a circle.
    """
    height, width = cumulative.shape[0], cumulative.shape[1] - 1
    rows = np.arange(max(0, math.ceil(y - r)), min(height - 1, math.floor(y + r)) + 1)
    half = np.full(len(rows), r) if square else np.sqrt(np.maximum(r * r - (rows - y) ** 2, 0))
    first = np.clip(np.ceil(x - half).astype(int), 0, width)
    end = np.clip(np.floor(x + half).astype(int) + 1, first, width)
    return float((cumulative[rows, end] - cumulative[rows, first]).sum())


def square_sums(plane: np.ndarray, r: float) -> np.ndarray:
    """(H, W) -> (H, W): sums inside a square of half side r px around each pixel."""
    reach = math.floor(r)
    integral = np.pad(plane, reach).cumsum(0, dtype=np.float64).cumsum(1)
    integral = np.pad(integral, ((1, 0), (1, 0)))
    side = 2 * reach + 1
    down = integral[side:] - integral[:-side]
    sums: np.ndarray = down[:, side:] - down[:, :-side]
    return sums
