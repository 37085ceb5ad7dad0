"""Pictures with little in them: an object on plain ground, told apart by the object.

Source of the dissimilarity: J. R. Bray and J. T. Curtis, Ecological Monographs 27 (1957). The
window around the object follows the moments of its deviation from the ground, so that crops,
which move and enlarge the object in its frame, leave the window's content as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

SIDE = 192  # px: of the smaller side of what is looked at
BYTES = 8 + 12 + 256 + 2 * 64  # of a detail: place and size, ground, luminance, chroma
_QUIET = 6.0  # code values of deviation from the ground that noise and JPEG make
_LOUD = 30.0  # beyond the quiet ones; more weighs no more
_LEAST = 0.0005  # share of the picture that an object covers at least; else the ground is all
_REACH = 2.2  # of the window to each side of the centre, in standard deviations of the object
_PLACE = 0.12  # of the side by which the places of one object in two crops may differ
_SCALE = 1.25  # by which its sizes may
_GROUND = 20  # code values by which the ground may
_UNLIKE = 0.06  # Bray-Curtis dissimilarity at which two windows show different things
_SLACK = 0.25  # steps of 2 code values a cell that do not count
_TABLES = 8  # random grids in each of which near-duplicates meet in a cell with some luck
_MOST = 64  # of a cell's members, with how many that follow one is compared
_CHUNK = 16384  # comparisons at a time: bounds the memory
_PLACES = slice(0, 8)
_GROUNDS = slice(8, 20)
_WINDOW = slice(20, BYTES)


def detail(image: Image.Image) -> bytes:
    """RGB picture -> :data:`BYTES` bytes that tell what stands on its ground, and where."""
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
    """A picture -> the same with a smaller side of :data:`SIDE` px, if it is larger."""
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
    """A picture -> (6, 3): its ground as a quadratic surface in each channel of YCbCr."""
    values = small.resize((48, 48), Image.Resampling.BOX).convert("YCbCr")
    return fit_ground(np.asarray(values, np.float32))


def fit_ground(values: np.ndarray) -> np.ndarray:
    """(H, W, C) values -> (6, C): coefficients of the surface that most of them lie on.

    Least squares over the values that fit best, half of them at first: an object is no ground.
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
    """(H, W, C) values -> their deviation from the surface that most of them lie on."""
    height, width = values.shape[:2]
    deviation: np.ndarray = values - _terms(width, height) @ fit_ground(values)
    return deviation


def _object(deviation: np.ndarray) -> tuple[np.ndarray, tuple[float, float, float, float] | None]:
    """(H, W, 3) deviation from the ground -> place and size of the object, and its window.

    Place and size: centre and standard deviations, x before y, in 1/65535 of the side; all 0
    where there is no object. The window: left, top, right, bottom in px.
    """
    height, width = deviation.shape[:2]
    weight = np.clip(np.abs(deviation).max(axis=2) - _QUIET, 0, _LOUD)
    total = float(weight.sum())
    if total < _LEAST * _LOUD * width * height:
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
    """(B,) and (N, B) or (N, B) uint8 details -> (N,) bool: whether they show the same."""
    near = _same_frame(detail, others)
    if near.any():
        mine = detail if detail.ndim == 1 else detail[near]
        near[near] = dissimilarity(mine, others[near]) <= _UNLIKE
    return near


def _same_frame(detail: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether the ground is the same and the object about as large and at the same place."""
    ground = np.abs(detail[..., _GROUNDS].astype(np.int16) - others[..., _GROUNDS].astype(np.int16))
    mine, theirs = _places(detail), _places(others)
    place = np.abs(mine[..., :2] - theirs[..., :2]).max(axis=-1) <= _PLACE
    # A size of 0: no object, which is like no object only.
    size = np.maximum(mine[..., 2:], theirs[..., 2:]) <= _SCALE * np.minimum(
        mine[..., 2:], theirs[..., 2:]
    )
    result: np.ndarray = (ground.max(axis=-1) <= _GROUND) & place & size.all(axis=-1)
    return result


def _places(details: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(details[..., _PLACES]).view("<u2").astype(np.float32) / 65535


def dissimilarity(detail: np.ndarray, others: np.ndarray) -> np.ndarray:
    """0 (the same window) to 1 (nothing in common), beyond what rounding makes."""
    mine = np.ascontiguousarray(detail[..., _WINDOW]).view(np.int8).astype(np.int16)
    theirs = np.ascontiguousarray(others[..., _WINDOW]).view(np.int8).astype(np.int16)
    apart = np.abs(mine - theirs).sum(axis=-1) - _SLACK * mine.shape[-1]
    size = (np.abs(mine) + np.abs(theirs)).sum(axis=-1)
    result: np.ndarray = np.maximum(apart, 0) / np.maximum(size, 1)
    return result


def pairs(details: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(N, B) uint8 details -> index arrays (i, j) of those that show the same.

    Not each is compared with each, but those that meet in a cell of one of several randomly
    shifted grids over what a detail says in few numbers. A cell is wide beside the changes
    that make a near-duplicate: a pair that meets in no grid is rare. In a cell, each is
    compared with those that follow, until one shows the same, which links it to the rest.
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
                some = slice(part, part + _CHUNK)
                i, j = order[waiting[some]], order[waiting[some] + step]
                near[some] = are_near_duplicates(details[i], details[j])
            yield order[waiting[near]], order[waiting[near] + step]
            waiting = waiting[~near]


def _numbers(details: np.ndarray) -> np.ndarray:
    """(N, B) details -> (N, 8) in units of a cell: ground, place, size, and mean deviation."""
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
