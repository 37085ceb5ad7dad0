"""Reading of the body of an HTTP response within limits of time and bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator

import requests

from synth.scraping import decompression
from synth.scraping.addresses import Exchange
from synth.scraping.decompression import CHUNK
from synth.scraping.outcomes import Outcome, Problem


def pieces(response: requests.Response, most: int, exchange: Exchange) -> Iterator[bytes]:
    """Yields the decompressed body in pieces of bounded size.

    Args:
        response: the response.
        most: largest number of bytes of the body as received.
        exchange: the running exchange.

    Raises:
        Problem: the body is incomplete, too long, too slow or not validly compressed.
    """
    raw = response.raw
    length = response.headers.get("Content-Length", "")
    promised = int(length) if length.isdecimal() and len(length) < 16 else None
    if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
        promised = None
    if promised is not None and promised > most:
        raise Problem(Outcome.BYTES)
    inflater = decompression.inflater(response.headers.get("Content-Encoding", "").strip().lower())
    received = 0
    while True:
        # One read of the socket at a time, because a slow server may take very long for a chunk.
        piece = raw.read1(CHUNK, decode_content=False)
        if exchange.overdue or time.monotonic() > exchange.deadline:
            raise Problem(Outcome.TIMED_OUT)
        if not piece:
            break
        received += len(piece)
        if received > most:
            raise Problem(Outcome.BYTES)
        if inflater is None:
            yield piece
            continue
        yield from inflater.inflate(piece)
        if inflater.ended:
            response.close()  # the remaining data is not part of the body and may not end
            return
    if promised is not None and received < promised:
        raise Problem(Outcome.TRUNCATED, retry=True)
    if inflater is not None and received and not inflater.whole:
        raise Problem(Outcome.TRUNCATED, retry=True)
