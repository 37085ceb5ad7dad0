"""Hostile pages, responses and texts: bounded in time, memory and bytes, and escaped."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synth import card, csv_cells, dataset, photos
from synth.errors import InputError
from synth.scraping import html_text, html_tree, pages, politeness, scraper, services, sources
from synth.scraping.fetcher import Bounds
from synth.scraping.options import Options
from synth.scraping.outcomes import Outcome, Problem
from synth.scraping.sources import Endpoints
from synth.scraping.traffic import Politeness

sys.path.append(str(Path(__file__).parent))

import badserver

SWIFT = Politeness(delay=0.0, retries=0, backoff=0.01, longest_wait=2.0, per_host=2, threads=4)
SMALL = Bounds(connect=2.0, read=2.0, total=8.0, image_bytes=200_000, page_bytes=200_000)
OPTIONS = Options(allow_private=True, politeness=SWIFT, bounds=SMALL, min_side=64)
# What a server gets rid of before it notices: twice the bound, and what the sockets hold.
SENT = 12_000_000


def outcomes(out: Path) -> dict[str, str]:
    """Path -> outcome of each address of an image or page."""
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    known = {line.get("url") or line.get("page"): line.get("outcome", "read") for line in lines}
    return {url.partition("//")[2].partition("/")[2]: o for url, o in known.items() if url}


def soon() -> float:
    """A deadline that linear work meets and quadratic work does not."""
    return time.monotonic() + 20


# Pages


@pytest.mark.parametrize(
    ("html", "cut"),
    [
        (b"<img>" * 120_000 + b"</b>" * 120_000, ""),
        (b"<i>" * 900 + b"</b>" * 100_000, ""),
        (b"<section>" * 100_000, "nested deeper than 1000"),
        (b"<b>" * 21_000 + b"</i>" * 1_000_000, "nested deeper than 1000"),
        (b"<a" + b"".join(b" %x=c" % k for k in range(700_000)) + b">", "1000 attributes"),
        (b"<br>" * 400_000, "more than 300000 tags"),
        (b"<" * 4_000_000, ""),
        (b"<img srcset='" + b"a 1w," * 1_000_000 + b"'>", ""),
        (b"<picture>" + b"<source srcset='%s'>" % (b"a 1w," * 9000) * 50 + b"<img>" * 90_000, ""),
        (b"<a href='" + b"x" * 2_000_000 + b" '>" + b"<img src=y>" * 90_000, ""),
        (b"<script type=ld+json>" + b"[" * 2_000_000, "JSON-LD nested too deeply"),
        (b"<script type=ld+json>[" + b"{}," * 90_000 + b"0]", "20000 objects of JSON-LD"),
        (b"<meta charset=punycode>abc-" + b"zz9a" * 1_000_000, ""),
    ],
    ids=itertools.count(),
)
def test_pages_that_cost_the_square_of_their_length(html: bytes, cut: str) -> None:
    page = pages.read(html, "http://h/", until=soon())
    assert cut in page.cut
    assert bool(cut) == bool(page.cut)


def test_addresses_are_made_absolute_within_a_bound() -> None:
    base = b"<base href='http://h/" + b"a/" * 2000 + b"'>"
    html = base + b"".join(b"<a class=next href=//h2/%d><img src=//[%d>" % (k, k) for k in range(9))
    assert not pages.read(html, "http://h/").cut
    html = base + b"".join(b"<a class=next href=%d>" % k for k in range(20_000))
    page = pages.read(html, "http://elsewhere/", until=soon())
    assert "characters of addresses" in page.cut


@pytest.mark.parametrize(
    ("piece", "limit"),
    [
        (b"<a href=%d.jpg>x</a>", "more than 10000 images"),
        (b"<a rel=next href=/%d>x</a>", "more than 20 next pages"),
    ],
)
def test_a_page_cut_at_a_limit_names_the_limit(piece: bytes, limit: str) -> None:
    html = b"".join(piece % k for k in range(10_500))
    page = pages.read(html, "http://h/", until=soon())
    assert page.cut == limit
    few = b"".join(piece % k for k in range(20))
    assert not pages.read(few, "http://h/").cut


def test_the_deadline_holds_while_a_page_is_read() -> None:
    for html in (b"<p>" * 200_000, b"<img src=a>", b"<a rel=next href=b>"):
        with pytest.raises(Problem) as caught:
            pages.read(html, "http://h/", until=time.monotonic() - 1)
        assert caught.value.outcome is Outcome.TIMED_OUT


def test_reading_a_page_counts_to_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(until: float) -> None:
        raise Problem(Outcome.TIMED_OUT)

    monkeypatch.setattr(html_tree, "check_deadline", late)
    with badserver.serving() as server:
        server.routes["/"] = badserver.gallery("/a.jpg")
        summary = scraper.scrape([server.root + "/"], tmp_path / "out", OPTIONS)
    assert {str(k): n for k, n in summary.outcomes.items()} == {"timed out": 1}


_MEMORY = """
import resource, sys
from synth.scraping import pages
pages.read(b"<a href=x>", "http://h/")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000,) * 2)
for html in (
    b"<a" + b" b=c" * 1_900_000 + b">",
    b"<img src=a>" * 700_000,
    b"<script type=ld+json>[" + b"{}," * 2_600_000 + b"0]",
    b"".join(b"<figure><img src=%d>" % k for k in range(300_000)),
):
    pages.read(html, "http://h/")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_pages_of_eight_megabytes_take_no_gigabyte() -> None:
    subprocess.run([sys.executable, "-c", _MEMORY], check=True)


