"""Comparison of plain pictures (an object on plain ground) by the object.

The picture is fitted by a smooth surface, the ground. The object is where the picture deviates
from it. The window around the object is placed by the moments of the deviation, so that a crop,
which moves and enlarges the object in the frame, does not change the content of the window.

Source of the dissimilarity: J. R. Bray and J. T. Curtis, Ecological Monographs 27 (1957).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

SIDE = 192  # px: smaller side of the reduced picture
BYTES = 8 + 12 + 256 + 2 * 64  # bytes of a detail: place and size, ground, luminance, chroma
_NOISE = 6.0  # code values of deviation from the ground that are due to noise and JPEG
_SATURATION = 30.0  # code values above _NOISE at which the weight of a pixel is largest
_SMALLEST = 0.0005  # smallest share of the picture that counts as an object
_REACH = 2.2  # half side of the window in standard deviations of the object
_PLACE = 0.12  # largest difference of the places of an object in two crops, share of the side
_SCALE = 1.25  # largest ratio of its sizes
_GROUND = 20  # largest difference of the ground, code values
_DISSIMILAR = 0.06  # largest Bray-Curtis dissimilarity of near-duplicates
_SLACK = 0.25  # difference per cell that rounding may cause, in steps of 2 code values
_TABLES = 8  # random grids; near-duplicates are likely to share a cell in at least one
_MOST = 64  # number of following members of its cell with which a picture is compared
_CHUNK = 16384  # comparisons at a time, to bound memory
_PLACES = slice(0, 8)
_GROUNDS = slice(8, 20)
_WINDOW = slice(20, BYTES)


def detail(image: Image.Image) -> bytes:
    """RGB picture -> detail of :data:`BYTES` bytes: place, size and content of the object."""
    small = _shrink(image)
    pixels = np.asarray(small.convert("YCbCr"), np.float32)
    coefficients = _ground(small)
    height, width = pixels.shape[:2]
    deviation = pixels - _terms(width, height) @ coefficients
    place, window = _object(deviation)
    corners = np.rint(np.clip(_terms(2, 2) @ coefficients, 0, 255)).astype(np.uint8)
    cells = [
        np.asarray(
            Image.fromarray(deviation[..., channel]).resize(
                (side, side), Image.Resampling.BILINEAR, box=window
            )
        )
        if window
        else np.zeros((side, side), np.float32)
        for channel, side in ((0, 16), (1, 8), (2, 8))
    ]
    steps = [np.rint(np.clip(each / 2, -127, 127)).astype(np.int8).tobytes() for each in cells]
    return place.astype("<u2").tobytes() + corners.tobytes() + b"".join(steps)


def _shrink(image: Image.Image) -> Image.Image:
    """Reduces a larger picture to a smaller side of :data:`SIDE` px."""
    factor = min(image.size) / SIDE
    if factor <= 1:
        return image
    size = (max(1, round(image.width / factor)), max(1, round(image.height / factor)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _terms(width: int, height: int) -> np.ndarray:
    """-> (height, width, 6): 1, u, v, u^2, uv, v^2 with u and v from -1 to 1."""
    u, v = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1).astype(np.float32)


def _ground(small: Image.Image) -> np.ndarray:
    """A picture -> (6, 3): coefficients of its ground, a quadratic surface per YCbCr channel."""
    values = small.resize((48, 48), Image.Resampling.BOX).convert("YCbCr")
    return fit_ground(np.asarray(values, np.float32))


def fit_ground(values: np.ndarray) -> np.ndarray:
    """(H, W, C) values -> (6, C): coefficients of a robust quadratic fit.

    Least squares over the values with the smallest residuals, first half of them and then more,
    so that an object does not affect the ground.
    """
    height, width = values.shape[:2]
    terms = _terms(width, height).reshape(-1, 6)
    values = values.reshape(-1, values.shape[-1])
    surface = np.zeros((6, values.shape[-1]), np.float32)
    surface[0] = np.median(values, axis=0)
    for share in (0.5, 0.6, 0.7, 0.7):
        residual = np.abs(values - terms @ surface).max(axis=1)
        fits = residual <= max(float(np.quantile(residual, share)), 1.0)
        surface = np.linalg.lstsq(terms[fits], values[fits], rcond=None)[0]
    return surface


def subtract_ground(values: np.ndarray) -> np.ndarray:
    """(H, W, C) values -> (H, W, C): their deviation from the surface of :func:`fit_ground`."""
    height, width = values.shape[:2]
    deviation: np.ndarray = values - _terms(width, height) @ fit_ground(values)
    return deviation


def _object(deviation: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float, float] | None]:
    """(H, W, 3) deviation from the ground -> place and size of the object, and its window.

    Place and size are (4,): centre and standard deviations, x before y, in 1/65535 of the side;
    all are 0 without an object. The window is (left, top, right, bottom) in px, or None.
    """
    height, width = deviation.shape[:2]
    weight = np.clip(np.abs(deviation).max(axis=2) - _NOISE, 0, _SATURATION)
    total = float(weight.sum())
    if total < _SMALLEST * _SATURATION * width * height:
        return np.zeros(4), None
    place = np.empty(4)
    spans = []
    for axis, side in enumerate((width, height)):
        along = weight.sum(axis=axis) / total
        at = np.arange(side) + 0.5
        centre = float(along @ at)
        spread = max(float(along @ (at - centre) ** 2) ** 0.5, 1.0)
        place[[axis, 2 + axis]] = centre / side, spread / side
        spans.append((max(centre - _REACH * spread, 0), min(centre + _REACH * spread, side)))
    (left, right), (top, bottom) = spans
    return np.rint(np.minimum(place, 1) * 65535), (left, top, right, bottom)


def are_near_duplicates(detail: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(B,) or (N, B) and (N, B) uint8 details -> (N,) bool: whether they are near-duplicates."""
    near = _same_frame(detail, others)
    if near.any():
        one = detail if detail.ndim == 1 else detail[near]
        near[near] = dissimilarity(one, others[near]) <= _DISSIMILAR
    return near


