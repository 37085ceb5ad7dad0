"""A web server on 127.0.0.1 with all kinds of faulty behaviour."""

from __future__ import annotations

import gzip
import io
import socket
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

ROBOTS = """User-agent: *
Disallow: /private/
Disallow: /*.secret.jpg$
Allow: /private/open/
"""


def photo(seed: int, width: int = 320, height: int = 300, kind: str = "JPEG") -> bytes:
    """Bytes of a picture with a different difference hash for each seed."""
    rng = np.random.default_rng([seed, 9])
    small = Image.fromarray(rng.integers(0, 256, (8, 9, 3), dtype=np.uint8))
    out = io.BytesIO()
    small.resize((width, height), Image.Resampling.BICUBIC).save(out, kind, quality=90)
    return out.getvalue()


def bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """A PNG of a few bytes whose header states gigapixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class Server(ThreadingHTTPServer):
    """Serves ``routes``: path -> a function of the handler; everything else is missing."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), Handler)
        self.routes: dict[str, Callable[[Handler], None]] = {}
        self.hits: Counter[str] = Counter()
        self.times: list[tuple[str, float]] = []
        self.agents: set[str] = set()
        self.open = 0
        self.most_open = 0
        self.lock = threading.Lock()
        self.stop_at = time.monotonic() + 120

    @property
    def root(self) -> str:
        """The address of the server."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores errors of connections that clients close."""

    def service_actions(self) -> None:
        """Stops the server if a test does not."""
        if time.monotonic() > self.stop_at:
            threading.Thread(target=self.shutdown, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server
    timeout = 30

    def do_GET(self) -> None:
        """Calls the route of the path."""
        with self.server.lock:
            self.server.hits[self.path] += 1
            self.server.times.append((self.path, time.monotonic()))
            self.server.agents.add(self.headers.get("User-Agent", ""))
            self.server.open += 1
            self.server.most_open = max(self.server.most_open, self.server.open)
        try:
            route = self.server.routes.get(self.path) or self.server.routes.get(
                self.path.partition("?")[0]
            )
            if route is not None:
                route(self)
            else:
                self.answer(b"<h1>missing</h1>", "text/html", 404)
        except OSError:
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.open -= 1

    def answer(
        self, body: bytes, kind: str = "image/jpeg", status: int = 200, **headers: str
    ) -> None:
        """Sends a complete response; given headers replace the usual ones."""
        self.send_response(status)
        usual = {"Content-Type": kind, "Content-Length": str(len(body))}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in (usual | given).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Logs nothing."""

    def drip(self, data: bytes, pause: float = 0.05) -> None:
        """Sends one byte at a time for at most 20 s."""
        for byte in data[:400]:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(pause)

    def reset(self) -> None:
        """Ends the connection with RST."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()


def body(data: bytes, kind: str = "image/jpeg", **headers: str) -> Callable[[Handler], None]:
    """A route with a valid response."""
    return lambda handler: handler.answer(data, kind, **headers)


def redirect(target: str, status: int = 302) -> Callable[[Handler], None]:
    """A route that redirects."""
    return lambda handler: handler.answer(b"", "text/plain", status, Location=target)


def gallery(*images: str, more: str = "", head: str = "") -> Callable[[Handler], None]:
    """A route with a page of images."""
    shown = "".join(f'<img src="{image}">' for image in images)
    return body(f"<html><head>{head}</head>{shown}{more}</html>".encode(), "text/html")


@contextmanager
def serving(host: str = "127.0.0.1") -> Iterator[Server]:
    """A server in a thread, with only a robots.txt that allows everything."""
    server = Server(host)
    server.routes["/robots.txt"] = body(b"User-agent: *\nAllow: /\n", "text/plain")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def misbehave(server: Server) -> dict[str, str]:
    """Adds routes with all kinds of faults; path -> the expected outcome."""
    good = photo(1)
    routes = server.routes
    routes["/robots.txt"] = body(ROBOTS.encode(), "text/plain")
    expected: dict[str, str] = {}

    def add(path: str, outcome: str, route: Callable[[Handler], None]) -> None:
        routes[path] = route
        expected[path] = outcome

    def cut(handler: Handler) -> None:
        handler.answer(good[:3000], Content_Length=str(len(good)))
        handler.close_connection = True

    def chunked_cut(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"1000\r\n" + good[:100])
        handler.close_connection = True

    def reset(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(good)))
        handler.end_headers()
        handler.wfile.write(good[:2000])
        handler.wfile.flush()
        time.sleep(0.05)
        handler.reset()

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(good)))
        handler.end_headers()
        handler.wfile.write(good[:40])
        handler.drip(good[40:])
        handler.close_connection = True

    def drip_headers(handler: Handler) -> None:
        handler.drip(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"a" * 2000)
        handler.close_connection = True

    def silent(handler: Handler) -> None:
        time.sleep(2.5)
        handler.close_connection = True

    def garbage(handler: Handler) -> None:
        handler.wfile.write(b"\x00\xff garbage that is no HTTP at all\r\n\r\n")
        handler.close_connection = True

    def endless(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(good)
        with suppress(OSError):
            for _ in range(200):
                handler.wfile.write(b"\0" * 65536)
        handler.close_connection = True

    def endless_redirect(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/good.jpg?again")
        handler.end_headers()
        with suppress(OSError):
            for _ in range(2000):
                handler.wfile.write(b"x" * 65536)
                time.sleep(0.002)
        handler.close_connection = True

    add("/good.jpg", "saved", body(good))
    add("/moving.jpg", "duplicate", endless_redirect)
    add("/same.jpg", "duplicate", body(good))
    near = io.BytesIO()
    Image.open(io.BytesIO(good)).save(near, "JPEG", quality=60)
    add("/near.jpg", "near-duplicate", body(near.getvalue()))
    add("/named.txt.jpg", "saved", body(photo(2, kind="PNG"), "text/plain"))
    add("/..%2F..%2Fx.jpg", "saved", body(photo(3), Content_Disposition="filename=../../x.jpg"))
    add("/gzipped.jpg", "saved", body(gzip.compress(photo(4)), Content_Encoding="gzip"))
    add("/private/a.jpg", "robots", body(photo(5)))
    add("/b.secret.jpg", "robots", body(photo(6)))
    add("/private/open/c.jpg", "saved", body(photo(7)))
    add("/noai.jpg", "noai", body(photo(8), X_Robots_Tag="noai, noimageai"))
    add("/noindex.jpg", "noai", body(photo(9), X_Robots_Tag="acuity: noindex"))
    add("/pixel.gif", "too small", body(photo(10, 1, 1, "GIF"), "image/gif"))
    add("/small.jpg", "too small", body(photo(11, 100, 90)))
    add("/bomb.png", "too many pixels", body(bomb(), "image/png"))
    add("/page.jpg", "not an image", body(b"<html>No such photo</html>", "image/jpeg"))
    add("/drawing.svg.jpg", "not an image", body(b"<svg xmlns='a'></svg>", "image/svg+xml"))
    add("/empty.jpg", "not an image", body(b""))
    add("/broken.jpg", "broken image", body(good[:4000]))
    add("/short.jpg", "broken image", body(good, Content_Length="3000", Connection="close"))
    add("/cut.jpg", "truncated", cut)
    add("/chunked.jpg", "truncated", chunked_cut)
    add("/reset.jpg", "connection failed", reset)
    add("/drip.jpg", "timed out", drip)
    add("/headers.jpg", "timed out", drip_headers)
    add("/silent.jpg", "timed out", silent)
    add("/garbage.jpg", "bad answer", garbage)
    zeros = gzip.compress(photo(12) + b"\0" * 30_000_000)
    add("/bomb.jpg", "too many bytes", body(zeros, Content_Encoding="gzip"))
    add("/endless.jpg", "too many bytes", endless)
    add("/huge.jpg", "too many bytes", body(good, Content_Length="99999999999"))
    add("/zipped.jpg", "bad answer", body(good, Content_Encoding="gzip"))
    add("/strange.jpg", "bad answer", body(good, Content_Encoding="zebra"))
    add("/loop.jpg", "redirect loop", redirect("/loop2.jpg"))
    routes["/loop2.jpg"] = redirect("/loop.jpg")
    for k in range(12):
        routes[f"/hop{k}.jpg"] = redirect(f"/hop{k + 1}.jpg")
    add("/hop.jpg", "redirect loop", redirect("/hop0.jpg"))
    add("/file.jpg", "refused address", redirect("file:///etc/hostname"))
    add("/moved.jpg", "saved", redirect("/there.jpg", 301))
    routes["/there.jpg"] = body(photo(13))
    add("/nowhere.jpg", "bad answer", redirect(""))
    add("/odd.jpg", "bad address", redirect("http://[::1/x.jpg"))
    add("/gone.jpg", "not found", lambda h: h.answer(b"", status=410))
    add("/teapot.jpg", "http error", lambda h: h.answer(b"", status=418))
    add("/failing.jpg", "http error", lambda h: h.answer(b"", status=500))
    add("/storm.jpg", "rate limited", lambda h: h.answer(b"", status=429, Retry_After="0"))
    return expected
