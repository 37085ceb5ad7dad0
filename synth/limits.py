"""Limits for one picture: pixels, bytes, metadata.

Pillow has limits of its own, which hold for the whole process. :func:`replace_pillow_limits`
switches them off while Acuity opens a picture.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image, PngImagePlugin

PIXELS = 200_000_000  # of a local file; a decoded pixel takes 3 to 4 bytes
BYTES = 2 << 30  # of a local file; it is held in memory
WEB_PIXELS = 100_000_000  # of a photo from the web
WEB_BYTES = 50_000_000
METADATA_BLOCK = (
    16 << 20
)  # decompressed bytes of one text or profile of a PNG; larger ones are left out
METADATA = 64 << 20  # bytes of all texts of a PNG

_lock = threading.Lock()
_users = 0
_before: dict[str, Any] = {}


def too_many_pixels(width: int, height: int, limit: int) -> str:
    """Why a picture is rejected, and what the user can do."""
    return (
        f"has too many pixels: {width}x{height} is more than the limit of {limit:,} "
        "(raise it with --max-pixels N if the command has it, or make the picture smaller)"
    )


def too_many_bytes(size: int) -> str:
    """Why a file is rejected, and what the user can do."""
    return (
        f"has too many bytes: {size:,} is more than the limit of {BYTES:,}: "
        "save it smaller or compressed"
    )


@contextmanager
def replace_pillow_limits() -> Iterator[None]:
    """In the block, the limits of Acuity replace those of Pillow, and Pillow does not warn.

    Pillow's limits and Python's warning filters are shared by all threads, so they are restored
    when the last block ends. A caller checks the size of a picture before it decodes pixels.
    """
    global _users
    with _lock:
        if _users == 0:
            _set_aside()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _restore()


def _set_aside() -> None:
    _before["pixels"] = Image.MAX_IMAGE_PIXELS
    _before["chunk"] = PngImagePlugin.MAX_TEXT_CHUNK
    _before["text"] = PngImagePlugin.MAX_TEXT_MEMORY
    _before["warnings"] = warnings.catch_warnings()
    Image.MAX_IMAGE_PIXELS = None
    PngImagePlugin.MAX_TEXT_CHUNK = METADATA_BLOCK
    PngImagePlugin.MAX_TEXT_MEMORY = METADATA
    _before["warnings"].__enter__()
    warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)\b")


def _restore() -> None:
    Image.MAX_IMAGE_PIXELS = _before["pixels"]
    PngImagePlugin.MAX_TEXT_CHUNK = _before["chunk"]
    PngImagePlugin.MAX_TEXT_MEMORY = _before["text"]
    _before["warnings"].__exit__(None, None, None)