def _same_frame(detail: np.ndarray, others: np.ndarray) -> np.ndarray:
    """-> (N,) bool: whether ground, place and size of the object agree."""
    ground = np.abs(detail[..., _GROUNDS].astype(np.int16) - others[..., _GROUNDS].astype(np.int16))
    one, other = _places(detail), _places(others)
    place = np.abs(one[..., :2] - other[..., :2]).max(axis=-1) <= _PLACE
    # A size of 0 means that there is no object, and matches a size of 0 only.
    smaller = np.minimum(one[..., 2:], other[..., 2:])
    size = np.maximum(one[..., 2:], other[..., 2:]) <= _SCALE * smaller
    result: np.ndarray = (ground.max(axis=-1) <= _GROUND) & place & size.all(axis=-1)
    return result


def _places(details: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(details[..., _PLACES]).view("<u2").astype(np.float32) / 65535


def dissimilarity(detail: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Bray-Curtis dissimilarity of the windows, less the effect of rounding: 0 to 1."""
    one = np.ascontiguousarray(detail[..., _WINDOW]).view(np.int8).astype(np.int16)
    other = np.ascontiguousarray(others[..., _WINDOW]).view(np.int8).astype(np.int16)
    difference = np.abs(one - other).sum(axis=-1) - _SLACK * one.shape[-1]
    size = (np.abs(one) + np.abs(other)).sum(axis=-1)
    result: np.ndarray = np.maximum(difference, 0) / np.maximum(size, 1)
    return result


def pairs(details: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(N, B) uint8 details -> index arrays (i, j) of near-duplicates.

    Only details in the same cell of one of several randomly shifted grids over eight summary
    numbers are compared. A cell is wide in relation to the differences of near-duplicates, so
    that few pairs share no cell. In a cell, each detail is compared with the following ones up to
    its first near-duplicate, which links it to the group.
    """
    numbers = _numbers(details)
    rng = np.random.default_rng(0)
    for _ in range(_TABLES):
        cells = np.floor(numbers + rng.random(numbers.shape[1])).astype(np.int16)
        keys = np.ascontiguousarray(cells).view([("", np.int16)] * cells.shape[1]).reshape(-1)
        _, keys = np.unique(keys, return_inverse=True)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        waiting = np.arange(len(order))
        for step in range(1, min(_MOST, len(order) - 1) + 1):
            waiting = waiting[waiting + step < len(order)]
            waiting = waiting[keys[waiting] == keys[waiting + step]]
            if not len(waiting):
                break
            near = np.zeros(len(waiting), bool)
            for part in range(0, len(waiting), _CHUNK):
                chunk = slice(part, part + _CHUNK)
                i, j = order[waiting[chunk]], order[waiting[chunk] + step]
                near[chunk] = are_near_duplicates(details[i], details[j])
            yield order[waiting[near]], order[waiting[near] + step]
            waiting = waiting[~near]


def _numbers(details: np.ndarray) -> np.ndarray:
    """(N, B) details -> (N, 8) in cell sizes: ground, place, size and mean deviations."""
    window = details[:, _WINDOW].view(np.int8)
    places = _places(details)
    parts = (slice(0, 256), slice(256, 320), slice(320, 384))
    means = [window[:, part].mean(axis=1, dtype=np.float32) for part in parts]
    return np.column_stack(
        [
            details[:, _GROUNDS].mean(axis=1, dtype=np.float32) / 24,
            places[:, :2] / 0.3,
            np.log(places[:, 2:] + 1e-3) / 0.6,
            np.column_stack(means) / np.array([16, 8, 8], np.float32),
        ]
    )
