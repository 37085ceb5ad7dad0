"""Decompression of HTTP bodies (gzip, zlib, raw deflate) into pieces of bounded size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from synth.scraping.outcomes import Outcome, Problem

CHUNK = 64 * 1024  # bytes of the largest piece
_MEMBERS = 10_000  # largest number of members of a gzip body


class Inflater:
    """Decompresses a body piece by piece: gzip with one or several members, zlib, raw deflate.

    Attributes:
        ended: whether the data after the last member is not another member; it is not read.
    """

    def __init__(self) -> None:
        self.ended = False
        self._stream: Any = None
        self._members = 0
        self._held = b""

    @property
    def whole(self) -> bool:
        """Whether the data so far ends at the end of a member."""
        return self._stream is not None and bool(self._stream.eof)

    def inflate(self, piece: bytes) -> Iterator[bytes]:
        """Yields the decompressed next piece in pieces of bounded size.

        Raises:
            Problem: the compressed data is invalid.
        """
        piece, self._held = self._held + piece, b""
        while piece and not self.ended:
            if self._stream is None or self._stream.eof:
                if len(piece) < 2:
                    self._held = piece  # too short to determine the format
                    return
                self._begin(piece)
                if self.ended:
                    return
            try:
                out = self._stream.decompress(piece, CHUNK)
            except zlib.error:
                raise Problem(Outcome.BAD_ANSWER) from None
            piece = self._stream.unconsumed_tail or self._stream.unused_data
            if out:
                yield out

    def _begin(self, piece: bytes) -> None:
        """Starts a member; only gzip can have several."""
        gzip = piece.startswith(b"\x1f\x8b")
        if self._members and not gzip:
            self.ended = True
            return
        self._members += 1
        if self._members > _MEMBERS:
            raise Problem(Outcome.BAD_ANSWER)
        wrapped = piece[0] & 15 == 8 and int.from_bytes(piece[:2], "big") % 31 == 0
        self._stream = zlib.decompressobj(wbits=47 if gzip or wrapped else -15)


def inflater(coding: str) -> Inflater | None:
    """A decompressor for a Content-Encoding in lower case; None for an uncompressed body.

    Raises:
        Problem: another compression, which was not requested.
    """
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip", "deflate"):
        return Inflater()
    raise Problem(Outcome.BAD_ANSWER)
