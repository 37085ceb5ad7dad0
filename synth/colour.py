"""The weights of luma, and the conversion of pictures with a colour profile to sRGB."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

_MODES = {
    "RGB": "RGB",
    "GRAY": "L",
    "CMYK": "CMYK",
}  # colour space of the profile -> mode of Pillow
_SAME = 1  # a profile that changes no code value by more than this is sRGB
# Luma = LUMA @ (red, green, blue) code values. Source: ITU-R BT.601.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Converts an RGB, grey (L) or CMYK picture to sRGB by its ICC profile.

    The intent is relative colorimetric with black point compensation; colours outside sRGB are
    clipped. The picture is returned unchanged if the profile is sRGB (the conversion would change
    no value by more than 1), is damaged, or belongs to another colour space.
    """
    transform = _transform(profile, image.mode)
    if transform is None:
        return image
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # None is returned for in-place conversion only
    return converted


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> Any:
    """The transform of LittleCMS, or None if the values need no conversion."""
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
            # For grey, LittleCMS would interpolate in a table that is coarse in the shadows.
            | (ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE),
        )
        if mode == "CMYK":
            return transform
        probe = _probe(mode)
        converted = ImageCms.applyTransform(probe, transform)
    except MemoryError:
        raise
    except Exception:  # with a broken profile or without LittleCMS, keep the values
        return None
    before = np.asarray(probe.convert("RGB"), np.int16)
    same = np.abs(before - np.asarray(converted, np.int16)).max() <= _SAME
    return None if same else transform


def _probe(mode: str) -> Image.Image:
    """A picture with values from the whole space: every grey, or 17 steps of each channel."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.rint(np.linspace(0, 255, 17)).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1)
    return Image.fromarray(np.ascontiguousarray(grid.reshape(17, -1, 3)))
