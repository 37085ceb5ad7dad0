"""Sums evidence along the outline around every pixel, by FFT.

Source: votes for the centre of a shape, generalised Hough transform, Ballard (1981).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from localize.methods.hough.outlines import KINDS, PLANES, outline_votes

Kernel = tuple[int, slice, Tensor]
Sums = Iterator[tuple[int, Tensor]]


def kernel_places(
    shape: int, r: float, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the votes for a centre at pixel (0, 0) come from, in planes of H x W.

    Args:
        shape: index into SHAPES.
        r: radius, px.
        size: H and W; negative rows and columns wrap around, as a circular correlation needs.

    Returns:
        kinds (rising), indices into the flattened plane and weights of the votes, (m,) each.
    """
    kinds, rows, cols, weights = outline_votes(shape, r)
    return kinds, rows % size[0] * size[1] + cols % size[1], weights


def transform_kernels(places: Tensor, weights: Tensor, count: int, size: tuple[int, int]) -> Tensor:
    """Votes -> (count, H, W // 2 + 1): conjugate transforms of ``count`` kernels of H x W.

    Args:
        places: (m,) distinct indices into the flattened kernels.
        weights: (m,) of the votes.
    """
    kernels = weights.new_zeros(count * size[0] * size[1])
    kernels[places] = weights
    return torch.fft.rfft2(kernels.view(-1, *size)).conj()


def kernels(r: float, size: tuple[int, int], most: int, device: torch.device) -> Iterator[Kernel]:
    """Radius, px -> shape index, n kinds of edge, (n, H, W // 2 + 1) their transformed kernels.

    Args:
        size: H and W of the kernels.
        most: kinds at a time, which bounds the memory.
    """
    for shape, planes in enumerate(PLANES):
        kinds, places, weights = kernel_places(shape, r, size)
        for first in range(planes.start, planes.stop, most):
            part = slice(first, min(first + most, planes.stop))
            votes = (kinds >= part.start) & (kinds < part.stop)
            stacked = (kinds[votes] - part.start) * (size[0] * size[1]) + places[votes]
            at, each = (torch.from_numpy(v).to(device) for v in (stacked, weights[votes]))
            yield shape, part, transform_kernels(at, each, part.stop - part.start, size)


def correlate(spectrum: Tensor, kernels: Iterable[Kernel], size: tuple[int, int]) -> Sums:
    """(..., KINDS, H, W // 2 + 1) transform of evidence -> shape index, (..., n, H, W) sums.

    Each sum runs over the votes of one arc or side of the outline around every pixel. It means
    nothing where the region leaves the image; H and W must be at least 2 r + 3.

    Args:
        kernels: of :func:`kernels`.
        size: H and W.
    """
    for shape, kinds, kernel in kernels:
        yield shape, torch.fft.irfft2(spectrum[..., kinds, :, :] * kernel, size)


def sum_arcs(spectrum: Tensor, r: float, size: tuple[int, int], most: int = KINDS) -> Sums:
    """As :func:`correlate`, for the radius r in px and at most ``most`` kinds at a time."""
    return correlate(spectrum, kernels(r, size, most, spectrum.device), size)
