"""Compares how many images per second `synth scrape` and img2dataset download.

    make peers && python tests/bench/scrape.py [--photos DIR]

Both download the same 1,000 addresses from a server on 127.0.0.1, with 16 threads and without a
delay between requests. They run in turn, and whole processes are timed. img2dataset does not
re-encode the images (``--resize_mode no``). Then the time to read pages of up to 8 MB is
measured, among them pages that are made to be slow to read.
"""

from __future__ import annotations

import io
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import parser_with_photos, photos_or_scenes, run_command

from synth import photos
from synth.scraping import pages

ROOT = Path(__file__).parents[2]
PEER = ROOT / ".peers" / "img2dataset" / "bin" / "img2dataset"
COUNT, ROUNDS = 1000, 3
SERVER = """
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
SimpleHTTPRequestHandler.protocol_version = "HTTP/1.1"
ThreadingHTTPServer(("127.0.0.1", 8765), SimpleHTTPRequestHandler).serve_forever()
"""


LINK = b"<div><a href='/p/%d.jpg' title='Photo %d'><img src='/t/%d.jpg' alt='A photo'></a></div>"
PAGES = {
    "50,000 links around images": b"".join(LINK % (k, k, k) for k in range(50_000)),
    "<img>*80000 </b>*80000": b"<img>" * 80_000 + b"</b>" * 80_000,
    "one tag, 1.9 million attributes": b"<a" + b" b=c" * 1_900_000 + b">",
    "100,000 nested tags": b"<div>" * 100_000 + b"</div>" * 100_000,
    "990 nested tags, 2 million ends": b"<b>" * 990 + b"</i>" * 1_990_000,
    "290,000 links, 4 kB of base": b"<base href='http://h/"
    + b"a/" * 2000
    + b"'>"
    + b"".join(b"<a class=next href=%d.jpg>" % k for k in range(290_000)),
}


def measure_pages() -> None:
    """Prints the time to read each page, and the limit that cut it short, if one did."""
    for name, html in PAGES.items():
        start = time.perf_counter()
        page = pages.read(html, "http://h/")
        seconds = time.perf_counter() - start
        print(f"{name:32} {len(html) / 1e6:4.1f} MB {seconds:6.2f} s   {page.cut or 'whole'}")


def write_images(folder: Path, out: Path) -> None:
    """Writes ``COUNT`` different JPEG files of 640 x 480 px, cut from the photos."""
    out.mkdir()
    rng = np.random.default_rng(0)
    images = [photos.read(folder, name).picture for name in photos.find(folder)[:24]]
    for i in range(COUNT):
        image = images[i % len(images)]
        left = int(rng.integers(max(1, image.width - 640)))
        top = int(rng.integers(max(1, image.height - 480)))
        data = io.BytesIO()
        crop = image.crop((left, top, left + 640, top + 480))
        crop.rotate(90 * int(rng.integers(4)), expand=True).save(data, "JPEG", quality=90)
        (out / f"{i:05d}.jpg").write_bytes(data.getvalue())


def main() -> None:
    chosen = parser_with_photos(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        write_images(photos_or_scenes(chosen.photos, work), work / "served")
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=work / "served",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            time.sleep(1)
            addresses = [f"http://127.0.0.1:8765/{i:05d}.jpg" for i in range(COUNT)]
            (work / "list.txt").write_text("\n".join(addresses) + "\n")
            (work / "list.csv").write_text("\n".join(["source", *addresses]) + "\n")
            scrape = [sys.executable, "-m", "synth", "scrape", work / "list.csv",
                      "--out", work / "synth", "--allow-private", "--delay", 0,
                      "--per-host", 16, "--threads", 16, "--limit"]  # fmt: skip
            img2dataset = [PEER, "--url_list", work / "list.txt",
                           "--output_folder", work / "img2dataset", "--output_format", "files",
                           "--number_sample_per_shard", 500, "--resize_mode", "no",
                           "--processes_count", 2, "--thread_count", 16]  # fmt: skip
            times: dict[str, list[float]] = {"synth scrape": [], "img2dataset": []}
            for _ in range(ROUNDS):
                for folder in ("synth", "img2dataset"):
                    shutil.rmtree(work / folder, ignore_errors=True)
                times["synth scrape"].append(run_command([*scrape, COUNT])[0])
                times["img2dataset"].append(run_command(img2dataset)[0])
            saved = {
                "synth scrape": len(list((work / "synth").glob("*.jpg"))),
                "img2dataset": len(list((work / "img2dataset").rglob("*.jpg"))),
            }
            for count in (COUNT // 10, COUNT):
                shutil.rmtree(work / "synth")
                peak = run_command([*scrape, count])[1]
                print(f"synth scrape, {count:5} photos: {peak:4.0f} MB peak")
        finally:
            server.terminate()
            server.wait()
    measure_pages()
    for name, seconds in times.items():
        rate = COUNT / statistics.median(seconds)
        print(f"{name:14} {rate:7.0f} addresses per second   {saved[name]} of {COUNT} images saved")


if __name__ == "__main__":
    main()
