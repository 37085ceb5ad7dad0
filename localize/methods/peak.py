"""The place that a map points at: the plateau of its highest values, or the blob around it."""

from __future__ import annotations

import math
from typing import Literal

import cv2
import numpy as np

# Values of at least (1 - TOLERANCE) x the maximum belong to the plateau. That is half a level of a
# 16-bit map, and more than the rounding errors of float32 filters (about 1e-6).
TOLERANCE = 2.0**-17


def plateau(map: np.ndarray) -> np.ndarray | None:
    """(H, W) numbers or bool, not NaN -> (H, W) bool, the plateau of the maximum.

    The pixels at the maximum (floats: within ``TOLERANCE`` of it) form 8-connected
    components. The plateau is the largest of them; of equally large ones the one with the
    highest value, then the one whose first pixel comes first, row by row.

    Returns:
        the mask, or None if the map is flat: all its pixels are at the maximum.
    """
    values = np.asarray(map)
    highest = values.max()
    level = highest
    if values.dtype.kind == "f" and np.isfinite(highest):
        level = highest - values.dtype.type(TOLERANCE) * abs(highest)
    top = values >= level
    if top.all():
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStats(top.astype(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = np.flatnonzero(areas == areas.max()) + 1
    if len(largest) > 1:
        tied = np.isin(labels, largest)
        tied &= values == values[tied].max()
        largest = labels[tied][:1]
    mask: np.ndarray = labels == largest[0]
    return mask


def centroid(mask: np.ndarray, weights: np.ndarray | None = None) -> tuple[float, float]:
    """(H, W) bool, not empty -> (x, y) px: the mean position of its pixels.

    Args:
        weights: (H, W), the weights of the mean; not all 0.
    """
    rows, columns = np.nonzero(mask)
    inside = None if weights is None else weights[rows, columns]
    return float(np.average(columns, weights=inside)), float(np.average(rows, weights=inside))


def peak(map: np.ndarray) -> tuple[float, float] | None:
    """(H, W) numbers or bool, not NaN -> (x, y) px of its maximum; None if the map is flat.

    It is the centroid of the :func:`plateau`: for a mask, the centre of the region and not its
    first pixel. It need not lie on the plateau: the centroid of a ring is its centre.

    >>> peak(np.array([[0, 0, 0, 0], [0, 0, 7, 7], [0, 0, 7, 7]])), peak(np.ones((2, 2)))
    ((2.5, 1.5), None)
    """
    top = plateau(map)
    return None if top is None else centroid(top)


def blob_centroid(map: np.ndarray) -> tuple[float, float] | None:
    """(H, W) -> (x, y) px: the centroid of the blob around the map's maximum; None: a flat map.

    The blob is connected with the :func:`plateau` of the maximum and stands at least halfway
    between the map's median and its maximum; its pixels are weighted by their height above that.
    """
    top = plateau(map)
    if top is None:
        return None
    level = min((float(np.median(map)) + float(map.max())) / 2, float(map[top].min()))
    _, labels = cv2.connectedComponents((map >= level).astype(np.uint8), connectivity=8)
    weights = map.astype(float) - level
    blob = labels == labels[top][0]
    return centroid(blob, weights) if weights[blob].sum() > 0 else centroid(blob)


def position(map: np.ndarray, place: Literal["peak", "centroid"]) -> tuple[float, float]:
    """(H, W) -> (x, y) px of its :func:`peak` or :func:`blob_centroid`; NaN if the map is flat."""
    found = peak(map) if place == "peak" else blob_centroid(map)
    return found or (math.nan, math.nan)


def resize_place(
    place: tuple[float, float], shape: tuple[int, int], to: tuple[int, int]
) -> tuple[float, float]:
    """(x, y) px of a map of (H, W) ``shape`` -> px of the image of (H, W) ``to`` it was made from.

    >>> resize_place((1.0, 0.0), (2, 3), (8, 12))
    (5.5, 1.5)
    """
    y, x = (
        (at + 0.5) * large / small - 0.5
        for at, small, large in zip(place[::-1], shape, to, strict=True)
    )
    return x, y
