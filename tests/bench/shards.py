"""CPU time per row and memory of the engines of `synth generate`, by the number of rows.

python tests/bench/shards.py [--rows 1000,10000] [--engines folder,local,ray] [--photos DIR]
    [--size 128x128] [--shards 1000] [--out FILE.json]

folder  the folder form on this machine, the reference of the ratios
local   shards on this machine
ray     shards on Ray, which is started on this machine

Each run is a process of its own. CPU time is that of the process and all its descendants, with the
servers of Ray; it is read twice a second, so that up to half a second of a process that ends is not
counted. Memory is the largest sum of their proportional set sizes. Without --photos, photos are
random crops of 24 procedural scenes, one for each --per-photo rows.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from synth import scenes

TICK = os.sysconf("SC_CLK_TCK")
MIB = 2**20


@dataclass(frozen=True)
class Cost:
    """What one run used: CPU and wall time in s, memory in MiB."""

    engine: str
    rows: int
    cpu: float
    wall: float
    memory: float


def processes() -> dict[int, tuple[int, float]]:
    """Process number -> number of its parent, and its CPU time in s."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                text = (entry / "stat").read_text()
            except OSError:
                continue
            fields = text.rpartition(")")[2].split()
            found[int(entry.name)] = int(fields[1]), (int(fields[11]) + int(fields[12])) / TICK
    return found


def proportional_size(pid: int) -> float:
    """Proportional set size of a process in MiB; 0 if it has ended."""
    try:
        lines = (Path("/proc") / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / MIB


def watch(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Waits for a process -> CPU time in s and largest memory in MiB of it and its descendants."""
    cpu: dict[int, float] = {}
    family, most = {process.pid}, 0.0
    while process.poll() is None:
        found = processes()
        grown = True
        while grown:
            children = {pid for pid, (parent, _) in found.items() if parent in family} - family
            family |= children
            grown = bool(children)
        cpu |= {pid: found[pid][1] for pid in family if pid in found}
        most = max(most, sum(proportional_size(pid) for pid in family if pid in found))
        time.sleep(0.5)
    return sum(cpu.values()), most


def write_photos(folder: Path, count: int) -> None:
    """Writes photos of 320 x 240 px: random crops of procedural scenes."""
    if len(list(folder.glob("*.jpg"))) >= count:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pictures = [Image.open(path).convert("RGB") for path in
                scenes.write(folder.parent / "scenes", 24, 640, 480, seed=5)]  # fmt: skip
    rng = np.random.default_rng(0)
    for number in range(count):
        left, top = (int(rng.integers(0, most)) for most in (320, 240))
        crop = pictures[number % 24].crop((left, top, left + 320, top + 240))
        crop.save(folder / f"{number:07d}.jpg", quality=85)


def measure(engine: str, rows: int, photos: Path, folder: Path, chosen: argparse.Namespace) -> Cost:
    """Runs an engine once."""
    flags = ["--size", chosen.size, "--radius", "10:30", "--per-photo", str(chosen.per_photo)]
    flags += ["--count", str(rows), "--workers", str(chosen.workers), "--overwrite"]
    if engine != "folder":
        flags += ["--shards", str(chosen.shards), "--engine", engine]
    out = folder / f"set-{engine}"
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "synth", "generate", str(photos), str(out), *flags],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    cpu, memory = watch(process)
    if process.returncode:
        assert process.stderr is not None
        raise SystemExit(process.stderr.read().decode()[-2000:])
    shutil.rmtree(out)
    return Cost(engine, rows, cpu, time.perf_counter() - start, memory)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="1000,10000")
    parser.add_argument("--engines", default="folder,local,ray")
    parser.add_argument("--photos", type=Path, help="folder of photos [crops of scenes]")
    parser.add_argument("--size", default="128x128", help="of the images, px [128x128]")
    parser.add_argument("--per-photo", type=int, default=10)
    parser.add_argument("--shards", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", type=Path, help="folder for photos and datasets [temporary]")
    parser.add_argument("--out", type=Path, help="JSON file with the results")
    chosen = parser.parse_args()
    counts = [int(text) for text in chosen.rows.split(",")]
    costs = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.work or Path(temporary)
        print("engine        rows   CPU s  ms/row  ratio  wall s  rows/s  memory, MiB")
        for rows in counts:
            photos = chosen.photos or folder / f"photos-{rows}"
            if not chosen.photos:
                write_photos(photos, -(-rows // chosen.per_photo))
            reference = 0.0
            for engine in chosen.engines.split(","):
                cost = measure(engine, rows, photos, folder, chosen)
                costs.append(cost)
                reference = reference or cost.cpu
                print(
                    f"{engine:8} {rows:9} {cost.cpu:7.1f} {1000 * cost.cpu / rows:7.2f} "
                    f"{cost.cpu / reference:6.2f} {cost.wall:7.1f} {rows / cost.wall:7.0f} "
                    f"{cost.memory:12.0f}",
                    flush=True,
                )
    if chosen.out:
        chosen.out.write_text(json.dumps([asdict(cost) for cost in costs], indent=2) + "\n")


if __name__ == "__main__":
    main()
