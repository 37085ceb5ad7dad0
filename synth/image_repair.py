"""Repair of JPEG and PNG files that a decoder rejects although all pixels are there."""

from __future__ import annotations

import hashlib
import io
import zlib
from collections.abc import Iterator

from PIL import Image

from synth import limits

END = b"\xff\xd9"  # the marker at the end of a JPEG
_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")


def repair(data: bytes) -> bytes | None:
    """Bytes of a file that failed to decode -> bytes that may decode, or None.

    A JPEG without an end marker gets one if no pixel is missing. Metadata of a PNG that are
    damaged or larger than the limits of :mod:`synth.limits` are removed.
    """
    if data.startswith(b"\xff\xd8\xff"):
        data = data.rstrip(b"\xff")  # half an end marker
        return data + END if has_all_pixels(data) else None
    if data.startswith(_PNG):
        lean = _PNG + b"".join(_sound_chunks(data))
        return lean if len(lean) < len(data) else None
    return None


def has_all_pixels(data: bytes) -> bool:
    """Whether a JPEG lacks nothing but its end marker.

    This is so if its scans cover all coefficients, and if appended bits do not change the pixels:
    a decoder that needs more bits would make pixels of them.
    """
    segments = list(_segments(data))
    if not _sends_all_coefficients(segments):
        return False
    scan = next(end for marker, _, end in reversed(segments) if marker == _SCAN)
    tails = (b"", *(_bits(pattern, _next_restart(data[scan:])) for pattern in (b"\x55", b"\xaa")))
    digests = {_digest_of_pixels(data + tail + END) for tail in tails}
    return len(digests) == 1 and None not in digests


def _next_restart(scan: bytes) -> int:
    """Number, 0 to 7, of the next restart marker in entropy-coded data."""
    at, last = max((scan.rfind(bytes([0xFF, 0xD0 + n])), n) for n in range(8))
    return (last + 1) % 8 if at >= 0 else 0


def _bits(pattern: bytes, restart: int) -> bytes:
    """Entropy-coded bits with the restart markers that a decoder may expect."""
    markers = (bytes([0xFF, 0xD0 + (restart + n) % 8]) for n in range(8))
    return pattern * 64 + b"".join(marker + pattern * 64 for marker in markers)


def _digest_of_pixels(data: bytes) -> bytes | None:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            return hashlib.sha256(image.tobytes()).digest()
    except MemoryError:
        raise
    except Exception:  # for broken files Pillow's decoders raise many types
        return None


def _sends_all_coefficients(segments: list[tuple[int, bytes, int]]) -> bool:
    """Whether the scans of a JPEG cover all bits of all 64 coefficients of all components."""
    lacking: dict[int, set[int]] = {}
    for marker, body, _ in segments:
        if marker in _FRAMES and len(body) > 5:
            lacking = {part: set(range(64)) for part in body[6 : 6 + 3 * body[5] : 3]}
        elif marker == _SCAN and body and len(body) >= 4 + 2 * body[0]:
            first, last, precision = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            if precision & 15 == 0:  # all bits are in this scan
                for part in body[1 : 1 + 2 * body[0] : 2]:
                    lacking.get(part, set()).difference_update(range(first, last + 1))
    return bool(lacking) and not any(lacking.values())


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yields marker, content and end offset of each complete marker segment of a JPEG."""
    at = 2
    while 0 <= (at := data.find(b"\xff", at)) <= len(data) - 4:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in (0x00, 0x01) or marker in range(0xD0, 0xDA):  # a marker without a segment
            at += 2
        else:
            end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            if end > len(data):
                return
            yield marker, data[at + 4 : end], end
            at = end


def _sound_chunks(data: bytes) -> Iterator[bytes]:
    """Yields the chunks of a PNG, without texts and without damaged or too large metadata."""
    at = len(_PNG)
    while at < len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        chunk, kind = data[at:end], data[at + 4 : at + 8]
        damaged = zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big")
        needless = kind in _TEXTS or (kind == b"iCCP" and not _inflates(chunk[8:-4]))
        # A lower-case first letter marks an ancillary chunk, which the pixels do not need.
        if not needless and not (damaged and kind[:1].islower()):
            yield chunk
        at = end


def _inflates(profile: bytes) -> bool:
    _, _, packed = profile.partition(b"\0")
    try:
        unpack = zlib.decompressobj()
        unpack.decompress(packed[1:], limits.METADATA_BLOCK)
    except zlib.error:
        return False
    return not unpack.unconsumed_tail
