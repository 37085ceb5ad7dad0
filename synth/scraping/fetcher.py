"""HTTP exchanges with limits of time and bytes, also against hostile servers."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import requests

from synth import limits
from synth.scraping import addresses, network_errors, politeness, response_body
from synth.scraping.addresses import Exchange, Watchdog
from synth.scraping.outcomes import Outcome, Problem

_OVERHEAD = 256 * 1024  # bytes of headers etc., added to twice the limit of the body
_HEAD = 16  # bytes from which the format of a picture is determined
_RETRY = frozenset({408, 500, 502, 503, 504})
Accept = Callable[[bytes], bool]


class LocalError(Exception):
    """A file could not be written on this machine; ends the run."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class Bounds:
    """Limits of one exchange.

    Args:
        connect: seconds to connect.
        read: seconds between two pieces of a response.
        total: seconds for the whole exchange, including the parsing of a page.
        image_bytes: bytes of a photo, both received and decompressed.
        page_bytes: bytes of a page, robots.txt or response of a service, received and decompressed.
    """

    connect: float = 10.0
    read: float = 20.0
    total: float = 120.0
    image_bytes: int = limits.WEB_BYTES
    page_bytes: int = 8_000_000


@dataclass(frozen=True)
class Reply:
    """The response of a server.

    Args:
        url: the requested address.
        status: HTTP status code.
        location: absolute target of a redirect, or "".
        body: bytes of a page.
        sha256: SHA-256 of the bytes written to the file, if any.
        size: number of bytes after decompression.
        charset: charset in the header, or "".
        tags: values of X-Robots-Tag.
        deadline: time on the monotonic clock at which processing of the response must end.
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
    """Fetches pages and photos; thread-safe if each thread has its own session."""

    def __init__(self, agent: str, bounds: Bounds, allow_private: bool = False) -> None:
        self._agent = agent
        self._bounds = bounds
        self._allow_private = allow_private
        self._watchdog = Watchdog()

    def session(self) -> requests.Session:
        """A new session, for one request at a time."""
        return addresses.session(self._agent, self._allow_private)

    def close(self) -> None:
        """Ends all running exchanges."""
        self._watchdog.close()

    def page(self, session: requests.Session, url: str) -> Reply:
        """Fetches a page into memory.

        Raises:
            Problem: the request failed.
        """
        body = bytearray()

        def take(piece: bytes) -> None:
            body.extend(piece)

        reply = self._exchange(session, url, take, self._bounds.page_bytes, compress=True)
        return replace(reply, body=bytes(body))

    def robots(self, session: requests.Session, url: str) -> politeness.Robots:
        """Fetches robots.txt of an address's host.

        A missing file allows all addresses, a server error none.

        Raises:
            Problem: the host cannot be reached, or the request must be repeated later.
        """
        at = urljoin(url, "/robots.txt")
        for _ in range(6):
            body = bytearray()

            def take(piece: bytes, body: bytearray = body) -> None:
                if len(body) < politeness.ROBOTS_BYTES:
                    body.extend(piece)

            reply = self._exchange(session, at, take, self._bounds.page_bytes, compress=True)
            if not reply.location:
                return politeness.read_robots(reply.status, bytes(body))
            at = addresses.clean(reply.location)
        return politeness.Robots()  # RFC 9309: after five redirects the file counts as missing

    def image(self, session: requests.Session, url: str, file: Path, accept: Accept) -> Reply:
        """Fetches a picture into a file; stops if ``accept`` rejects the first bytes.

        Raises:
            Problem: there is no picture; the file is deleted.
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
                        return  # too short to determine the format
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
        with self._watchdog.exchange(self._bounds.total, 2 * most + _OVERHEAD) as exchange:
            try:
                return self._attempt(session, url, take, most, exchange, compress)
            except (Problem, LocalError):
                raise
            except Exception as error:  # parsers of invalid responses raise many types
                session.close()  # a failed connection is not reused
                if exchange.overdue:
                    raise Problem(Outcome.TIMED_OUT) from None
                raise network_errors.problem_of(error) from None

    def _attempt(
        self,
        session: requests.Session,
        url: str,
        take: Callable[[bytes], None],
        most: int,
        exchange: Exchange,
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
                deadline=exchange.deadline,
            )
            _check_status(reply, headers.get("Retry-After"), robots=url.endswith("/robots.txt"))
            if reply.location or reply.status != 200:
                return reply
            if not compress and politeness.forbids_use(reply.tags):
                raise Problem(Outcome.NOAI)
            size = 0
            for piece in response_body.pieces(response, most, exchange):
                size += len(piece)
                if size > most:
                    raise Problem(Outcome.BYTES)
                take(piece)
            done = True
            return replace(reply, size=size)
        finally:
            if not done:
                response.close()  # unread bytes must not be taken for the next response


def _type(headers: Any) -> str:
    return str(headers.get("Content-Type", "")).lower()


def _location(response: requests.Response, url: str) -> str:
    if response.status_code not in (301, 302, 303, 307, 308):
        return ""
    raw = response.headers.get("Location", "")
    if not raw:
        raise Problem(Outcome.BAD_ANSWER)
    try:
        # http.client reads headers as Latin-1; addresses in them are usually UTF-8.
        return urljoin(url, raw.encode("latin-1", "replace").decode("utf-8", "replace"))
    except ValueError:
        raise Problem(Outcome.BAD_ADDRESS) from None


def _check_status(reply: Reply, asked: str | None, robots: bool) -> None:
    status = reply.status
    if status == 429 or (status == 503 and asked is not None):
        raise Problem(Outcome.BUSY, retry=True, wait=politeness.retry_after(asked))
    if status in _RETRY:
        raise Problem(Outcome.HTTP_ERROR, retry=True)
    if robots or status == 200 or reply.location:
        return
    raise Problem(Outcome.NOT_FOUND if status in (404, 410) else Outcome.HTTP_ERROR)
