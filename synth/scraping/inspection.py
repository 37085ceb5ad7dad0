"""Inspection of a fetched file: format, size, decoding and signature."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from synth import decoding, near_duplicates, photos, plain_ground
from synth.decoding import Broken, TooLarge
from synth.errors import Skipped
from synth.scraping.outcomes import Outcome, Problem

_LARGE = 20_000_000  # pixels; only one picture above this size is decoded at a time
_one_large = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A fetched, usable picture.

    Args:
        file: temporary file with its bytes.
        sha256: SHA-256 of the file.
        signature: signature for the search for near-duplicates.
        width, height: size in px after rotation to upright.
        size: size of the file in bytes.
        suffix: suffix by its content, with the dot.
    """

    file: Path
    sha256: str
    signature: photos.Signature
    width: int
    height: int
    size: int
    suffix: str


def may_be_picture(head: bytes) -> bool:
    """Whether the first bytes are those of a supported format.

    >>> may_be_picture(b"<!doctype html>"), may_be_picture(bytes.fromhex("ffd8ffe000104a46"))
    (False, True)
    """
    return bool(decoding.image_format(head))


def inspect(file: Path, sha256: str, size: int, min_side: int, max_pixels: int) -> Picture:
    """Inspects a file; its pixel count is checked before it is decoded.

    Args:
        file: the file.
        sha256: its SHA-256.
        size: its size in bytes.
        min_side: least width and height in px.
        max_pixels: largest number of pixels.

    Raises:
        Problem: the file is not a picture, is too small, too large or broken, or is not a photo.
    """
    try:
        with photos.open_image(file) as image:
            kind, (width, height) = image.format or "", image.size
            jpeg = kind in ("JPEG", "MPO")
            turned = jpeg and photos.orientation(image) >= 5
    except UnidentifiedImageError:
        raise Problem(Outcome.NO_IMAGE) from None
    except Skipped:
        raise Problem(Outcome.UNUSABLE) from None
    except MemoryError:
        raise
    except Exception:  # for broken files Pillow raises many types
        raise Problem(Outcome.BROKEN) from None
    if width * height > max_pixels:
        raise Problem(Outcome.PIXELS)
    if min(width, height) < min_side:
        raise Problem(Outcome.SMALL)
    if width * height > _LARGE:
        with _one_large:
            signature, upright = _compute_signature(file, max_pixels)
    else:
        signature, upright = _compute_signature(file, max_pixels)
    if not jpeg:
        width, height = upright
    elif turned:
        width, height = height, width
    return Picture(file, sha256, signature, width, height, size, photos.SUFFIX_OF.get(kind, ".jpg"))


def _compute_signature(file: Path, max_pixels: int) -> tuple[photos.Signature, tuple[int, int]]:
    """A file -> its signature, and width and height at which it was decoded for it."""
    picture = _decode(file, (72, 64), max_pixels)
    if not near_duplicates.is_plain(picture):
        return photos.Signature(photos.dhash(picture)), picture.size
    # The detail of a plain picture needs a higher resolution.
    finer = _decode(file, (plain_ground.SIDE, plain_ground.SIDE), max_pixels)
    detail = plain_ground.detail(finer)
    return photos.Signature(photos.dhash(picture), detail), picture.size


def _decode(file: Path, at_least: tuple[int, int], max_pixels: int) -> Image.Image:
    try:
        return photos.read(file.parent, file.name, at_least, max_pixels=max_pixels).picture
    except TooLarge:
        raise Problem(Outcome.PIXELS) from None
    except Broken:
        raise Problem(Outcome.BROKEN) from None
    except Skipped:
        raise Problem(Outcome.UNUSABLE) from None
