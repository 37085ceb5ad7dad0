"""HTTP sessions that connect to public IP addresses only, with limits of time and bytes."""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import Timeout

from synth.scraping import html_text
from synth.scraping.outcomes import Outcome, Problem

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def clean(url: str) -> str:
    """An http(s) address without fragment, user and password; see :func:`html_text.normalise_url`.

    Raises:
        Problem: the scheme is another one, or the address is invalid.
    """
    try:
        if urlsplit(url.strip()).scheme not in ("http", "https"):
            raise Problem(Outcome.REFUSED)
        return html_text.normalise_url(url)
    except ValueError:
        raise Problem(Outcome.BAD_ADDRESS) from None


def is_public(text: str) -> bool:
    """Whether an IP address belongs to the public internet.

    An IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64) is checked by itself.

    >>> [is_public(a) for a in ("93.184.215.14", "10.0.0.1", "::ffff:127.0.0.1", "fe80::1%eth0")]
    [True, False, False, False]
    """
    try:
        address: IPAddress = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    inner: list[IPAddress] = []
    if isinstance(address, ipaddress.IPv6Address):
        if address.is_site_local:
            return False
        if address.ipv4_mapped is not None:
            return is_public(str(address.ipv4_mapped))
        inner += [address.sixtofour] if address.sixtofour else []
        inner += list(address.teredo) if address.teredo else []
        if address in _NAT64:
            inner.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return _is_global(address) and all(_is_global(each) for each in inner)


def _is_global(address: IPAddress) -> bool:
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_unspecified
        or address.is_loopback
        or address.is_link_local
        or address.is_private
    )


class Exchange:
    """One running HTTP exchange, which :class:`Watchdog` ends at its deadline.

    Args:
        deadline: time on the monotonic clock.
        room: number of bytes that may still be received. All bytes count, also headers, interim
            responses, and sizes and extensions of chunks.
    """

    def __init__(self, deadline: float, room: int) -> None:
        self.deadline = deadline
        self.room = room
        self.overdue = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def attach(self, used: socket.socket) -> None:
        """Stores a copy of the connection's descriptor, because TLS wraps the original."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            self._socket = socket.socket(fileno=os.dup(used.fileno()))
            if self.overdue:
                self._shut()

    def end(self) -> None:
        """Shuts the connection down, so that a read from it returns."""
        with self._lock:
            self.overdue = True
            self._shut()

    def detach(self) -> None:
        """Closes the copy of the descriptor."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class Watchdog:
    """A thread that ends exchanges at their deadlines, also during handshakes and headers."""

    def __init__(self, tick: float = 0.1) -> None:
        self._exchanges: set[Exchange] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._tick = tick
        threading.Thread(target=self._watch, daemon=True, name="watchdog").start()

    @contextlib.contextmanager
    def exchange(self, seconds: float, room: int) -> Iterator[Exchange]:
        """In the block, limits the requests of this thread to a time and a number of bytes."""
        exchange = Exchange(time.monotonic() + seconds, room)
        _current.exchange = exchange
        with self._lock:
            self._exchanges.add(exchange)
        try:
            yield exchange
        finally:
            _current.exchange = None
            with self._lock:
                self._exchanges.discard(exchange)
            exchange.detach()

    def close(self) -> None:
        """Ends all exchanges now."""
        self._stop.set()
        with self._lock:
            exchanges = list(self._exchanges)
        for exchange in exchanges:
            exchange.end()

    def _watch(self) -> None:
        while not self._stop.wait(self._tick):
            now = time.monotonic()
            with self._lock:
                late = [f for f in self._exchanges if now > f.deadline and not f.overdue]
            for exchange in late:
                exchange.end()


class _Current(threading.local):
    exchange: Exchange | None = None


_current = _Current()


class _CountedReader(io.RawIOBase):
    """A raw stream that counts the received bytes of an exchange."""

    def __init__(self, source: Any, exchange: Exchange) -> None:
        self._source = source
        self._exchange = exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count: int | None = self._source.readinto(buffer)
        self._exchange.room -= count or 0
        if self._exchange.room < 0:
            raise Problem(Outcome.BYTES)
        return count

    def close(self) -> None:
        self._source.close()
        super().close()


