"""Addresses, politeness, pages and sources: the parts of scraping that need no network."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from synth.errors import InputError
from synth.scraping import addresses, html_text, pages, politeness, services, sources
from synth.scraping.outcomes import Outcome, Problem

PRIVATE = """127.0.0.1 127.255.255.254 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 0.0.0.0
100.64.0.1 192.0.2.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255 ::1 :: fe80::1 fe80::1%eth0
fc00::1 fd12::1 fec0::1 ff02::1 2001:db8::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::127.0.0.1
64:ff9b::7f00:1 64:ff9b::a00:1 2002:7f00:1:: 2002:a00:1:: nonsense"""


@pytest.mark.parametrize("text", PRIVATE.split())
def test_private_addresses(text: str) -> None:
    assert not addresses.is_public(text)


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses(text: str) -> None:
    assert addresses.is_public(text)


@pytest.mark.parametrize("answers", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"]])
def test_every_resolved_address_is_checked(
    answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*args: object, **kwargs: object) -> list[object]:
        return [
            (socket.AF_INET6 if ":" in a else socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 80))
            for a in answers
        ]

    def connect(*args: object) -> None:
        raise AssertionError("connected")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(Problem) as caught:
        addresses.session("test").get("http://innocent.example/")
    assert caught.value.outcome is Outcome.REFUSED


def test_the_name_is_resolved_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checked address is the one that is connected to, so DNS rebinding has no effect."""
    asked: list[object] = []
    connected: list[object] = []

    def resolve(*args: object, **kwargs: object) -> list[object]:
        asked.append(args[0])
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80))]

    def connect(self: socket.socket, address: object) -> None:
        connected.append(address)
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(Exception, match="no network"):
        addresses.session("test").get("http://rebinding.example/")
    assert asked == ["rebinding.example"]
    assert connected == [("8.8.8.8", 80)]


def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    assert addresses.session("test").merge_environment_settings(
        "http://h/", {}, None, None, None
    )["proxies"] == {}  # fmt: skip


@pytest.mark.parametrize("url", ["ftp://h/a", "file:///etc/hostname", "data:image/png,x", "x"])
def test_only_http(url: str) -> None:
    with pytest.raises(Problem) as caught:
        addresses.clean(url)
    assert caught.value.outcome is Outcome.REFUSED


def test_clean() -> None:
    assert addresses.clean("HTTP://me:word@Host.example:81/a?b#c") == "http://host.example:81/a?b"
    for url in ("http://", "http://[::1/", "http://h:99999/", "http://a b/"):
        with pytest.raises(Problem):
            addresses.clean(url)


def test_retry_after() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert politeness.retry_after("Thu, 01 Jan 2026 00:01:00 GMT", now) == 60
    assert politeness.retry_after("Wed, 31 Dec 2025 00:00:00 GMT", now) == 0
    assert politeness.retry_after("-5") is None


def test_backoff_doubles_with_jitter() -> None:
    waits = [politeness.backoff(k, 1.0, 60.0, random.Random(k)) for k in range(9)]
    assert all(0.5 * min(60, 2**k) <= w <= min(60, 2**k) for k, w in enumerate(waits))
    assert politeness.backoff(3, 1, 60, random.Random(1)) == politeness.backoff(
        3, 1, 60, random.Random(1)
    )


def test_robots_rules() -> None:
    text = b"User-agent: *\nDisallow: /a/*.jpg$\nAllow: /a/b\nCrawl-delay: 7\n"
    robots = politeness.read_robots(200, text)
    assert not robots.allows("http://h/a/x.jpg")
    assert robots.allows("http://h/a/x.jpg?y")
    assert robots.delay() == 7
    hostile = politeness.read_robots(200, b"User-agent: *\nDisallow: /" + b"*a" * 500 + b"$")
    began = time.monotonic()
    hostile.allows("http://h/" + "a" * 4000)
    assert time.monotonic() - began < 1


