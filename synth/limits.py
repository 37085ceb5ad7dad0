"""What is read at most of one picture: pixels, bytes, metadata. The one place that says so.

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

PIXELS = 200_000_000  # of a file of the user's own; a decoded pixel takes 3 to 4 bytes
BYTES = 2 << 30  # of such a file; it is held in memory
WEB_PIXELS = 100_000_000  # of a photo from the web, which anybody may have put there
WEB_BYTES = 50_000_000
METADATA_BLOCK = 16 << 20  # bytes of one text or profile of a PNG, inflated; larger: left out
METADATA = 64 << 20  # bytes of all texts of a PNG

_lock = threading.Lock()
_users = 0
_before: dict[str, Any] = {}


def too_many_pixels(width: int, height: int, limit: int) -> str:
    """The reason why a picture is refused, with what can be done."""
    return (
        f"has too many pixels: {width}x{height} is more than the limit of {limit:,} "
        "(--max-pixels N raises it, where the command has it; else make the picture smaller)"
    )


def too_many_bytes(size: int) -> str:
    """The reason why a file is refused, with what can be done."""
    return (
        f"has too many bytes: {size:,} is more than the limit of {BYTES:,}: "
        "save it smaller or compressed"
    )


@contextmanager
def replace_pillow_limits() -> Iterator[None]:
    """Our limits instead of Pillow's, and none of its warnings, until the last user leaves.

    Pillow keeps its limits, and Python its warning filters, for all threads alike; hence the
    count of users. Who opens a picture in here checks its size before any pixel is decoded.
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