def test_a_page_read_in_part_is_told_again_when_resumed(tmp_path: Path) -> None:
    with badserver.serving() as server:
        names = [f"/{k}.jpg" for k in range(3)]
        for k, name in enumerate(names):
            server.routes[name] = badserver.body(badserver.photo(k, 96, 80))
        server.routes["/"] = badserver.gallery(*names, more="<b>" * 1200)
        few = Options(allow_private=True, politeness=SWIFT, bounds=SMALL, min_side=64, limit=2)
        word = server.root + "/"
        summary = scraper.scrape([word], tmp_path / "out", few)
        assert len(summary.rows) == 2
        assert summary.outcomes[Outcome.PART] == 1
        assert summary.notes == [f"{word}: read in part, tags nested deeper than 1000"]
        log = tmp_path / "out" / "manifest.jsonl"  # as a killed run leaves it
        log.write_bytes(b"".join(log.read_bytes().splitlines(keepends=True)[:-1]))
        assert scraper.scrape([word], tmp_path / "out", OPTIONS).notes == summary.notes


def test_a_gallery_without_end(tmp_path: Path) -> None:
    """Each page links to twenty new pages without photos; the limit of pages ends the run."""
    number = itertools.count()
    with badserver.serving() as server:

        def page(handler: badserver.Handler) -> None:
            links = "".join(f"<a rel=next href=/p{next(number)}>x</a>" for _ in range(20))
            handler.answer(links.encode(), "text/html")

        class Routes(dict[str, Callable[[badserver.Handler], None]]):
            def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
                return page if key.startswith("/p") else super().get(key)

        server.routes = Routes(server.routes)
        options = Options(allow_private=True, politeness=SWIFT, bounds=SMALL, depth=2)
        summary = scraper.scrape([server.root + "/p"], tmp_path / "out", options)
        assert sum(n for path, n in server.hits.items() if path.startswith("/p")) == 21
    assert "more than 21 pages" in summary.notes[0]


