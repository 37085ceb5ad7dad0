"""Decompression of HTTP bodies (gzip, zlib, bare deflate) into pieces of bounded size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

from synth.scraping.outcomes import Outcome, Problem

CHUNK = 64 * 1024  # bytes of the largest piece
_MEMBERS = 10_000  # of a gzip body, which may consist of several


class Inflater:
    """Decompresses a body piece by piece: gzip of one or several members, zlib, bare deflate.

    Attributes:
        ended: something follows that is no further member; it is not read.
    """

    def __init__(self) -> None:
        self.ended = False
        self._stream: Any = None
        self._members = 0
        self._held = b""

    @property
    def whole(self) -> bool:
        """Whether what was given so far ends with the end of a member."""
        return self._stream is not None and bool(self._stream.eof)

    def inflate(self, piece: bytes) -> Iterator[bytes]:
        """What the next piece becomes, in pieces of bounded size.

        Raises:
            Problem: it is wrongly compressed.
        """
        piece, self._held = self._held + piece, b""
        while piece and not self.ended:
            if self._stream is None or self._stream.eof:
                if len(piece) < 2:
                    self._held = piece  # too little to know its form by
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
        """Prepare for a member; of several, all are gzip."""
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
    """The decompressor for a Content-Encoding in lower case; None for an uncompressed body.

    Raises:
        Problem: another compression, which was not asked for.
    """
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip", "deflate"):
        return Inflater()
    raise Problem(Outcome.BAD_ANSWER)