def test_images_of_a_page() -> None:
    html = b"""<base href="/deep/"><title>Hills</title><meta property="og:image" content="og.jpg">
    <img src="plain.jpg" alt="A hill"><img src="t.jpg" srcset="s.jpg 300w, l.jpg 900w">
    <img src="data:image/gif;base64,x" data-src="lazy.jpg"><a href="full.jpg"><img src="mini.jpg">
    </a><picture><source srcset="p1.webp 1x, p2.webp 2x"><img src="p.jpg"></picture>
    <img src="javascript:alert(1)"><img src="http://[bad"><img src="../../x.png"><img>
    <figure><img src="f.jpg"><a rel="license"
    href="https://creativecommons.org/licenses/by/2.0/">x</a></figure>
    <script type="application/ld+json">{"@type": "ImageObject", "contentUrl": "plain.jpg",
    "name": "Big hill", "creator": {"name": "Dee"},
    "license": "https://creativecommons.org/publicdomain/zero/1.0/"}</script>
    <a rel=next href="/2">2</a><a href="//else.where/3">next</a><a href="/4">Next &raquo;</a>"""
    page = pages.read(html, "https://h.example/gallery/one")
    found = {image.url.removeprefix("https://h.example/"): image for image in page.images}
    assert list(found) == [
        *(f"deep/{name}" for name in ("og.jpg", "plain.jpg", "l.jpg", "lazy.jpg", "full.jpg")),
        *("deep/p2.webp", "x.png", "deep/f.jpg"),
    ]
    plain = found["deep/plain.jpg"]
    assert (plain.title, plain.author, plain.licence) == ("Big hill", "Dee", "CC0 1.0")
    assert found["deep/f.jpg"].licence == "CC BY 2.0"
    assert found["deep/l.jpg"].licence == ""
    assert found["deep/l.jpg"].title == "Hills"
    assert page.following == ("https://h.example/2", "https://h.example/4")


def test_broken_encodings() -> None:
    for charset in ("utf-8", "klingon", "utf-16", "", "undefined", "idna"):
        page = pages.read(b"\xff\xfe<img src='a.jpg' alt='\xe9\x00'>", "http://h/", charset)
        assert isinstance(page, pages.Page)
    for codec in ("latin-1", "utf-8", "utf-16"):
        page = pages.read("<img src='\xe9.jpg'>".encode(codec), "http://h/")
        assert [image.url for image in page.images] == ["http://h/\xe9.jpg"]


@pytest.mark.parametrize(
    "html",
    [b"<a href=/x.jpg>" * 20_000, b"<a " * 200_000, b"<!--" * 200_000, b"<figure>" * 50_000],
)
def test_hostile_markup_is_bounded(html: bytes) -> None:
    began = time.monotonic()
    pages.read(html, "http://h/")
    assert time.monotonic() - began < 5


def test_addresses_of_services() -> None:
    url = services.commons("Category:Landscapes of Ås")
    assert url.startswith("https://commons.wikimedia.org/w/api.php?action=query&")
    assert "gcmtitle=Category%3ALandscapes+of+%C3%85s" in url
    assert "q=mountain+lake&page=1" in services.openverse("mountain lake")
    for body in (b"", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"error": {"code": "x"}}'):
        with pytest.raises(Problem):
            services.read_commons(body, url)
        with pytest.raises(Problem):
            services.read_openverse(body, url)
    assert services.read_commons(b'{"batchcomplete": true}', url).images == ()


def test_sources(tmp_path: Path) -> None:
    table = tmp_path / "more.csv"
    table.write_text("name,source,licence\nA,https://h.example/g,CC0\nB,openverse:lake,\n")
    given = [str(table), "commons:Hills", "https://h.example/a.JPG", "https://h.example/g"]
    found = sources.parse(given)
    assert [source.kind for source in found] == ["page", "openverse", "commons", "image"]
    assert found[0].licence == "CC0"
    for word in ("nothing", "ftp://h/x", "commons:", str(tmp_path / "no.csv"), "file:///x"):
        with pytest.raises(InputError):
            sources.parse([word])
    table.write_text("url\nx\n")
    with pytest.raises(InputError, match="lacks the column source: it has url"):
        sources.parse([str(table)])


def test_shipped_sources() -> None:
    shipped = sources.parse([str(Path(__file__).parents[2] / "data" / "sources.csv")])
    assert len(shipped) >= 12


def test_words() -> None:
    assert html_text.largest_candidate("a.jpg")[0] == "a.jpg"
    assert html_text.largest_candidate("a.jpg 2x,b.jpg 3x")[0] == "b.jpg"
    assert not html_text.is_image_address("https://h/wiki/File:X.jpg")


def test_starting_imports_no_http_library() -> None:
    code = "import sys, synth, synth.cli, synth.scraping.command\n"
    code += "sys.exit(bool({'requests', 'bs4', 'protego', 'urllib3'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