class _CountedSocket:
    """A socket whose files count the received bytes."""

    def __init__(self, used: Any, exchange: Exchange) -> None:
        self._used = used
        self._exchange = exchange

    def makefile(self, mode: str) -> io.BufferedReader:
        source = self._used.makefile(mode, buffering=0)
        return io.BufferedReader(_CountedReader(source, self._exchange), 1 << 16)


class _CountedResponse(http.client.HTTPResponse):
    """A response that reads at most as many bytes as its exchange allows."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        exchange = _current.exchange
        super().__init__(_CountedSocket(sock, exchange) if exchange else sock, *args, **kwargs)  # type: ignore[arg-type]


class _CheckedConnection:
    """A connection that resolves a name, checks all its addresses and connects to one of them."""

    response_class: Any = _CountedResponse
    allow_private = False
    host: str
    port: int
    timeout: Any
    sock: Any
    socket_options: Any

    def _new_conn(self) -> socket.socket:
        connection: Any = self
        name = self.host.strip("[]")
        try:
            found = socket.getaddrinfo(name, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError) as error:
            reason = error if isinstance(error, socket.gaierror) else socket.gaierror(str(error))
            raise NameResolutionError(self.host, connection, reason) from error
        if not self.allow_private and not all(is_public(str(item[4][0])) for item in found):
            raise Problem(Outcome.REFUSED)
        last: OSError = OSError("no address")
        for family, kind, protocol, _, address in found[:4]:
            try:
                return self._connect(family, kind, protocol, address)
            except TimeoutError:
                raise ConnectTimeoutError(connection, "timed out") from None
            except OSError as error:
                last = error
        raise NewConnectionError(connection, str(last)) from last

    def _connect(self, family: int, kind: int, protocol: int, address: Any) -> socket.socket:
        made = socket.socket(family, kind, protocol)
        try:
            if isinstance(self.timeout, (int, float)):
                made.settimeout(self.timeout)
            for option in self.socket_options or ():
                made.setsockopt(*option)
            if _current.exchange is not None:
                _current.exchange.attach(made)
            made.connect(address)
            if not self.allow_private and not is_public(str(made.getpeername()[0])):
                raise Problem(Outcome.REFUSED)
        except BaseException:
            made.close()
            raise
        return made

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None and _current.exchange is not None:
            _current.exchange.attach(self.sock)  # a reused connection
        super().request(*args, **kwargs)  # type: ignore[misc]


class _PlainConnection(_CheckedConnection, HTTPConnection):
    pass


class _TLSConnection(_CheckedConnection, HTTPSConnection):
    pass


class _PrivatePlainConnection(_PlainConnection):
    allow_private = True


class _PrivateTLSConnection(_TLSConnection):
    allow_private = True


class _Plain(HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TLS(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class _PrivatePlain(HTTPConnectionPool):
    ConnectionCls = _PrivatePlainConnection


class _PrivateTLS(HTTPSConnectionPool):
    ConnectionCls = _PrivateTLSConnection


class _Adapter(HTTPAdapter):
    def __init__(self, allow_private: bool) -> None:
        self._pools = (
            {"http": _PrivatePlain, "https": _PrivateTLS}
            if allow_private
            else {"http": _Plain, "https": _TLS}
        )
        super().__init__(pool_connections=2, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        self.poolmanager = PoolManager(num_pools=2, maxsize=1)
        self.poolmanager.pool_classes_by_scheme = self._pools


def session(agent: str, allow_private: bool = False) -> requests.Session:
    """A session without proxy, cookies and .netrc.

    It connects to public addresses only, unless ``allow_private`` is set.
    """
    made = _Session()
    made.trust_env = False
    made.cookies = _NoCookies()
    made.headers.clear()
    made.headers.update({"User-Agent": agent, "Accept": "*/*"})
    made.mount("http://", _Adapter(allow_private))
    made.mount("https://", _Adapter(allow_private))
    return made


class _Session(requests.Session):
    def get_redirect_target(self, resp: Any) -> None:
        """None, because requests would read the whole body of a redirect."""


class _NoCookies(RequestsCookieJar):
    def extract_cookies(self, response: Any, request: Any) -> None:
        """Stores no cookie."""


def timeouts(connect: float, read: float) -> Timeout:
    """Timeouts in seconds: to connect, and between two pieces of a response."""
    return Timeout(connect=connect, read=read)