def test_tags_within_links_and_figures() -> None:
    html = b"""<figure><a rel=license href=l>CC<!-- x -->0 &eacute;t&eacute;</a><img src=1.jpg>
    <picture><source type=image/svg+xml srcset="v.svg 9x"><source srcset="s.jpg 2x, l.jpg 3x">
    <img src=2.jpg srcset="own.jpg 1x"></picture></figure><p><a rel=next href=/2>
    <span>older posts</span></a><noscript><img src=3.jpg></noscript><textarea><img src=no.jpg>
    </textarea><svg><title>no</title></svg>"""
    page = pages.read(html, "http://h/")
    assert [image.url for image in page.images] == [f"http://h/{n}.jpg" for n in ("1", "l", "3")]
    assert page.images[0].licence == "CC0 été"
    assert page.following == ("http://h/2",)


@example("a")
@given(st.text(alphabet=st.sampled_from("<>/=\"' \n&;!-[]{}:,abimgsrcfhtp?#@\0\u202e\U0001f600")))
def test_any_text_is_a_page(text: str) -> None:
    page = pages.read(
        f"<base href='http://u:p@h/'><a href='{text}.jpg'>{text}".encode(), "http://h/"
    )
    for image in page.images:
        assert image.url.isprintable()
        assert "@" not in image.url.split("/")[2]


# Answers


