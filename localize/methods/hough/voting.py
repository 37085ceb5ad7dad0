"""Sums evidence along the outline around every pixel.

The sides of a square are straight, so differences of cumulative sums give their sums. The arcs of
a circle are summed by FFT, two at a time: the arc opposite to another one is the same arc, turned
by half a turn. With its evidence turned in the same way, as the imaginary part, both have the
same kernel.

Source: votes for the centre of a shape, generalised Hough transform, Ballard (1981).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from localize.methods.hough.fft import fast_length
from localize.methods.hough.outlines import ARCS, PLANES, outline_votes

PAIRS = ARCS // 2  # of opposite arcs
ALL_PAIRS = slice(0, PAIRS)
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


def shift(planes: Tensor, rows: slice, cols: slice, down: int = 0, right: int = 0) -> Tensor:
    """(..., H, W) -> (..., h, w): values ``down`` and ``right`` px from those rows and columns."""
    rows, cols = (slice(s.start + by, s.stop + by) for s, by in ((rows, down), (cols, right)))
    return planes[..., rows, cols]


def transform_arcs(evidence: Tensor, pairs: slice = ALL_PAIRS) -> Tensor:
    """(..., KINDS, H, W) -> (..., pairs, H', W') complex transform of pairs of opposite arcs.

    H' and W' are the fast lengths that follow.
    """
    near, far = evidence[..., :PAIRS, :, :], evidence[..., PAIRS:ARCS, :, :]
    planes = torch.complex(near[..., pairs, :, :], far[..., pairs, :, :].flip(-2, -1))
    return torch.fft.fft2(planes, [fast_length(length) for length in evidence.shape[-2:]])


def transform_arc_kernels(
    r: float, size: Sequence[int], device: torch.device, pairs: slice = ALL_PAIRS
) -> Tensor:
    """Radius, px -> (pairs, H', W') transforms of the kernels of the first arc of each pair.

    Args:
        size: H' and W'.
    """
    kinds, rows, cols, weights = outline_votes(0, r)
    chosen = (kinds >= pairs.start) & (kinds < pairs.stop)
    # A correlation is a convolution with the mirrored kernel.
    at = kinds[chosen] - pairs.start, -rows[chosen] % size[0], -cols[chosen] % size[1]
    kernels = torch.zeros((pairs.stop - pairs.start, *size), dtype=torch.complex64, device=device)
    kernels[tuple(torch.from_numpy(each).to(device) for each in at)] = torch.from_numpy(
        weights[chosen]
    ).to(kernels)
    return torch.fft.fft2(kernels)


def sum_arcs(
    spectrum: Tensor, kernels: Tensor, size: tuple[int, int], rows: slice, cols: slice
) -> Sums:
    """Sums of evidence along arcs -> shape index, (..., pairs, h, w), twice: for either arc.

    Args:
        spectrum: of :func:`transform_arcs`.
        kernels: of :func:`transform_arc_kernels`.
        size: H and W of the evidence.
        rows, cols: the centres; the outline around each must lie inside the evidence.
    """
    sums = torch.fft.ifft2(spectrum * kernels)
    yield 0, shift(sums.real, rows, cols)
    rows, cols = (slice(n - s.stop, n - s.start) for n, s in zip(size, (rows, cols), strict=True))
    yield 0, shift(sums.imag, rows, cols).flip(-2, -1)


def accumulate_sides(evidence: Tensor) -> tuple[Tensor, Tensor]:
    """(..., KINDS, H, W) -> (..., 2, H + 1, W) and (..., 2, H, W + 1) cumulative sums.

    Downwards of the right and the left side of a square, and to the right of the lower and the
    upper one; the first is 0.
    """
    upright, level = (evidence[..., PLANES[1], :, :][..., n::2, :, :] for n in range(2))
    return F.pad(upright, (0, 0, 1, 0)).cumsum(-2), F.pad(level, (1, 0)).cumsum(-1)


def sum_sides(sides: tuple[Tensor, Tensor], r: float, rows: slice, cols: slice) -> Sums:
    """Sums of evidence along the sides of a square -> shape index, (..., SIDES, h, w).

    Args:
        sides: of :func:`accumulate_sides`.
        r: radius, px.
        rows, cols: as of :func:`sum_arcs`.
    """
    reach = math.floor(r)
    upright, level = sides
    first, end = -reach, reach + 1
    yield (
        1,
        torch.stack(
            [
                shift(plane, rows, cols, *to) - shift(plane, rows, cols, *since)
                for plane, to, since in (
                    (upright[..., 0, :, :], (end, reach), (first, reach)),
                    (level[..., 0, :, :], (reach, end), (reach, first)),
                    (upright[..., 1, :, :], (end, -reach), (first, -reach)),
                    (level[..., 1, :, :], (-reach, end), (-reach, first)),
                )
            ],
            -3,
        ),
    )
