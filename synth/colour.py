"""Colour profiles: the values of a picture in the space of its profile -> sRGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of R, G, B; Source: ITU-R BT.601
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of Pillow, by the space of the profile
_SAME = 1  # code values by which a profile that means sRGB may round differently


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """RGB, grey (L) or CMYK picture -> sRGB values as its ICC profile defines them.

    Relative colorimetric with black point compensation; colours outside sRGB are clipped.
    The picture itself comes back, unchanged to the bit, where the profile is sRGB (converting
    would change no value by more than 1), is broken, or is for another kind of values.
    """
    transform = _transform(profile, image.mode)
    if transform is None:
        return image
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # it is not in place
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> Any:
    """The transform of LittleCMS; None: keep the values."""
    try:
        from PIL import ImageCms

        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _MODES.get(source.profile.xcolor_space.strip()) != mode:
            return None
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION
            # Of grey, LittleCMS would interpolate in a table that is coarse in the shadows.
            | (ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE),
        )
        if mode == "CMYK":
            return transform
        probe = _probe(mode)
        converted = ImageCms.applyTransform(probe, transform)
    except MemoryError:
        raise
    except Exception:  # a broken profile, or a Pillow without LittleCMS, spoils no photo
        return None
    before = np.asarray(probe.convert("RGB"), np.int16)
    same = np.abs(before - np.asarray(converted, np.int16)).max() <= _SAME
    return None if same else transform


def _probe(mode: str) -> Image.Image:
    """Values all over the space: every grey, or 17 steps of each channel."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.rint(np.linspace(0, 255, 17)).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    return Image.fromarray(np.ascontiguousarray(grid.reshape(17, -1, 3)))
