"""``synth scrape`` against a faulty server: each address gets its outcome."""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from synth.errors import InputError
from synth.scraping import scraper
from synth.scraping.fetcher import Bounds
from synth.scraping.options import Options
from synth.scraping.scraper import Summary
from synth.scraping.sources import Endpoints
from synth.scraping.traffic import Politeness

sys.path.append(str(Path(__file__).parent))

import badserver

SWIFT = Politeness(delay=0.0, retries=1, backoff=0.01, longest_wait=2.0, per_host=4, threads=4)
TIGHT = Bounds(connect=2.0, read=2.0, total=3.0, image_bytes=2_000_000, page_bytes=8_000_000)
OPTIONS = Options(allow_private=True, politeness=SWIFT, bounds=TIGHT, min_side=256)


def outcomes(out: Path) -> dict[str, str]:
    """Path -> outcome of each image's address in the manifest."""
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    return {line["url"]: line["outcome"] for line in lines if "url" in line}


def table(out: Path) -> list[dict[str, str]]:
    """The rows of photos.csv, checked against the files beside it."""
    with (out / "photos.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    names = {row["file_name"] for row in rows}
    assert names == {p.name for p in out.iterdir()} - {"manifest.jsonl", "photos.csv"}
    for row in rows:
        data = (out / row["file_name"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"]
        assert row["file_name"].startswith(row["sha256"][:32])
        assert len(data) == int(row["bytes"])
        with Image.open(out / row["file_name"]) as image:
            assert image.size == (int(row["width"]), int(row["height"]))
    return rows


def scrape(out: Path, *words: str, options: Options = OPTIONS) -> Summary:
    """Run it."""
    return scraper.scrape(words, out, options)


def test_every_mischief_has_its_outcome(tmp_path: Path) -> None:
    with badserver.serving() as server:
        expected = badserver.misbehave(server)
        server.routes["/"] = badserver.gallery(*expected)
        summary = scrape(tmp_path / "out", server.root + "/")
        got = {url.removeprefix(server.root): o for url, o in outcomes(tmp_path / "out").items()}
        assert not server.hits["/private/a.jpg"] + server.hits["/b.secret.jpg"]
        assert server.hits["/storm.jpg"] == 2
    assert got == expected
    assert {str(k): v for k, v in summary.outcomes.items()} == Counter(
        [*expected.values(), "page read"]
    )
    rows = table(tmp_path / "out")
    assert sorted(Path(row["file_name"]).suffix for row in rows) == [".jpg"] * 5 + [".png"]
    assert rows[0]["source_url"] == server.root + "/good.jpg"
    assert rows[0]["page_url"] == server.root + "/"
    assert (tmp_path / "out" / rows[0]["file_name"]).read_bytes() == badserver.photo(1)
    assert not (tmp_path / "x.jpg").exists()


def test_private_addresses_are_refused_without_a_request(tmp_path: Path) -> None:
    options = Options(contact="me@example.org", politeness=SWIFT, bounds=TIGHT)
    with badserver.serving() as server:
        port = server.server_address[1]
        hosts = ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0.0.0.0")
        words = [f"http://{host}:{port}/a.jpg" for host in hosts]
        words += ["http://169.254.169.254/a.jpg", "http://[::1]:1/a.jpg", "http://10.0.0.1/a.jpg"]
        scrape(tmp_path / "out", *words, options=options)
        assert not server.hits
    assert set(outcomes(tmp_path / "out").values()) == {"refused address"}


def test_redirect_to_private_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address counts as public in this test; the target of its redirect does not."""
    from synth.scraping import addresses

    real = addresses.is_public
    monkeypatch.setattr(addresses, "is_public", lambda ip: ip == "127.0.0.1" or real(ip))
    options = Options(contact="me@example.org", politeness=SWIFT, bounds=TIGHT)
    with badserver.serving() as server, badserver.serving("127.0.0.2") as inner:
        inner.routes["/a.jpg"] = badserver.body(badserver.photo(1))
        server.routes["/a.jpg"] = badserver.redirect(inner.root + "/a.jpg")
        scrape(tmp_path / "out", server.root + "/a.jpg", options=options)
        assert server.hits["/a.jpg"] == 1
        assert not inner.hits
    assert list(outcomes(tmp_path / "out").values()) == ["refused address"]


@pytest.mark.parametrize(
    ("robots", "outcome"),
    [
        (badserver.body(b"User-agent: acuity\nDisallow: /"), "robots"),
        (lambda h: h.answer(b"", status=503), "robots"),
        (lambda h: h.answer(b"", status=429), "robots"),
        (lambda h: h.answer(b"", status=404), "saved"),
        (lambda h: h.answer(b"", status=403), "saved"),
        (badserver.redirect("/elsewhere.txt"), "robots"),
        (badserver.body(b"\xff\xfe\x00 nonsense \n" * 50_000), "saved"),
        (badserver.body(b"User-agent: *\nCrawl-delay: 86400"), "robots"),
    ],
)
def test_robots(tmp_path: Path, robots: object, outcome: str) -> None:
    with badserver.serving() as server:
        server.routes["/robots.txt"] = robots  # type: ignore[assignment]
        server.routes["/elsewhere.txt"] = badserver.body(b"User-agent: *\nDisallow: /*.jpg$")
        server.routes["/a.jpg"] = badserver.body(badserver.photo(1))
        scrape(tmp_path / "out", server.root + "/a.jpg")
    assert list(outcomes(tmp_path / "out").values()) == [outcome]


def test_crawl_delay_one_connection_and_agent(tmp_path: Path) -> None:
    polite = Options(
        allow_private=True, bounds=TIGHT, politeness=Politeness(delay=0.0), contact="me@example.org"
    )
    with badserver.serving() as server, badserver.serving("127.0.0.2") as other:
        server.routes["/robots.txt"] = badserver.body(b"User-agent: *\nCrawl-delay: 0.3")
        names = [f"/{k}.jpg" for k in range(4)]
        for k, name in enumerate(names):
            server.routes[name] = badserver.body(badserver.photo(k))
            other.routes[name] = badserver.body(badserver.photo(50 + k))
        server.routes["/"] = other.routes["/"] = badserver.gallery(*names)
        scrape(tmp_path / "out", server.root + "/", other.root + "/", options=polite)
        times = [at for _, at in server.times]
        assert len(times) == 6
        assert min(b - a for a, b in itertools.pairwise(times)) > 0.28
        assert server.most_open == other.most_open == 1
        assert all("acuity/" in a and "me@example.org" in a for a in server.agents)
        assert other.times[-1][1] < times[-1], "a slow host holds up no other"
    assert len(table(tmp_path / "out")) == 8


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(tmp_path: Path, status: int) -> None:
    with badserver.serving() as server:
        good = badserver.body(badserver.photo(1))

        def busy(handler: badserver.Handler) -> None:
            if server.hits["/a.jpg"] == 1:
                handler.answer(b"", status=status, Retry_After="1")
            else:
                good(handler)

        server.routes["/a.jpg"] = busy
        scrape(tmp_path / "out", server.root + "/a.jpg")
        times = [at for path, at in server.times if path == "/a.jpg"]
    assert list(outcomes(tmp_path / "out").values()) == ["saved"]
    assert times[1] - times[0] >= 0.99


def test_a_storm_ends(tmp_path: Path) -> None:
    """After repeated failures of a busy host its other addresses are not requested."""
    with badserver.serving() as server:
        names = [f"/{k}.jpg" for k in range(60)]
        for name in names:
            server.routes[name] = lambda h: h.answer(b"", status=429)
        server.routes["/"] = badserver.gallery(*names)
        scrape(tmp_path / "out", server.root + "/")
        assert sum(server.hits[name] for name in names) <= 40
    assert list(outcomes(tmp_path / "out").values()) == ["rate limited"] * 60


def test_pages_within_depth_and_host(tmp_path: Path) -> None:
    with badserver.serving() as server:
        for k in range(5):
            server.routes[f"/{k}.jpg"] = badserver.body(badserver.photo(k))
            more = f'<a rel="next" href="/p{k + 1}">on</a>'
            server.routes[f"/p{k}"] = badserver.gallery(f"/{k}.jpg", more=more)
        server.routes["/p2"] = badserver.gallery(
            "/2.jpg",
            more=f'<a rel=next href="/p3">Next</a><a rel=next href="{server.root}/p0">1</a>',
        )
        options = Options(allow_private=True, politeness=SWIFT, bounds=TIGHT, depth=3)
        summary = scrape(tmp_path / "out", server.root + "/p0", options=options)
    assert len(summary.rows) == 4
    assert server.hits["/p4"] == 0
    assert server.hits["/p0"] == 1


@pytest.mark.parametrize("way", ["meta", "header"])
def test_opted_out_pages_give_no_images(tmp_path: Path, way: str) -> None:
    with badserver.serving() as server:
        server.routes["/a.jpg"] = badserver.body(badserver.photo(1))
        page = b"<meta name=robots content='noimageai'><img src=a.jpg>"
        server.routes["/"] = (
            badserver.body(page, "text/html")
            if way == "meta"
            else badserver.body(b"<img src=a.jpg>", "text/html", X_Robots_Tag="noai")
        )
        summary = scrape(tmp_path / "out", server.root + "/")
        assert not server.hits["/a.jpg"]
    assert {str(k): v for k, v in summary.outcomes.items()} == {"noai": 1}


def test_a_page_of_100000_links(tmp_path: Path) -> None:
    """Such responses are bounded in time and bytes, and the run continues to its limit."""
    with badserver.serving() as server:
        page = b"".join(b"<a href='/%d.jpg'>x</a>" % k for k in range(100_000))
        server.routes["/"] = badserver.body(page, "text/html")
        for k in range(5):
            server.routes[f"/{k}.jpg"] = badserver.body(badserver.photo(k))
        began = time.monotonic()
        bounds = Bounds(1.0, 2.0, 5.0)
        options = Options(allow_private=True, politeness=SWIFT, bounds=bounds, limit=5)
        summary = scrape(tmp_path / "out", server.root + "/", options=options)
    assert len(summary.rows) == 5
    assert time.monotonic() - began < 20
    assert (tmp_path / "out" / "manifest.jsonl").stat().st_size < 4_000_000


def test_limit_is_exact_and_grows(tmp_path: Path) -> None:
    with badserver.serving() as server:
        names = [f"/{k}.jpg" for k in range(12)]
        for k, name in enumerate(names):
            server.routes[name] = badserver.body(badserver.photo(k))
        server.routes["/"] = badserver.gallery(*names)
        few = Options(allow_private=True, politeness=SWIFT, bounds=TIGHT, limit=5)
        assert len(scrape(tmp_path / "out", server.root + "/", options=few).rows) == 5
        assert sum(server.hits[name] for name in names) == 5
        assert len(scrape(tmp_path / "out", server.root + "/").rows) == 12
        assert all(server.hits[name] == 1 for name in names)
    assert [row["source_url"] for row in table(tmp_path / "out")] == [
        server.root + name for name in names
    ]


def test_services(tmp_path: Path) -> None:
    """Both services by their interfaces, without robots.txt; licence and author are recorded."""
    with badserver.serving() as server:
        server.routes["/robots.txt"] = badserver.body(b"User-agent: *\nDisallow: /api")
        for k in range(3):
            server.routes[f"/{k}.jpg"] = badserver.body(badserver.photo(k))
        info = {
            "url": f"{server.root}/0.jpg",
            "mime": "image/jpeg",
            "descriptionurl": "https://example.org/File:0.jpg",
            "extmetadata": {
                "Artist": {"value": "<a href='x'>Ann &amp; Bob</a>"},
                "LicenseShortName": {"value": "CC BY-SA 4.0"},
                "LicenseUrl": {"value": "https://creativecommons.org/licenses/by-sa/4.0"},
            },
        }
        drawing = {"url": f"{server.root}/d.svg", "mime": "image/svg+xml"}
        first = {
            "continue": {"gcmcontinue": "file|2", "continue": "gcmcontinue||"},
            "query": {"pages": [{"title": "File:0.jpg", "imageinfo": [info]}]},
        }
        second = {"query": {"pages": [{"title": "File:D.svg", "imageinfo": [drawing]}]}}

        def commons(handler: badserver.Handler) -> None:
            answer = second if "gcmcontinue=file" in handler.path else first
            handler.answer(json.dumps(answer).encode(), "application/json")

        def openverse(handler: badserver.Handler) -> None:
            page = 2 if "page=2" in handler.path else 1
            item = {
                "url": f"{server.root}/{page}.jpg",
                "title": "A lake",
                "creator": "Cleo",
                "license": "cc0",
                "license_version": "1.0",
                "license_url": "https://creativecommons.org/publicdomain/zero/1.0/",
                "foreign_landing_url": "https://example.org/lake",
            }
            answer = {"page": page, "page_count": 2, "results": [item]}
            handler.answer(json.dumps(answer).encode(), "application/json")

        server.routes["/api/commons"] = commons
        server.routes["/api/openverse"] = openverse
        ends = Endpoints(f"{server.root}/api/commons", f"{server.root}/api/openverse")
        options = Options(allow_private=True, politeness=SWIFT, bounds=TIGHT, endpoints=ends)
        words = ("commons:Category:Landscapes", "openverse:mountain lake")
        scrape(tmp_path / "out", *words, options=options)
    rows = {row["source_url"].removeprefix(server.root): row for row in table(tmp_path / "out")}
    assert sorted(rows) == ["/0.jpg", "/1.jpg", "/2.jpg"]
    assert rows["/0.jpg"]["author"] == "Ann & Bob"
    assert rows["/0.jpg"]["licence"] == "CC BY-SA 4.0"
    assert rows["/2.jpg"]["licence"] == "CC0 1.0"
    assert rows["/2.jpg"]["author"] == "Cleo"
    assert rows["/2.jpg"]["page_url"] == "https://example.org/lake"


def test_generate_carries_source_and_licence(tmp_path: Path) -> None:
    import synth

    with badserver.serving() as server:
        for k in range(3):
            server.routes[f"/{k}.jpg"] = badserver.body(badserver.photo(k))
        head = '<link rel=license href="https://creativecommons.org/licenses/by/4.0/">'
        server.routes["/"] = badserver.gallery("/0.jpg", "/1.jpg", "/2.jpg", head=head)
        scrape(tmp_path / "out", server.root + "/")
    recipe = synth.Recipe(size=(256, 256), radius=(20, 40))
    made = synth.generate(tmp_path / "out", tmp_path / "set", recipe)
    assert set(made["licence"]) == {"CC BY 4.0"}
    assert set(made["source_url"]) == {f"{server.root}/{k}.jpg" for k in range(3)}


def test_failed_addresses_are_tried_again_when_asked(tmp_path: Path) -> None:
    with badserver.serving() as server:
        server.routes["/a.jpg"] = lambda h: h.answer(b"", status=500)
        word = server.root + "/a.jpg"
        scrape(tmp_path / "out", word)
        server.routes["/a.jpg"] = badserver.body(badserver.photo(1))
        assert not scrape(tmp_path / "out", word).rows
        again = scraper.scrape([word], tmp_path / "out", OPTIONS, retry_failed=True)
    assert {str(k): v for k, v in again.outcomes.items()} == {"saved": 1}


def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"has no manifest\.jsonl"):
        scrape(tmp_path, "http://127.0.0.1:9/a.jpg")
    assert (tmp_path / "mine.jpg").exists()


def test_a_contact_is_needed() -> None:
    with pytest.raises(InputError, match="--contact"):
        Options()
    with pytest.raises(InputError, match="--limit"):
        Options(contact="me@example.org", limit=0)
