"""A scrape that is killed at any time and started again gives the same photos."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

import badserver

_RUN = """
import sys
from synth.scraping import scraper
from synth.scraping.fetcher import Bounds
from synth.scraping.options import Options
from synth.scraping.traffic import Politeness
options = Options(
    limit=40, allow_private=True, min_side=64, bounds=Bounds(1, 1, 2),
    politeness=Politeness(delay=0.0, per_host=3, threads=3, retries=1, backoff=0.01),
)
done = scraper.scrape(sys.argv[2:], sys.argv[1], options)
sys.exit(130 if done.interrupted else 0)
"""


@pytest.fixture(scope="module")
def words() -> Iterator[list[str]]:
    """Two slow galleries on two hosts with duplicates, broken files and next pages."""
    with badserver.serving() as one, badserver.serving("127.0.0.2") as two:
        for first, server in ((0, one), (1000, two)):
            for page in range(3):
                names = [f"/{page}-{k}.jpg" for k in range(10)]
                for k, name in enumerate(names):
                    seed = first + 10 * page + k - (k % 4 == 3)  # some twice
                    route = badserver.body(badserver.photo(seed, 96, 80))

                    def slow(h: badserver.Handler, route: object = route) -> None:
                        time.sleep(0.02)
                        route(h)  # type: ignore[operator]

                    server.routes[name] = slow
                server.routes[names[5]] = lambda h: h.answer(b"", status=404)
                more = f"<a rel=next href=/p{page + 1}>next</a>"
                server.routes[f"/p{page}"] = badserver.gallery(*names, more=more)
        yield [one.root + "/p0", two.root + "/p0"]


def start(out: Path, words: list[str]) -> subprocess.Popen[bytes]:
    """A scrape in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", _RUN, str(out), *words])


def files(out: Path) -> dict[str, bytes]:
    """Photos by name."""
    return {p.name: p.read_bytes() for p in sorted(out.glob("*.jpg"))}


def whole(out: Path) -> None:
    """No file of a killed run is partial, and each saved line has its file."""
    for name, data in files(out).items():
        assert data.endswith(b"\xff\xd9"), name
    log = out / "manifest.jsonl"
    for line in log.read_bytes().splitlines(keepends=True) if log.exists() else []:
        if line.endswith(b"\n") and (row := json.loads(line).get("row")):
            assert (out / row["file_name"]).is_file()


def survive(tmp_path: Path, words: list[str], kills: int, seed: int) -> None:
    """Kills the scrape at random times, then completes it: the result is that of a whole run."""
    calm = tmp_path / "calm"
    began = time.monotonic()
    assert start(calm, words).wait(30) == 0
    took = time.monotonic() - began
    rng, done = random.Random(seed), 0
    for attempt in range(10 * kills):
        out = tmp_path / f"killed-{attempt}"
        while done < kills:
            process = start(out, words)
            try:
                process.wait(rng.uniform(0.4 * took, took))
                break  # it ended by itself
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait(10)
                done += 1
                whole(out)
        assert start(out, words).wait(30) == 0
        assert files(out) == files(calm)
        rows = [(f / "photos.csv").read_text().splitlines() for f in (out, calm)]
        assert [r.rpartition(",")[0] for r in rows[0]] == [r.rpartition(",")[0] for r in rows[1]]
        assert {p.name for p in out.iterdir()} == {p.name for p in calm.iterdir()}
        if done >= kills:
            break
    assert done == kills


def test_killed_and_started_again(tmp_path: Path, words: list[str]) -> None:
    survive(tmp_path, words, kills=1, seed=1)


@pytest.mark.slow
def test_killed_twenty_times(tmp_path: Path, words: list[str]) -> None:
    survive(tmp_path, words, kills=20, seed=2)


def test_ctrl_c_leaves_the_table(tmp_path: Path, words: list[str]) -> None:
    process = start(tmp_path / "out", words)
    log = tmp_path / "out" / "manifest.jsonl"
    until = time.monotonic() + 20
    while time.monotonic() < until and (not log.exists() or log.read_bytes().count(b"row") < 5):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    rows = (tmp_path / "out" / "photos.csv").read_text().splitlines()
    assert len(rows) - 1 == len(files(tmp_path / "out")) >= 5
    assert not (tmp_path / "out" / ".incoming").exists()
    whole(tmp_path / "out")


def test_a_torn_line_and_a_file_without_one(tmp_path: Path, words: list[str]) -> None:
    assert start(tmp_path / "out", words).wait(30) == 0
    before = files(tmp_path / "out")
    log = tmp_path / "out" / "manifest.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    last = max(k for k, line in enumerate(lines) if b'"row"' in line)
    log.write_bytes(b"".join(lines[:last]) + lines[last][:50])
    assert start(tmp_path / "out", words).wait(30) == 0
    assert files(tmp_path / "out") == before


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    from synth import console
    from synth.scraping.command import scrape as command

    app = typer.Typer()
    app.command("scrape")(command)
    app.command("other")(lambda: None)
    with badserver.serving() as server:
        server.routes["/a.jpg"] = badserver.body(badserver.photo(1))
        words = ["scrape", f"{server.root}/a.jpg", "--out", str(tmp_path / "out"), "--delay", "0"]
        assert console.run(app, "synth", words) == 2
        assert "--contact" in capsys.readouterr().err
        assert console.run(app, "synth", [*words, "--allow-private"]) == 0
    assert "1  saved" in capsys.readouterr().out
