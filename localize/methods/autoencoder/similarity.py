"""Structural similarity (SSIM) of images."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

RADIUS, SIGMA = 5, 1.5  # px: the window has 11 x 11 px and Gaussian weights
BLOCK = 128  # px whose means are computed at a time
C1, C2 = 0.01**2, 0.03**2  # constants of the formula, for values in 0 to 1


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """(B, C, H, W), (B, C, H, W) values in 0 to 1 -> (B, C, H, W) in -1 to 1; 1 where equal.

    Beyond their edges, the images are mirrored with the edge repeated. In flat areas, float32 has
    errors of about 5e-4: the map of an image is computed in float64.

    Source: Wang, Bovik, Sheikh, Simoncelli (2004), "Image Quality Assessment: From Error
    Visibility to Structural Similarity".
    """
    products = torch.stack([first, second, first * first, second * second, first * second])
    mean1, mean2, square1, square2, product = _weighted_mean(products.flatten(0, 2)).view_as(
        products
    )
    variances = square1 + square2 - mean1 * mean1 - mean2 * mean2
    covariance = product - mean1 * mean2
    numerator = (2 * mean1 * mean2 + C1) * (2 * covariance + C2)
    return numerator / ((mean1 * mean1 + mean2 * mean2 + C1) * (variances + C2))


def _weighted_mean(planes: Tensor) -> Tensor:
    """(N, H, W) -> (N, H, W): the mean in the window around each pixel."""
    return _filter_rows(_filter_rows(planes).mT).mT


def _filter_rows(planes: Tensor) -> Tensor:
    """(N, H, W) -> (N, H, W): the weighted mean along the last axis.

    Products of matrices are several times as fast as a convolution of single planes on a CPU.
    """
    length = planes.shape[2]
    means = []
    for start in range(0, length, BLOCK):
        first, weights = _weights(length, start)
        means.append(planes[..., first : first + len(weights)] @ weights.to(planes))
    return torch.cat(means, 2)


@functools.lru_cache(maxsize=128)
def _weights(length: int, start: int) -> tuple[int, Tensor]:
    """The weights of pixels of an axis in the means of the BLOCK of pixels from ``start`` on.

    Returns:
        the first pixel with a weight; (pixels, block) float64 weights.
    """
    stop = min(start + BLOCK, length)
    first, last = max(0, start - RADIUS), min(length, stop + RADIUS)
    steps = np.arange(-RADIUS, RADIUS + 1)
    window = np.exp(-((steps / SIGMA) ** 2) / 2)
    mirrored = np.pad(np.arange(length), RADIUS, mode="symmetric")  # indices around the axis, too
    weights = np.zeros((last - first, stop - start))
    for pixel in range(start, stop):
        around = mirrored[pixel : pixel + len(window)] - first
        np.add.at(weights[:, pixel - start], around, window / window.sum())
    return first, torch.from_numpy(weights)
