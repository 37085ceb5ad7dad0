"""One HTTP exchange, with every bound that a hostile server may try: time, bytes, redirects."""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from synth.scraping import addresses, manners
from synth.scraping.addresses import Flight, Watchdog
from synth.scraping.outcomes import Outcome, Problem

_CHUNK = 64 * 1024
_OVERHEAD = 256 * 1024  # bytes of headers and the like, beside twice the most of a body
_MEMBERS = 10_000  # of a gzip body, which may consist of several
_HEAD = 16  # bytes that tell the type of a picture
_RETRY = frozenset({408, 500, 502, 503, 504})
Accept = Callable[[bytes], bool]


class LocalError(Exception):
    """This machine's disk failed, not the server: ends the run."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class Bounds:
    """How long and how much one exchange may take.

    Args:
        connect: seconds to connect.
        read: seconds between two pieces of an answer.
        total: seconds in all, the reading of a page's tags included.
        image_bytes: of a photo, as they are received and as they are decompressed.
        page_bytes: the same of a page, of robots.txt and of what a service answers.
    """

    connect: float = 10.0
    read: float = 20.0
    total: float = 120.0
    image_bytes: int = 50_000_000
    page_bytes: int = 8_000_000


@dataclass(frozen=True)
class Reply:
    """What a server answered.

    Args:
        url: the address asked.
        status: of HTTP.
        location: where it redirects to, absolute, or nothing.
        body: the bytes of a page.
        sha256: of the bytes that went to the file, if one was asked for.
        size: bytes, after decompression.
        charset: that the header names.
        tags: values of X-Robots-Tag.
        deadline: on the monotonic clock, for all that is done with the answer.
    """

    url: str
    status: int
    location: str = ""
    body: bytes = b""
    sha256: str = ""
    size: int = 0
    charset: str = ""
    tags: tuple[str, ...] = ()
    deadline: float = math.inf


class Fetcher:
    """Exchanges with servers; safe to use from several threads, each with its own session."""

    def __init__(self, agent: str, bounds: Bounds, allow_private: bool = False) -> None:
        self._agent = agent
        self._bounds = bounds
        self._allow_private = allow_private
        self._watchdog = Watchdog()

    def session(self) -> requests.Session:
        """A new session, for one request at a time."""
        return addresses.session(self._agent, self._allow_private)

    def close(self) -> None:
        """End every exchange under way."""
        self._watchdog.close()

    def page(self, session: requests.Session, url: str) -> Reply:
        """Fetch a page into memory.

        Raises:
            Problem: it gives none.
        """
        body = bytearray()

        def take(piece: bytes) -> None:
            body.extend(piece)

        reply = self._exchange(session, url, take, self._bounds.page_bytes, compress=True)
        return replace(reply, body=bytes(body))

    def robots(self, session: requests.Session, url: str) -> manners.Robots:
        """Fetch the rules that hold for an address: a missing file allows, a failing host not.

        Raises:
            Problem: the host cannot be reached, or asks to be tried again.
        """
        at = urljoin(url, "/robots.txt")
        for _ in range(6):
            body = bytearray()

            def take(piece: bytes, body: bytearray = body) -> None:
                if len(body) < manners.ROBOTS_BYTES:
                    body.extend(piece)

            reply = self._exchange(session, at, take, self._bounds.page_bytes, compress=True)
            if not reply.location:
                return manners.read_robots(reply.status, bytes(body))
            at = addresses.clean(reply.location)
        return manners.Robots()  # RFC 9309: after five redirects it counts as missing

    def image(self, session: requests.Session, url: str, file: Path, accept: Accept) -> Reply:
        """Fetch a picture into a file, giving up as soon as its first bytes show another type.

        Raises:
            Problem: it gives none; the file is gone.
            LocalError: the file cannot be written.
        """
        digest = hashlib.sha256()
        with contextlib.ExitStack() as stack:
            stack.callback(file.unlink, missing_ok=True)
            try:
                handle = stack.enter_context(file.open("wb"))
            except OSError as error:
                raise LocalError(error) from None

            head = b""

            def take(piece: bytes, last: bool = False) -> None:
                nonlocal head
                if handle.tell() == 0:
                    head = piece = head + piece
                    if len(head) < _HEAD and not last:
                        return  # too little to know its type by
                    if not accept(head):
                        raise Problem(Outcome.NO_IMAGE)
                digest.update(piece)
                try:
                    handle.write(piece)
                except OSError as error:
                    raise LocalError(error) from None

            limit = self._bounds.image_bytes
            reply = self._exchange(session, url, take, limit, compress=False)
            if not reply.location and reply.size == 0:
                raise Problem(Outcome.NO_IMAGE)
            if not reply.location:
                if handle.tell() == 0:
                    take(b"", last=True)
                try:
                    handle.close()
                except OSError as error:
                    raise LocalError(error) from None
                stack.pop_all()
        return replace(reply, sha256=digest.hexdigest())

    def _exchange(
        self,
        session: requests.Session,
        url: str,
        take: Callable[[bytes], None],
        most: int,
        *,
        compress: bool,
    ) -> Reply:
        with self._watchdog.flight(self._bounds.total, 2 * most + _OVERHEAD) as flight:
            try:
                return self._attempt(session, url, take, most, flight, compress)
            except (Problem, LocalError):
                raise
            except Exception as error:  # parsers of hostile answers raise nearly anything
                session.close()  # a connection in doubt is used no more
                if flight.overdue:
                    raise Problem(Outcome.TIMED_OUT) from None
                raise _problem(error) from None

    def _attempt(
        self,
        session: requests.Session,
        url: str,
        take: Callable[[bytes], None],
        most: int,
        flight: Flight,
        compress: bool,
    ) -> Reply:
        bounds = self._bounds
        response = session.get(
            url,
            stream=True,
            allow_redirects=False,
            timeout=addresses.timeouts(bounds.connect, bounds.read),  # type: ignore[arg-type]
            headers={"Accept-Encoding": "gzip" if compress else "identity"},
        )
        done = False
        try:
            headers = response.headers
            reply = Reply(
                url=url,
                status=response.status_code,
                location=_location(response, url),
                charset=response.encoding or "" if "charset" in _type(headers) else "",
                tags=tuple(response.raw.headers.getlist("x-robots-tag")),
                deadline=flight.deadline,
            )
            _check_status(reply, headers.get("Retry-After"), robots=url.endswith("/robots.txt"))
            if reply.location or reply.status != 200:
                return reply
            if not compress and manners.opted_out(reply.tags):
                raise Problem(Outcome.NOAI)
            size = 0
            for piece in _pieces(response, most, flight):
                size += len(piece)
                if size > most:
                    raise Problem(Outcome.BYTES)
                take(piece)
            done = True
            return replace(reply, size=size)
        finally:
            if not done:
                response.close()  # what is unread must not reach the next request


def _type(headers: Any) -> str:
    return str(headers.get("Content-Type", "")).lower()


def _location(response: requests.Response, url: str) -> str:
    if response.status_code not in (301, 302, 303, 307, 308):
        return ""
    raw = response.headers.get("Location", "")
    if not raw:
        raise Problem(Outcome.BAD_ANSWER)
    try:
        # http.client reads headers as Latin-1; addresses in them are UTF-8 by custom.
        return urljoin(url, raw.encode("latin-1", "replace").decode("utf-8", "replace"))
    except ValueError:
        raise Problem(Outcome.BAD_ADDRESS) from None


def _check_status(reply: Reply, asked: str | None, robots: bool) -> None:
    status = reply.status
    if status == 429 or (status == 503 and asked is not None):
        raise Problem(Outcome.BUSY, retry=True, wait=manners.retry_after(asked))
    if status in _RETRY:
        raise Problem(Outcome.HTTP_ERROR, retry=True)
    if robots or status == 200 or reply.location:
        return
    raise Problem(Outcome.NOT_FOUND if status in (404, 410) else Outcome.HTTP_ERROR)


def _pieces(response: requests.Response, most: int, flight: Flight) -> Iterator[bytes]:
    """The decompressed body in pieces of bounded size.

    Raises:
        Problem: it is cut short, too long, too slow or wrongly compressed.
    """
    raw = response.raw
    length = response.headers.get("Content-Length", "")
    promised = int(length) if length.isdecimal() and len(length) < 16 else None
    if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
        promised = None
    if promised is not None and promised > most:
        raise Problem(Outcome.BYTES)
    inflater = _inflater(response.headers.get("Content-Encoding", "").strip().lower())
    received = 0
    while True:
        # One read of the socket at a time: a whole chunk of a slow drip would take for ever.
        piece = raw.read1(_CHUNK, decode_content=False)
        if flight.overdue or time.monotonic() > flight.deadline:
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
            response.close()  # what follows is no part of the body, and may have no end
            return
    if promised is not None and received < promised:
        raise Problem(Outcome.TRUNCATED, retry=True)
    if inflater is not None and received and not inflater.whole:
        raise Problem(Outcome.TRUNCATED, retry=True)


def _inflater(coding: str) -> _Inflater | None:
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip", "deflate"):
        return _Inflater()
    raise Problem(Outcome.BAD_ANSWER)


class _Inflater:
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
                out = self._stream.decompress(piece, _CHUNK)
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


def _problem(error: Exception) -> Problem:
    """Any exception of the HTTP libraries -> what to count."""
    chain: list[BaseException] = []
    at: Any = error
    while at is not None and len(chain) < 8:
        chain.append(at)
        inner = getattr(at, "reason", None) or next(
            (arg for arg in getattr(at, "args", ()) if isinstance(arg, BaseException)), None
        )
        at = inner if isinstance(inner, BaseException) else at.__cause__
    if any(isinstance(e, Problem) for e in chain):
        return next(e for e in chain if isinstance(e, Problem))
    # Before the timeouts: a refused connection is one by its class in urllib3.
    if any(isinstance(e, (NewConnectionError, NameResolutionError)) for e in chain):
        return Problem(Outcome.NO_CONNECTION, retry=True)
    late = (ReadTimeoutError, ConnectTimeoutError, TimeoutError, requests.Timeout)
    if any(isinstance(e, late) for e in chain):
        return Problem(Outcome.TIMED_OUT, retry=True)
    names = {type(e).__name__ for e in chain}
    if "IncompleteRead" in names:
        return Problem(Outcome.TRUNCATED, retry=True)
    invalid = (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema, UnicodeError)
    if isinstance(error, invalid) or "LocationParseError" in names:
        return Problem(Outcome.BAD_ADDRESS)
    if "SSLCertVerificationError" in names:
        return Problem(Outcome.NO_CONNECTION)
    if "RemoteDisconnected" in names or any(isinstance(e, OSError) for e in chain[1:]):
        return Problem(Outcome.NO_CONNECTION, retry=True)
    if "SSLError" in names:
        return Problem(Outcome.NO_CONNECTION, retry=True)
    if any(isinstance(e, HTTPException) for e in chain):
        return Problem(Outcome.BAD_ANSWER)
    if isinstance(error, (OSError, HTTPError)):
        return Problem(Outcome.NO_CONNECTION, retry=True)
    return Problem(Outcome.BAD_ANSWER)
