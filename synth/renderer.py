"""Photo and recipe to picture: the one place where a row becomes pixels.

The same functions serve datasets on disk, endless training and the eye chart.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from synth import anomaly as anomalies
from synth import limits, photos
from synth.anomaly import Anomaly, Effect
from synth.errors import Skipped
from synth.paths import path_of
from synth.photos import Photo
from synth.recipe import Codec, Draw, Recipe


@dataclass(frozen=True, eq=False)
class RowPixels:
    """One row in uncompressed pixels: (H, W, 3) uint8 with and without the anomaly."""

    image: np.ndarray
    clean: np.ndarray
    effect: Effect


@dataclass(frozen=True, eq=False)
class Sample:
    """A picture, the truth about it, and its clean twin.

    Args:
        image: (H, W, 3) uint8 RGB as a reader of the file sees it.
        truth: the anomaly, or None for a clean picture.
        clean: the clean twin, where there is one.
        photo: the photo's name; samples of one photo are not independent.
        name: the file's name in its dataset, where it has one.
    """

    image: np.ndarray
    truth: Anomaly | None
    clean: np.ndarray | None = None
    photo: str = ""
    name: str = ""


def read(folder: Path, name: str, recipe: Recipe, origin: tuple[str, str] = ("", "")) -> Photo:
    """Decode a photo as a recipe asks for: its size, colours and limit; see :func:`photos.read`."""
    return photos.read(
        folder,
        name,
        recipe.decode_size,
        origin,
        keep_profile=recipe.keep_profile,
        max_pixels=recipe.max_pixels,
    )


def row_generator(recipe: Recipe, photo: Photo, k: int) -> np.random.Generator:
    """The random numbers of a photo's k-th row: of the recipe's seed, the photo and k alone."""
    return np.random.default_rng([recipe.seed, int(photo.sha256[:16], 16), k])


def fit(photo: Photo, size: tuple[int, int], crop: tuple[int, int] | None) -> np.ndarray:
    """(H, W, 3) photo -> (h, w, 3) uint8: cut out at ``crop`` (left, top), else stretch.

    ``size`` is (width, height) in px. Stretching is bicubic and antialiased.
    """
    width, height = size
    if crop is not None:
        left, top = crop
        return photo.pixels[top : top + height, left : left + width]
    if photo.picture.size == size:
        return photo.pixels
    return np.asarray(photo.picture.resize(size, Image.Resampling.BICUBIC))


def paint(photo: Photo, draw: Draw) -> RowPixels:
    """(H, W, 3) photo -> the picture that was drawn, before encoding."""
    clean = fit(photo, draw.size, draw.crop)
    if draw.anomaly is None:
        return RowPixels(clean, clean, Effect(0.0, 1.0))
    rng = np.random.default_rng(draw.row_seed)
    image, effect = anomalies.change(clean, draw.anomaly, rng)
    return RowPixels(image, clean, effect)


def encode(pixels: np.ndarray, codec: Codec, quality: int) -> bytes:
    """(H, W, 3) or (H, W) uint8 -> a file's bytes: JPEG (4:2:0) or PNG.

    Raises:
        Skipped: the codec cannot hold the picture (JPEG ends at 65500 px).
    """
    out = io.BytesIO()
    try:
        if codec == "jpeg":
            Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling="4:2:0")
        else:
            Image.fromarray(pixels).save(out, "PNG", compress_level=3)
    except OSError as error:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise Skipped(f"a picture of {size} cannot be written as {codec}: {error}") from None
    return out.getvalue()


def decode(data: bytes) -> np.ndarray:
    """A file's bytes, as :func:`encode` wrote them -> (H, W, 3) uint8."""
    with limits.replace_pillow_limits(), Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def mask_image(anomaly: Anomaly | None, size: tuple[int, int]) -> np.ndarray:
    """-> (H, W) uint8: 255 in the region, 0 elsewhere; ``size`` is (width, height) in px."""
    width, height = size
    if anomaly is None:
        return np.zeros((height, width), np.uint8)
    return anomalies.mask(anomaly, height, width) * np.uint8(255)


def render(photo: Photo | np.ndarray | str | Path, recipe: Recipe, k: int = 0) -> Sample:
    """Make the k-th row of a photo: picture, truth and clean twin, as read back from a file.

    Args:
        photo: a :class:`Photo`, an (H, W, 3) uint8 array, or the path of a picture.
        recipe: what to draw.
        k: the number of the row among those of this photo, from 0.

    Raises:
        Skipped: the photo cannot be read, or is too small for the recipe.
    """
    if isinstance(photo, str | Path):
        photo = path_of(photo)
        photo = read(photo.parent, photo.name, recipe)
    elif isinstance(photo, np.ndarray):
        photo = Photo("", hashlib.sha256(photo.tobytes()).hexdigest(), Image.fromarray(photo))
    draw = recipe.draw(*photo.picture.size, row_generator(recipe, photo, k))
    painted = paint(photo, draw)
    clean = decode(encode(painted.clean, recipe.codec, recipe.quality))
    if draw.anomaly is None:
        return Sample(clean, None, clean, photo.name)
    image = decode(encode(painted.image, recipe.codec, recipe.quality))
    return Sample(image, draw.anomaly, clean, photo.name)
