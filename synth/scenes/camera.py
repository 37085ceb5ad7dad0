"""The camera: directions of the rays, and the effects of lens, sensor and tone curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LUMA = np.array([0.2126, 0.7152, 0.0722], "f4")


@dataclass(frozen=True)
class View:
    """A level pinhole camera.

    Args:
        width, height: of the picture, px.
        horizon: row of the horizon.
        focal: focal length, px.
        camera_height: height above the lowest ground, units of the terrain.
    """

    width: int
    height: int
    horizon: float
    focal: float
    camera_height: float

    def across(self) -> np.ndarray:
        """-> (W,) float32: tangent of the horizontal angle of the ray, per column."""
        middle = (self.width - 1) / 2
        return ((np.arange(self.width) - middle) / self.focal).astype("f4")

    def up(self) -> np.ndarray:
        """-> (H,) float32: tangent of the elevation of the ray, per row."""
        return ((self.horizon - np.arange(self.height)) / self.focal).astype("f4")


def develop(image: np.ndarray, key: float, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) linear light -> (H, W, 3) uint8: lens, exposure, noise, tone curve.

    Args:
        image: linear light; changed in place.
        key: mean brightness of the picture, linear.
        rng: for the sensor noise.
    """
    height, width, _ = image.shape
    image = soften(image, 0.16)
    cast = image[::3, ::3].mean((0, 1))
    image *= (cast.mean() / cast) ** 0.22  # partial automatic white balance
    luma = LUMA[0] * image[..., 0] + LUMA[1] * image[..., 1] + LUMA[2] * image[..., 2]
    dark, bright = np.quantile(luma[::3, ::3], [0.005, 0.98])
    image -= 0.7 * dark
    luma -= 0.7 * dark
    mean = float(np.clip(luma, 0, bright).mean())
    image = luma[..., None] + 1.12 * (image - luma[..., None])
    image *= min(key / mean, 1.3 / float(bright - 0.7 * dark))
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)[None, :]
    image *= (1 - 0.1 * (x * x + y * y))[..., None].astype("f4")
    image = np.maximum(image, 0)
    gain = float(np.exp2(rng.uniform(-1.0, 2.5)))  # ISO, in stops
    grain = soften(rng.standard_normal(image.shape, dtype=np.float32), 0.12)
    image += grain * np.sqrt(gain * (2.5e-5 * image + 1e-6))
    image = 1.03 * (1 - np.exp(-1.7 * np.maximum(image - 0.001, 0)))
    srgb = 1.055 * np.maximum(image, 0.0031308) ** (1 / 2.4) - 0.055
    srgb = np.where(image <= 0.0031308, 12.92 * image, srgb)
    srgb += 0.6 * srgb * (srgb - 0.5) * (1 - srgb) * 2
    return np.rint(np.clip(srgb, 0, 1) * 255).astype(np.uint8)


def soften(image: np.ndarray, share: float) -> np.ndarray:
    """(H, W, C) -> blurred with the kernel (share, 1 - 2 share, share) along both axes."""
    for axis in (0, 1):
        first, last = (slice(0, 1), slice(-1, None))
        pick = (lambda s: (s, slice(None))) if axis == 0 else (lambda s: (slice(None), s))
        padded = np.concatenate([image[pick(first)], image, image[pick(last)]], axis)
        image = (1 - 2 * share) * image + share * (
            padded[pick(slice(None, -2))] + padded[pick(slice(2, None))]
        )
    return image
