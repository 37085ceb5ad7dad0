"""Decoding of image files into upright sRGB pictures."""

from __future__ import annotations

import importlib.util
import io
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from synth import colour, limits
from synth.errors import Skipped
from synth.image_repair import repair
from synth.memory import is_out_of_memory

# Format in Pillow's terms -> suffix of a file.
SUFFIX_OF = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "AVIF": ".avif",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "PPM": ".ppm",
    "HEIF": ".heic",
}
# The only formats that are opened (MPO is opened as JPEG): for EPS Pillow runs other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
HEAD = 32  # bytes at the start of a file from which its format is determined
_SIGNATURES = (
    ("JPEG", rb"\xff\xd8\xff"),
    ("PNG", rb"\x89PNG\r\n\x1a\n"),
    ("WEBP", rb"RIFF....WEBP"),
    ("AVIF", rb"....ftyp(?:avif|avis)"),
    ("HEIF", rb"....ftyp(?:hei[cxms]|hev[cmx]|mif1|msf1)"),
    ("TIFF", rb"II[*+]\0|MM\0[*+]"),
    ("GIF", rb"GIF8[79]a"),
    ("BMP", rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0"),
    ("PPM", rb"P[1-6]\s"),
)
# Formats of pictures that are not supported.
_FOREIGN = (
    ("JPEG 2000", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    ("JPEG XL", rb"\xff\x0a|\0\0\0\x0cJXL "),
    ("camera raw", rb"....ftypcrx |FUJIFILMCCD|IIU\0|IIRO|IIRS|MMOR"),
    ("Photoshop", rb"8BPS"),
)
_KINDS = tuple((name, re.compile(mark, re.DOTALL)) for name, mark in _SIGNATURES)
_FOREIGN_KINDS = tuple((name, re.compile(mark, re.DOTALL)) for name, mark in _FOREIGN)
_NO_HEIF = "is HEIC or HEIF: to read such photos, pip install pillow-heif"
_DNG_VERSION = 0xC612
_TURNS = dict(
    zip(
        range(2, 9),
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        strict=True,
    )
)
_DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras and scanners store in 16
logging.getLogger("PIL").addHandler(
    logging.NullHandler()
)  # without a handler Python prints Pillow's log


class Broken(Skipped):
    """The file is not a picture or is damaged."""


class TooLarge(Skipped):
    """The picture is larger than a limit."""


def image_format(head: bytes) -> str:
    """The first :data:`HEAD` bytes of a file -> its format as Pillow names it; "" if unsupported.

    >>> image_format(b"<!doctype html>"), image_format(bytes.fromhex("ffd8ffe000104a46"))
    ('', 'JPEG')
    """
    return next((name for name, mark in _KINDS if mark.match(head)), "")


def unsupported_format(head: bytes) -> str:
    """The first bytes of a file -> the name of its unsupported picture format, else ""."""
    return next((name for name, mark in _FOREIGN_KINDS if mark.match(head)), "")


@contextmanager
def open_image(source: Path | io.BytesIO) -> Iterator[Image.Image]:
    """Opens a picture of a supported format, with the limits of Acuity instead of Pillow's.

    Only the header is read. Callers check the size before they decode.

    Raises:
        Skipped: the file is HEIC and pillow-heif is not installed.
        Exception: the file is broken; Pillow raises many types.
    """
    with limits.replace_pillow_limits(), Image.open(source, formats=_formats(source)) as image:
        yield image


def _formats(source: Path | io.BytesIO) -> tuple[str, ...]:
    """The formats that Pillow may try: :data:`FORMATS`, or for a HEIC file that of pillow-heif."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            head = file.read(HEAD)
    else:
        head = source.getbuffer()[:HEAD].tobytes()
    if image_format(head) != "HEIF":
        return FORMATS
    if importlib.util.find_spec("pillow_heif") is None:
        raise Skipped(_NO_HEIF)
    import pillow_heif

    pillow_heif.register_heif_opener()
    return ("HEIF",)


def decode(
    data: bytes,
    at_least: tuple[int, int] | None = None,
    *,
    keep_profile: bool = False,
    max_pixels: int = limits.PIXELS,
) -> Image.Image:
    """Bytes of a file -> upright sRGB picture (mode RGB, 8 bits).

    16-bit grey is scaled to 8 bits by its largest value: the smallest depth of 8, 10, 12, 14 or
    16 bits that holds it is assumed, and 2^depth - 1 becomes 255. So 12-bit values stored in
    16 bits keep their brightness. 16-bit colour is scaled in the same way if it uses at most
    14 bits.

    Args:
        at_least: width and height in px. A larger JPEG may be decoded at 1/2, 1/4 or 1/8 of its
            size, but not smaller than this. Colours are converted afterwards.
        keep_profile: do not convert the values by the embedded colour profile.
        max_pixels: largest width times height of the file.

    Raises:
        Broken: the file is not a picture or is damaged.
        TooLarge: the picture has too many pixels.
        Skipped: the picture has no definite RGB values (transparent, animated, raw, 32 bits).
    """
    try:
        try:
            return _decode(data, at_least, keep_profile, max_pixels)
        except Skipped:
            raise
        except (
            OSError,
            SyntaxError,
            ValueError,
        ):  # raised by Pillow for truncated or damaged files
            with limits.replace_pillow_limits():
                again = repair(data)
            if again is None:
                raise
            return _decode(again, at_least, keep_profile, max_pixels)
    except (Skipped, MemoryError):  # a lack of memory is not a fault of the file
        raise
    except UnidentifiedImageError:
        what = unsupported_format(data[:HEAD])
        advice = f"{what} is not supported: convert it to PNG or JPEG" if what else ""
        raise Broken(advice or "not a picture, or an unknown format") from None
    except Exception as error:
        if is_out_of_memory(error):
            raise MemoryError from None
        # For broken files Pillow's decoders raise many types.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Broken(f"broken file: {reason}") from None


def _decode(
    data: bytes, at_least: tuple[int, int] | None, keep_profile: bool, max_pixels: int
) -> Image.Image:
    with open_image(io.BytesIO(data)) as image:
        if image.width * image.height > max_pixels:
            raise TooLarge(limits.too_many_pixels(image.width, image.height, max_pixels))
        if getattr(image, "n_frames", 1) > 1 and image.format not in ("MPO", "HEIF"):
            raise Skipped("animated or has several pages")
        if _DNG_VERSION in getattr(image, "tag_v2", ()):
            raise Skipped("is a camera raw file (DNG): convert it to JPEG or TIFF")
        if at_least is not None and image.format in ("JPEG", "MPO"):
            turned = orientation(image) >= 5
            image.draft("RGB", at_least[::-1] if turned else at_least)
        wide = _has_16_bit_colour(image, data)
        image.load()  # before getexif(), which would hide the damage of a broken PNG
        turn = _TURNS.get(orientation(image))
        profile = b"" if keep_profile else image.info.get("icc_profile") or b""
        rgb = _rgb(image, profile, data if wide else b"")
        return rgb if turn is None else rgb.transpose(turn)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 if the EXIF block has no valid value."""
    try:
        value = image.getexif().get(0x0112, 1)
    except MemoryError:
        raise
    except Exception:  # a photo with an invalid EXIF block is still used
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _rgb(image: Image.Image, profile: bytes, wide: bytes) -> Image.Image:
    """Converts a picture of any mode to sRGB.

    Args:
        image: the picture.
        profile: ICC profile, or empty.
        wide: bytes of the file if it has 16 bits per channel, of which Pillow keeps 8; else empty.

    Raises:
        Skipped: the mode has no definite RGB values.
    """
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        image = Image.fromarray(to_8_bits(np.asarray(image)))
    if image.mode in ("I", "F"):
        raise Skipped(f"has 32-bit values (mode {image.mode})")
    if image.has_transparency_data:
        grey = image.mode in ("L", "LA")
        image = image.convert("RGBA")
        if int(np.asarray(image)[..., 3].min()) < 255:
            raise Skipped("has transparent pixels")
        image = image.convert("RGB").getchannel(0) if grey else image.convert("RGB")
    if wide:
        image = _full_range(image, wide)
    if profile:
        if image.mode not in ("L", "RGB", "CMYK"):
            image = image.convert("RGB")
        image = colour.to_srgb(image, profile)
    return image if image.mode == "RGB" else image.convert("RGB")


def to_8_bits(values: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 3) of at most 16 bits -> uint8, scaled by the depth of the largest value.

    >>> to_8_bits(np.array([[0, 2048, 4095]], np.uint16)).tolist()
    [[0, 128, 255]]
    """
    most = int(values.max(initial=0))
    top = next(2**bits - 1 for bits in _DEPTHS if most < 2**bits or bits == 16)
    return ((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)


def _has_16_bit_colour(image: Image.Image, data: bytes) -> bool:
    if image.format == "PNG":
        return data[24:26] in (b"\x10\x02", b"\x10\x06")  # depth and colour type, in IHDR
    return image.format == "TIFF" and tuple(image.tag_v2.get(258, ()))[:3] == (16, 16, 16)  # type: ignore[attr-defined]


def _full_range(image: Image.Image, data: bytes) -> Image.Image:
    """Scales a 16-bit RGB picture, of which Pillow kept the high bytes, by its largest value.

    Files that use the 15th or 16th bit stay as Pillow reads them. The others are read with
    OpenCV, because Pillow has no mode with 16 bits per channel.
    """
    pixels = np.asarray(image)
    if image.mode != "RGB" or pixels.max() >= 64:
        return image
    import cv2

    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.dtype != np.uint16 or values.shape[:2] != pixels.shape[:2]:
        return image
    return Image.fromarray(to_8_bits(np.ascontiguousarray(values[..., 2::-1])))
