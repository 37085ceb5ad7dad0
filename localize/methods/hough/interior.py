"""Sums of a plane of values inside regions."""

from __future__ import annotations

import math

import numpy as np
import torch

from localize.methods.hough.fft import fast_length


def integral_image(plane: np.ndarray) -> np.ndarray:
    """(H, W) -> (H + 1, W + 1) float64: sums of all values above and to the left."""
    integral = np.zeros((plane.shape[0] + 1, plane.shape[1] + 1))
    np.cumsum(plane, axis=0, out=integral[1:, 1:])
    np.cumsum(integral[1:, 1:], axis=1, out=integral[1:, 1:])
    return integral


def box_sums(integral: np.ndarray, side: int) -> np.ndarray:
    """(H + 1, W + 1) -> (H - side + 1, W - side + 1): the sums of all squares of a side."""
    down = integral[side:] - integral[:-side]
    sums: np.ndarray = down[:, side:] - down[:, :-side]
    return sums


def square_sums(plane: np.ndarray, r: float) -> np.ndarray:
    """(H, W) -> (H, W): sums inside a square of half side r px; values beyond the edge are 0."""
    reach = math.floor(r)
    return box_sums(integral_image(np.pad(plane, reach)), 2 * reach + 1)


def circle_sums(plane: np.ndarray, r: float) -> np.ndarray:
    """(H, W) -> (H, W): sums inside a circle of radius r px; values beyond the edge are 0."""
    reach = math.floor(r)
    height, width = plane.shape
    size = fast_length(height + reach), fast_length(width + reach)
    offsets = np.arange(-reach, reach + 1)
    rows, cols = np.nonzero(offsets[:, None] ** 2 + offsets**2 <= r * r)
    disc = torch.zeros(size)
    disc[rows - reach, cols - reach] = 1
    spectrum = torch.fft.rfft2(torch.from_numpy(plane), size)
    sums: np.ndarray = torch.fft.irfft2(spectrum * torch.fft.rfft2(disc), size).numpy()
    return sums[:height, :width]