@contextmanager
def raw(answer: Callable[[Callable[[bytes], None], str], None]) -> Iterator[tuple[str, list[int]]]:
    """A server of raw bytes -> its address, and the bytes sent per connection.

    ``answer`` gets a function that sends bytes, and the requested path.

    It answers robots.txt by 404 unless ``answer`` sends something for it.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    sent: list[int] = []

    def answer_one(connection: socket.socket) -> None:
        total = 0

        def send(data: bytes) -> None:
            nonlocal total
            connection.sendall(data)
            total += len(data)

        with connection, suppress(OSError):
            connection.settimeout(10)
            path = connection.recv(65536).split()[1].decode()
            answer(send, path)
            if total == 0:
                send(b"HTTP/1.1 404 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        sent.append(total)

    def serve() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(
                    target=answer_one, args=(listener.accept()[0],), daemon=True
                ).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", sent
    finally:
        listener.close()


HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = HEAD + b"Content-Encoding: gzip\r\n\r\n"
JPEG = badserver.photo(1, 96, 80)
# Name -> what is sent first, what is sent again and again, and what a photo comes to.
ENDLESS = {
    "body": (HEAD + b"\r\n" + JPEG, b"A" * 65536, "too many bytes"),
    "chunks": (CHUNKED + b"%x\r\n%b\r\n" % (len(JPEG), JPEG), b"1000\r\n" + b"A" * 4096 + b"\r\n",
               "too many bytes"),
    "extensions": (CHUNKED, b"1;" + b"e" * 60_000 + b"\r\n\xff\r\n", "too many bytes"),
    "trailers": (CHUNKED + b"%x\r\n%b\r\n0\r\n" % (len(JPEG), JPEG), b"X: y\r\n" * 9000,
                 "too many bytes"),
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000, "too many bytes"),
    "headers": (HEAD, b"X: y\r\n" * 9000, "bad answer"),
    "header": (HEAD + b"X: ", b"y" * 65536, "bad answer"),
    "gzip tail": (GZIP + gzip.compress(JPEG), b"A" * 65536, "saved"),
    "gzip members": (GZIP + gzip.compress(JPEG), gzip.compress(b"") * 3000, "too many bytes"),
    "gzip zeros": (GZIP, b"\0" * 65536, "bad answer"),
    "inflated": (GZIP, gzip.compress(JPEG + b"\0" * 50_000_000), "too many bytes"),
    "deflate": (HEAD + b"Content-Encoding: deflate\r\n\r\n" + zlib.compress(JPEG), b"A" * 65536,
                "saved"),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_without_end(tmp_path: Path, kind: str) -> None:
    first, again, expected = ENDLESS[kind]

    def answer(send: Callable[[bytes], None], path: str) -> None:
        if path == "/a.jpg":
            send(first)
            for _ in range(60_000_000 // len(again)):
                send(again)

    with raw(answer) as (root, sent):
        scraper.scrape([root + "/a.jpg"], tmp_path / "out", OPTIONS)
        until = time.monotonic() + 10
        while len(sent) < 2 and time.monotonic() < until:
            time.sleep(0.01)
    assert outcomes(tmp_path / "out") == {"a.jpg": expected}
    assert max(sent) < SENT


@pytest.mark.parametrize("path", ["/robots.txt", "/page", "/api"])
@pytest.mark.parametrize("kind", ["body", "gzip tail", "inflated", "interim", "extensions"])
def test_no_other_answer_without_end_either(tmp_path: Path, path: str, kind: str) -> None:
    first, again, _ = ENDLESS[kind]

    def answer(send: Callable[[bytes], None], asked: str) -> None:
        if asked.partition("?")[0] == path:
            send(first)
            for _ in range(60_000_000 // len(again)):
                send(again)

    with raw(answer) as (root, sent):
        ends = Endpoints(root + "/api", root + "/api")
        options = Options(allow_private=True, politeness=SWIFT, bounds=SMALL, endpoints=ends)
        word = "openverse:x" if path == "/api" else root + "/page"
        summary = scraper.scrape([word], tmp_path / "out", options)
        until = time.monotonic() + 10
        while not sent and time.monotonic() < until:
            time.sleep(0.01)
    assert not summary.rows
    assert max(sent) < SENT


def test_content_codings(tmp_path: Path) -> None:
    half = len(JPEG) // 2
    bare = zlib.compressobj(wbits=-15)
    bodies = {
        "/gzip.jpg": (gzip.compress(badserver.photo(2, 96, 80)), "gzip"),
        "/members.jpg": (gzip.compress(JPEG[:half]) + gzip.compress(JPEG[half:]), "gzip"),
        "/zlib.jpg": (zlib.compress(badserver.photo(3, 96, 80)), "deflate"),
        "/bare.jpg": (bare.compress(badserver.photo(4, 96, 80)) + bare.flush(), "deflate"),
        "/cut.jpg": (gzip.compress(badserver.photo(5, 96, 80))[:-9], "gzip"),
        "/wrong.jpg": (gzip.compress(JPEG)[:-8] + b"\0" * 8, "gzip"),
        "/brotli.jpg": (JPEG, "br"),
        "/twice.jpg": (JPEG, "gzip, gzip"),
    }
    with badserver.serving() as server:
        for name, (data, coding) in bodies.items():
            server.routes[name] = badserver.body(data, Content_Encoding=coding)
        server.routes["/"] = badserver.gallery(*bodies)
        scraper.scrape([server.root + "/"], tmp_path / "out", OPTIONS)
    assert outcomes(tmp_path / "out") == {
        "": "read",
        **dict.fromkeys(("gzip.jpg", "members.jpg", "zlib.jpg", "bare.jpg"), "saved"),
        "cut.jpg": "truncated",
        **dict.fromkeys(("wrong.jpg", "brotli.jpg", "twice.jpg"), "bad answer"),
    }


def test_failed_connections_are_no_timeouts(tmp_path: Path) -> None:
    with badserver.serving() as server, socket.create_server(("127.0.0.1", 0)) as closed:
        plain_port = server.server_address[1]
        refused = closed.getsockname()[1]
        closed.close()
        words_ = [
            f"http://127.0.0.1:{refused}/refused.jpg",
            "http://no-such-host.invalid/unknown.jpg",
            f"https://127.0.0.1:{plain_port}/no-tls.jpg",
        ]
        scraper.scrape(words_, tmp_path / "out", OPTIONS)
    assert set(outcomes(tmp_path / "out").values()) == {"connection failed"}


def test_a_self_signed_certificate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise ssl.SSLCertVerificationError("self-signed certificate")

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", refuse)
    with badserver.serving() as server:
        word = server.root.replace("http:", "https:") + "/a.jpg"
        scraper.scrape([word], tmp_path / "out", OPTIONS)
    assert outcomes(tmp_path / "out") == {"a.jpg": "connection failed"}


def test_a_host_that_dies_after_its_page_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    real = socket.socket.connect

    def connect(self: socket.socket, address: tuple[str, int]) -> None:
        nonlocal tries
        tries += 1
        if tries > 1:
            raise ConnectionRefusedError("refused")
        real(self, address)

    with badserver.serving() as server:
        names = [f"/{k}.jpg" for k in range(40)]
        page = badserver.gallery(*names)

        def last(handler: badserver.Handler) -> None:
            page(handler)
            handler.close_connection = True

        server.routes["/"] = last
        monkeypatch.setattr(socket.socket, "connect", connect)
        one = Politeness(delay=0.0, retries=0, backoff=0.01, threads=1)
        options = Options(allow_private=True, politeness=one, bounds=SMALL)
        scraper.scrape([server.root + "/"], tmp_path / "out", options)
    found = outcomes(tmp_path / "out")
    assert [found[name[1:]] for name in names] == ["connection failed"] * 40
    assert tries == 1 + 10


# robots.txt


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("User-agent: acuity/9\nDisallow: /", False),
        ("User-agent: *\nAllow: /\n\nUser-agent: Acuity/0.1 (photo collector)\nDisallow: /", False),
        ("user agent acuity\ndisallow /", False),
        ("User-agent: other\nUser-agent: ACUITY\n# x\n\nSitemap: /s\nDisallow: /", False),
        ("User-agent: acuity\nDisallow: /a\n\nUser-agent: acuity/2\nDisallow: /", False),
        ("User-agent: acuity*\nDisallow: /", False),
        ("User-agent: acuity-news\nDisallow: /", True),
        ("User-agent: notacuity\nDisallow: /", True),
        ("User-agent: acu\nDisallow: /", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: acuity/1\nDisallow:", True),
        ("User-agent: *\nDisallow: /", False),
        ("Disallow: /", True),
    ],
)
def test_robots_names_us_by_the_product_token(text: str, allowed: bool) -> None:
    for ends in ("\n", "\r\n", "\r"):
        robots = politeness.read_robots(200, text.replace("\n", ends).encode())
        assert robots.allows("http://h/x.jpg") is allowed


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"User-agent: b{k}\n" for k in range(30_000)) + "Disallow: /x\n" * 8000,
        "User-agent: *\n" + "".join(f"Disallow: /{k}*x$\n" for k in range(25_000)),
        "User-agent: *\n" + "".join(f"Disallow: /{k}\n" for k in range(35_000)),
        "User-agent:" + " " * 480_000 + "x",
    ],
    ids=itertools.count(),
)
def test_robots_of_half_a_megabyte(text: str) -> None:
    until = soon()
    robots = politeness.read_robots(200, text.encode())
    for k in range(100):
        robots.allows(f"http://h/{k}a")
    assert robots.delay() == 0
    assert time.monotonic() < until


# Texts


def test_no_password_reaches_a_file(tmp_path: Path) -> None:
    with badserver.serving() as server:
        inside = server.root.replace("http://", "http://me:secret@")
        server.routes["/a.jpg"] = badserver.body(JPEG)
        terms = f"<a rel=license href='{inside}/terms'>free</a>"
        page = f"<figure><img src='{inside}/a.jpg' alt='a\0b\u202ec\x1b[1m'>{terms}</figure>"
        server.routes["/g"] = badserver.body(page.encode(), "text/html")
        (tmp_path / "list.csv").write_text(f"source\n{inside}/g\n")
        scraper.scrape([str(tmp_path / "list.csv")], tmp_path / "out", OPTIONS)
        scraper.scrape([inside + "/g"], tmp_path / "out", OPTIONS)
    rows = list(csv.DictReader((tmp_path / "out" / "photos.csv").open(encoding="utf-8")))
    assert rows[0]["source_url"] == server.root + "/a.jpg"
    assert rows[0]["licence_url"] == server.root + "/terms"
    assert rows[0]["title"] == "a\ufffdbc[1m"
    for file in ("photos.csv", "manifest.jsonl"):
        assert "secret" not in (tmp_path / "out" / file).read_text()


@pytest.mark.parametrize("word", ["ftp://me:secret@h/", "http://me:sec/ret@h/", "x://me:secret@h"])
def test_no_password_reaches_an_error(word: str) -> None:
    with pytest.raises(InputError) as caught:
        sources.parse([word])
    assert "ret" not in str(caught.value)


def test_a_manifest_of_an_earlier_version_is_tamed(tmp_path: Path) -> None:
    with badserver.serving() as server:
        server.routes["/a.jpg"] = badserver.body(JPEG)
        scraper.scrape([server.root + "/a.jpg"], tmp_path / "out", OPTIONS)
        log = tmp_path / "out" / "manifest.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        for line in lines:
            if "row" in line:
                line["row"] |= {"page_url": "http://me:secret@h/\u202e", "author": "\0=1\n+1"}
        log.write_text("".join(json.dumps(line) + "\n" for line in lines))
        scraper.scrape([server.root + "/a.jpg"], tmp_path / "out", OPTIONS)
    row = next(csv.DictReader((tmp_path / "out" / "photos.csv").open(encoding="utf-8")))
    assert (row["page_url"], row["author"]) == ("http://h/%E2%80%AE", "'=1 +1")


def test_addresses_of_services_are_tamed() -> None:
    item = {"url": "//me:secret@h/a\0.jpg", "license_url": "javascript:x", "title": "\u202ex\n"}
    body = {
        "results": [item | {"foreign_landing_url": "https://me:secret@h/p"}, {"url": "ftp://h"}]
    }
    page = services.read_openverse(json.dumps(body).encode(), "https://h/?page=1")
    assert [image.url for image in page.images] == ["https://h/a%00.jpg"]
    assert page.images[0].page_url == "https://h/p"
    assert (page.images[0].licence_url, page.images[0].title) == ("", "x")
    info = {"url": "https://u:p@h/b.jpg", "mime": "image/jpeg", "extmetadata": {
        "Artist": {"value": "<b>A</b>" + "<img>" * 9000 + "</i>" * 9000},
        "LicenseUrl": {"value": "//h/licence"}}}  # fmt: skip
    body = {"query": {"pages": [{"title": "File:B", "imageinfo": [info]}]}}  # type: ignore[dict-item]
    image = services.read_commons(json.dumps(body).encode(), "https://h/").images[0]
    assert (image.url, image.licence_url, image.author) == (
        "https://h/b.jpg", "https://h/licence", "A",
    )  # fmt: skip


@given(st.text())
def test_cells_give_back_every_text(text: str) -> None:
    cell = csv_cells.escape(text)
    assert csv_cells.unescape(cell) == text
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert not cell.startswith(("\t", "\r"))


@pytest.mark.parametrize("licence", ["=HYPERLINK(1)", "+1", "-x", "@me", "\t=1", "'=x", "'tis"])
def test_formulas_come_back_from_photos_csv_and_metadata_csv(
    save_photos: Callable[..., Path], tmp_path: Path, licence: str
) -> None:
    import synth

    name = "a.png"
    save_photos(tmp_path / "photos", [name])
    with (tmp_path / "photos" / "photos.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerows([("file_name", "licence"), (name, csv_cells.escape(licence))])
    assert photos.provenance(tmp_path / "photos")[name] == ("", licence)
    recipe = synth.Recipe(size=(64, 64), radius=(5, 10))
    made = synth.generate(tmp_path / "photos", tmp_path / "set", recipe)
    assert set(made["licence"]) == {licence}
    assert set(dataset.read(tmp_path / "set")["licence"]) == {licence}
    raw_cells = list(csv.DictReader((tmp_path / "set" / "metadata.csv").open(newline="")))
    assert raw_cells[0]["licence"] == csv_cells.escape(licence)


HOSTILE = """![x](http://evil.test/t.png) <script>alert(1)</script> <img src=x onerror=y> [a][b]
`c` **d** __e__ ~~f~~ http://g.test www.h.test i@j.test $k$ &lt;l&gt; | m | # n \\<o> \u202ep\0q"""


def test_the_card_shows_licences_as_they_are() -> None:
    from markdown_it import MarkdownIt

    line = card.escape_markdown(HOSTILE)
    assert "\n" not in line
    assert line.isprintable()
    reader = MarkdownIt("gfm-like", {"html": True, "linkify": False})
    tokens = reader.parseInline(line)[0].children or []
    assert {token.type for token in tokens} <= {"text", "text_special"}
    shown = "".join(token.content for token in tokens)
    assert shown == "".join(c for c in " ".join(HOSTILE.split()) if c.isprintable())[:300]
    assert not any(each in line for each in ("http:", "www.h", "i@j", "<"))


def test_the_card_names_only_so_many_licences() -> None:
    summary = card.Summary(rows=1, licences={f"CC {k:03d}" for k in range(60)} | {"\0\u202e"})
    text = card.card_text(summary, {}, "metadata.csv")
    assert "CC 049 and 10 more, see `metadata.csv`" in text
    assert "CC 050" not in text


def test_odd_addresses() -> None:
    assert (
        html_text.join_url("http://h/a/", "b\u202ec d\x01<e>")
        == "http://h/a/b%E2%80%AEc%20d%01%3Ce%3E"
    )
    for bad in ("http://a\u202eb/", "http://h h/", "data:image/png,x", "http://h:x/"):
        assert html_text.join_url("http://h/", bad) == ""
    assert html_text.join_url("http://h/", "http://h/" + "\u202e" * 1000) == "", (
        "too long when encoded"
    )


# The command


def _command(*arguments: str, code: str = "") -> subprocess.Popen[str]:
    run = f"{code}\nfrom synth.__main__ import main\nimport sys\nsys.argv[0] = 'synth'\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", run, "scrape", *arguments, "--allow-private", "--delay", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_nothing_collected_is_exit_code_1(tmp_path: Path) -> None:
    with badserver.serving() as server:
        server.routes["/a.jpg"] = badserver.body(badserver.photo(1))
        empty = _command(server.root + "/missing.jpg", "--out", str(tmp_path / "out"))
        shown = empty.communicate(timeout=60)[0]
        assert empty.returncode == 1
        assert "1  not found" in shown
        assert "no photo in" in shown
        full = _command(server.root + "/a.jpg", "--out", str(tmp_path / "out"))
        full.communicate(timeout=60)
        assert full.returncode == 0


_AT_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("name", ["synth.scraping.scraper", "requests", "lxml"])
def test_ctrl_c_in_the_first_moments(tmp_path: Path, name: str) -> None:
    with badserver.serving() as server:
        code = _AT_IMPORT.format(name=name)
        process = _command(server.root + "/a.jpg", "--out", str(tmp_path / "out"), code=code)
        shown, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines() == [
        "synth: stopped: no photo saved yet; run the same command again to continue"
    ]
    assert shown == ""


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_a_host_is_silent(tmp_path: Path, times: int) -> None:
    asked = threading.Event()
    with badserver.serving() as server:
        server.routes["/a.jpg"] = badserver.body(badserver.photo(1))

        def never_answer(handler: badserver.Handler) -> None:
            asked.set()
            time.sleep(25)

        server.routes["/b.jpg"] = never_answer
        server.routes["/"] = badserver.gallery("/a.jpg", "/b.jpg")
        process = _command(server.root + "/", "--out", str(tmp_path / "out"))
        assert asked.wait(60)
        for _ in range(times):
            os.kill(process.pid, signal.SIGINT)
            time.sleep(0.05)
        said = process.communicate(timeout=15)[1]
    assert process.returncode == 130
    out = tmp_path / "out"
    assert said.splitlines() == [
        f"synth: stopped: 1 photo in {out}; run the same command again to continue"
    ]
    assert len(list(out.glob("*.jpg"))) == 1
