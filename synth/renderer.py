"""Rendering of images from photos: crop or stretch, anomaly, encoding.

Datasets on disk, endless images and sharpness trials use the same functions.
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
from synth.storage import Place


@dataclass(frozen=True, eq=False)
class RowPixels:
    """The pixels of one row before encoding.

    Args:
        image: (H, W, 3) uint8 RGB with the anomaly.
        clean: (H, W, 3) uint8 RGB without it.
        effect: the change of the pixels.
    """

    image: np.ndarray
    clean: np.ndarray
    effect: Effect


@dataclass(frozen=True, eq=False)
class Sample:
    """An image with its truth and clean twin.

    Args:
        image: (H, W, 3) uint8 RGB, decoded from the encoded file.
        truth: the anomaly, or None for a clean image.
        clean: (H, W, 3) uint8 RGB clean twin, or None.
        photo: name of the photo; samples of one photo are not independent.
        name: name of the file in its dataset, or "".
    """

    image: np.ndarray
    truth: Anomaly | None
    clean: np.ndarray | None = None
    photo: str = ""
    name: str = ""


def read(folder: Place, name: str, recipe: Recipe, origin: tuple[str, str] = ("", "")) -> Photo:
    """Decodes a photo with the options of a recipe; see :func:`photos.read`."""
    return photos.read(
        folder,
        name,
        recipe.decode_size,
        origin,
        keep_profile=recipe.keep_profile,
        max_pixels=recipe.max_pixels,
    )


def row_generator(recipe: Recipe, photo: Photo, k: int) -> np.random.Generator:
    """Random generator of a photo's k-th row, seeded by the recipe's seed, the photo and k."""
    return np.random.default_rng([recipe.seed, int(photo.sha256[:16], 16), k])


def fit(photo: Photo, size: tuple[int, int], crop: tuple[int, int] | None) -> np.ndarray:
    """(H, W, 3) photo -> (h, w, 3) uint8: cropped or resized.

    Args:
        photo: the photo.
        size: width and height of the result in px.
        crop: left column and top row of the crop; None: resize, bicubic and antialiased.
    """
    width, height = size
    if crop is not None:
        left, top = crop
        return photo.pixels[top : top + height, left : left + width]
    if photo.picture.size == size:
        return photo.pixels
    return np.asarray(photo.picture.resize(size, Image.Resampling.BICUBIC))


def paint(photo: Photo, draw: Draw) -> RowPixels:
    """Photo and draw -> the pixels of the row before encoding."""
    clean = fit(photo, draw.size, draw.crop)
    if draw.anomaly is None:
        return RowPixels(clean, clean, Effect(0.0, 1.0))
    rng = np.random.default_rng(draw.row_seed)
    image, effect = anomalies.change(clean, draw.anomaly, rng)
    return RowPixels(image, clean, effect)


def encode(pixels: np.ndarray, codec: Codec, quality: int) -> bytes:
    """(H, W, 3) or (H, W) uint8 -> bytes of a JPEG (4:2:0) or PNG file.

    Raises:
        Skipped: the picture is too large for the codec (JPEG: more than 65500 px).
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
    """Bytes from :func:`encode` -> (H, W, 3) uint8."""
    with limits.replace_pillow_limits(), Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def mask_image(anomaly: Anomaly | None, size: tuple[int, int]) -> np.ndarray:
    """-> (H, W) uint8: 255 inside the region, else 0; ``size`` is (width, height) in px."""
    width, height = size
    if anomaly is None:
        return np.zeros((height, width), np.uint8)
    return anomalies.mask(anomaly, height, width) * np.uint8(255)


def render(photo: Photo | np.ndarray | str | Path, recipe: Recipe, k: int = 0) -> Sample:
    """Makes the k-th row of a photo: image, truth and clean twin, decoded after encoding.

    Args:
        photo: a :class:`Photo`, an (H, W, 3) uint8 array, or the path of a picture.
        recipe: the parameters.
        k: number of the row among those of this photo, from 0.

    Raises:
        Skipped: the photo cannot be read or is too small for the recipe.
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
