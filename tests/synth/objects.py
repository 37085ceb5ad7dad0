"""Drawn objects on plain ground, and functions that make near-duplicates of a picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

GROUNDS = ("white", "grey", "black", "gradient", "vignette", "noise")
SHAPES = ("circle", "square", "triangle", "bar", "angle", "ring")
_CORNERS = {
    "square": [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    "triangle": [(0, -1), (1, 1), (-1, 1)],
    "bar": [(-1, -0.3), (1, -0.3), (1, 0.3), (-1, 0.3)],
    "angle": [(-1, -1), (-0.3, -1), (-0.3, 0.4), (1, 0.4), (1, 1), (-1, 1)],
}


@cache
def ground(kind: str, side: int) -> np.ndarray:
    """-> (side, side, 3) float."""
    u, v = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    level = {
        "white": np.full_like(u, 255),
        "grey": np.full_like(u, 190),
        "black": np.full_like(u, 8),
        "gradient": 200 + 25 * v,
        "vignette": 225 - 30 * (u**2 + v**2),
        "noise": 180 + np.random.default_rng(0).normal(0, 4, u.shape),
    }[kind]
    return np.repeat(level[..., None], 3, axis=2)


def picture(
    kind: str,
    shape: str,
    colour: tuple[int, int, int],
    size: float,
    at: tuple[float, float] = (0.5, 0.5),
    side: int = 400,
) -> Image.Image:
    """An object whose half width is ``size`` of the side, at a place in shares of the side."""
    share = coverage(shape, size, at, side)
    pixels = ground(kind, side) * (1 - share) + share * np.array(colour)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


@cache
def coverage(shape: str, size: float, at: tuple[float, float], side: int) -> np.ndarray:
    """-> (side, side, 1) float: the share of each pixel that the object covers."""
    mask = Image.new("L", (2 * side, 2 * side))
    draw, (x, y), s = ImageDraw.Draw(mask), (2 * side * at[0], 2 * side * at[1]), 2 * side * size
    if shape in ("circle", "ring"):
        draw.ellipse((x - s, y - s, x + s, y + s), fill=255)
        if shape == "ring":
            draw.ellipse((x - 0.6 * s, y - 0.6 * s, x + 0.6 * s, y + 0.6 * s), fill=0)
    else:
        draw.polygon([(x + dx * s, y + dy * s) for dx, dy in _CORNERS[shape]], fill=255)
    return np.asarray(mask.resize((side, side), Image.Resampling.BOX))[..., None] / 255


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(out).convert("RGB")


def resize(image: Image.Image, factor: float) -> Image.Image:
    size = round(image.width * factor), round(image.height * factor)
    return image.resize(size, Image.Resampling.BICUBIC)


def crop(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Cut off shares of the sides."""
    w, h = image.size
    box = round(left * w), round(top * h), round(w - right * w), round(h - bottom * h)
    return image.crop(box)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG, quality 80": lambda image: jpeg(image, 80),
    "JPEG, quality 40": lambda image: jpeg(image, 40),
    "half the size": lambda image: resize(image, 0.5),
    "third of the size, JPEG 60": lambda image: jpeg(resize(image, 1 / 3), 60),
    "1.5 times the size": lambda image: resize(image, 1.5),
    "5 % darker": lambda image: image.point(lambda value: round(0.95 * value)),
    "crop: 2 % of two sides": lambda image: crop(image, 0.02, 0.02, 0, 0),
    "crop: 5 % of two sides": lambda image: crop(image, 0, 0.05, 0.05, 0),
    "crop: 5 % of all sides": lambda image: crop(image, 0.05, 0.05, 0.05, 0.05),
}


def mirror(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
