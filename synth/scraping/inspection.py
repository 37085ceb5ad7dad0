"""Judge a fetched file by its content: its type, its size, whether it decodes, its hash."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from synth import photos
from synth.errors import Skipped
from synth.scraping.outcomes import Outcome, Problem

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"P5", b"P6")
_MAGIC_LATER = ((8, b"WEBP"), (4, b"ftypavi"))
_LARGE = 20_000_000  # pixels; of that size only one picture at a time is decoded
_one_large = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A fetched picture that can be used.

    Args:
        file: where its bytes lie for now.
        sha256: of the bytes.
        dhash: 64-bit difference hash.
        width: in px, upright.
        height: in px, upright.
        size: in bytes.
        suffix: that its content asks for, with the dot.
    """

    file: Path
    sha256: str
    dhash: int
    width: int
    height: int
    size: int
    suffix: str


def may_be_picture(head: bytes) -> bool:
    """Whether the first bytes are those of a format that we read.

    >>> may_be_picture(b"<!doctype html>"), may_be_picture(bytes.fromhex("ffd8ffe000104a46"))
    (False, True)
    """
    return head.startswith(_MAGIC) or any(head[at:].startswith(m) for at, m in _MAGIC_LATER)


def inspect(file: Path, sha256: str, size: int, min_side: int, max_pixels: int) -> Picture:
    """Judge a file; the pixel count is read from its header before anything is decoded.

    Raises:
        Problem: it is none, or too small, or too large, or broken, or of no use as a photo.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=photos.FORMATS) as image:
                kind, (width, height) = image.format or "", image.size
                jpeg = kind in ("JPEG", "MPO")
                turned = jpeg and photos.orientation(image) >= 5
    except UnidentifiedImageError:
        raise Problem(Outcome.NO_IMAGE) from None
    except Image.DecompressionBombError:
        raise Problem(Outcome.PIXELS) from None
    except Exception:  # on broken files Pillow raises nearly anything
        raise Problem(Outcome.BROKEN) from None
    if width * height > max_pixels:
        raise Problem(Outcome.PIXELS)
    if min(width, height) < min_side:
        raise Problem(Outcome.SMALL)
    if width * height > _LARGE:
        with _one_large:
            picture = _decode(file).picture
    else:
        picture = _decode(file).picture
    if not jpeg:
        width, height = picture.size
    elif turned:
        width, height = height, width
    dhash = photos.dhash(picture)
    return Picture(file, sha256, dhash, width, height, size, photos.SUFFIX_OF.get(kind, ".jpg"))


def _decode(file: Path) -> photos.Photo:
    try:
        return photos.read(file.parent, file.name, at_least=(72, 64))
    except Skipped as skipped:
        reason = str(skipped)
        if "too many pixels" in reason:
            raise Problem(Outcome.PIXELS) from None
        broken = reason.startswith(("broken file", "not a picture"))
        raise Problem(Outcome.BROKEN if broken else Outcome.UNUSABLE) from None
