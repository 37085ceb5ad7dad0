"""The outline of a circle or a square: the pixels whose evidence counts for its centre."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from synth.anomaly import Shape

ARCS = 8  # arcs of a circle, by outward direction: right, right-down, down, ..., 45 degrees apart
SIDES = 4  # sides of a square, by outward direction: right, down, left, up
KINDS = ARCS + SIDES  # kinds of edge, the first index of evidence
PLANES = (slice(0, ARCS), slice(ARCS, KINDS))  # the kinds of a circle and those of a square
# Outward direction of each kind, in eighths of a turn clockwise from the right.
DIRECTIONS = (*range(ARCS), *range(0, ARCS, ARCS // SIDES))
Outline = tuple[np.ndarray, np.ndarray, np.ndarray]
Pixels = tuple[np.ndarray, np.ndarray]  # rows and columns


def direction_vector(direction: int, length: float) -> tuple[float, float]:
    """A direction in eighths of a turn clockwise from the right -> its (dy, dx) of a length, px."""
    angle = direction * math.tau / ARCS
    return length * math.sin(angle), length * math.cos(angle)


def circle(r: float, dx: float = 0.0, dy: float = 0.0) -> Outline:
    """The last pixels inside a circle of radius r px.

    Args:
        r: radius, px.
        dx, dy: offset of the centre from the whole pixel (0, 0), px.

    Returns:
        rows (n,) and columns (n,), counted from that whole pixel, and weights (n, ARCS): to
        which arcs a pixel belongs, by its direction from the centre. A pixel between two
        directions belongs to both in proportion; its weights sum to 1.
    """
    v = np.arange(math.ceil(dy - r), math.floor(dy + r) + 1)
    half = np.sqrt(np.maximum(0, r * r - (v - dy) ** 2))
    left, right = np.ceil(dx - half).astype(int), np.floor(dx + half).astype(int)
    # A pixel is the last inside where its own row, or the row above or below, ends before it.
    nothing = np.array([10**6])
    above, below = np.concatenate([nothing, left[:-1]]), np.concatenate([left[1:], nothing])
    ends = np.minimum(np.maximum(left, np.maximum(above, below) - 1), right)
    above, below = np.concatenate([-nothing, right[:-1]]), np.concatenate([right[1:], -nothing])
    begins = np.maximum(np.minimum(right, np.minimum(above, below) + 1), ends + 1)
    rows, cols = _pixels_of_runs([(v, left, ends), (v, begins, right)])
    direction = np.arctan2(rows - dy, cols - dx) / (2 * math.pi / ARCS)
    weights = np.zeros((len(rows), ARCS), np.float32)
    for arc in (np.floor(direction), np.ceil(direction)):
        weights[np.arange(len(rows)), arc.astype(int) % ARCS] = 1 - np.abs(direction - arc)
    return rows, cols, weights


def _pixels_of_runs(runs: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Pixels:
    """Rows with first and last columns -> rows and columns of all pixels of these runs.

    A run whose last column is before its first one has no pixel.
    """
    rows, first, last = (np.concatenate(each) for each in zip(*runs, strict=True))
    count = np.maximum(0, last - first + 1)
    along = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    return np.repeat(rows, count), np.repeat(first, count) + along


def square(r: float, dx: float = 0.0, dy: float = 0.0) -> Outline:
    """As :func:`circle`, for a square of half side r px; the weights are (n, SIDES).

    A corner pixel belongs to two sides and occurs twice.
    """
    left, right = math.ceil(dx - r), math.floor(dx + r)
    top, bottom = math.ceil(dy - r), math.floor(dy + r)
    across, along = np.arange(left, right + 1), np.arange(top, bottom + 1)
    rows = np.concatenate([along, np.full_like(across, bottom), along, np.full_like(across, top)])
    cols = np.concatenate([np.full_like(along, right), across, np.full_like(along, left), across])
    counts = [len(along), len(across), len(along), len(across)]
    return rows, cols, np.repeat(np.eye(SIDES, dtype=np.float32), counts, axis=0)


SHAPES: tuple[Callable[..., Outline], ...] = (circle, square)


def outline_votes(
    shape: int, r: float, dx: float = 0.0, dy: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The votes of an outline for its centre: one for each pixel and kind of non-zero weight.

    Args:
        shape: index into SHAPES.
        r, dx, dy: as of :func:`circle`.

    Returns:
        kinds (rising), rows, columns and weights, (m,) each.
    """
    rows, cols, weights = SHAPES[shape](r, dx, dy)
    kinds, pixels = np.nonzero(weights.T)
    return kinds + PLANES[shape].start, rows[pixels], cols[pixels], weights[pixels, kinds]


def side_pixels(x: float, y: float, r: float, shape: Shape) -> list[Pixels]:
    """The last pixel before each edge of a region, row by row and column by column.

    Args:
        x, y, r: centre and radius, px.

    Returns:
        Rows and columns of the pixels just left of the right edge, just left of the left edge,
        just above the lower edge and just above the upper edge.
    """

    def edges_along(along: float, across: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        lines = np.arange(math.ceil(across - r), math.floor(across + r) + 1)
        squared = r * r - (lines - across) ** 2 if shape == "circle" else np.full(len(lines), r * r)
        reach = np.sqrt(np.maximum(squared, 0))
        first, last = np.ceil(along - reach).astype(int), np.floor(along + reach).astype(int)
        occupied = first <= last
        return lines[occupied], first[occupied] - 1, last[occupied]

    rows, before, right = edges_along(x, y)
    cols, above, bottom = edges_along(y, x)
    return [(rows, right), (rows, before), (bottom, cols), (above, cols)]
