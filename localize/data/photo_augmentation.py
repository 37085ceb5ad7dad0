"""Random augmentation of photos for endless images: crop, resample, flip, change of tone, noise."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

SCALE = (0.5, 1.25)  # px of the image per px of the photo
STRETCH = 1.57  # largest change of the aspect ratio, in 3 of 10 images


def augment_photo(
    photo: Image.Image, size: tuple[int, int], rng: np.random.Generator
) -> Image.Image:
    """A photo -> an augmented crop of (width, height) px.

    Of two random crops, the one with more texture is used.
    """
    transpose = rng.random() < 0.4
    width, height = size[::-1] if transpose else size
    scale = math.exp(rng.uniform(math.log(SCALE[0]), math.log(SCALE[1])))
    stretch = math.exp(rng.uniform(0, math.log(STRETCH))) if rng.random() < 0.3 else 1.0
    scales = (scale, scale * stretch) if rng.random() < 0.7 else (scale * stretch, scale)
    crop_width = min(photo.width, width / scales[0])
    crop_height = min(photo.height, height / scales[1])
    boxes = []
    for _ in range(2):
        left = rng.uniform(0, photo.width - crop_width)
        top = rng.uniform(0, photo.height - crop_height)
        boxes.append((left, top, left + crop_width, top + crop_height))
    box = max(boxes, key=lambda each: _texture(photo, each))
    filters = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
    pixels = np.asarray(photo.resize((width, height), filters[rng.integers(2)], box=box))
    pixels = pixels.swapaxes(0, 1) if transpose else pixels
    pixels = pixels[:, ::-1] if rng.random() < 0.5 else pixels
    pixels = pixels[::-1] if rng.random() < 0.15 else pixels
    if rng.random() < 0.5:
        tone = (np.arange(256) / 255) ** math.exp(rng.normal(0, 0.15)) * math.exp(
            rng.normal(0, 0.12)
        )
        pixels = np.clip(np.rint(255 * tone), 0, 255).astype(np.uint8)[pixels]
    if rng.random() < 0.1:
        noisy = pixels + rng.normal(0, rng.uniform(1, 4), pixels.shape)
        pixels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _texture(photo: Image.Image, box: tuple[float, float, float, float]) -> float:
    """Mean difference of horizontal neighbours, each limited to 30 code values."""
    left, top, right, bottom = (int(edge) for edge in box)
    grey = np.asarray(photo.crop((left, top, right, bottom)).convert("L"), np.int16)[::3]
    return float(np.minimum(np.abs(np.diff(grey, axis=1)), 30).mean())


def reduce_detail(picture: Image.Image, share: float) -> Image.Image:
    """The picture, reduced to a share of its size and enlarged again; for 1 unchanged."""
    if share >= 1:
        return picture
    width, height = (max(1, round(length * share)) for length in picture.size)
    return picture.resize((width, height)).resize(picture.size)
