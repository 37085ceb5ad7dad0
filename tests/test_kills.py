"""A command that was killed at a file operation and is run again gives the files of a whole run."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

HOOK = Path(__file__).parent / "kill_hook"
ROOT = Path(__file__).parent.parent
SPREAD = 5  # number of kills spread over the whole run
LAST = 10  # number of kills at the last operations, where folders are renamed
# Figures and pages contain times of answers, as do these columns of tables.
UNEQUAL = (".png", ".svg", ".html")
TIMES = ("seconds", "ms_per_image")


@dataclass(frozen=True)
class Command:
    """A command; its words name inputs relative to the folder in which it runs."""

    words: Sequence[str]
    resumes: bool = True

    def run(self, folder: Path, *more: str, **kill: object) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(HOOK), str(ROOT)]),
            "OMP_NUM_THREADS": "1",
            **{name: str(value) for name, value in kill.items()},
        }
        return subprocess.run(
            [sys.executable, "-m", *self.words, *more],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip


SHORT = ("--size", "64x64", "--radius", "5:15", "--codec", "png", "--twins", "--workers", "1")
COMMANDS = {
    "generate": Command(("synth", "generate", "photos", "out", *SHORT, "--masks")),
    "export": Command(("synth", "export", "set", "out", "--format", "mvtec"), resumes=False),
    "evaluate": Command(("localize", "evaluate", "boundary", "set", "--out", "out")),
    "compare": Command(
        ("localize", "compare", "set", "--methods", "cnn-fast,boundary", "--epochs", "2",
         "--input", "32x32", "--out", "out")
    ),
    "learning-curve": Command(
        ("localize", "learning-curve", "cnn-fast", "set", "--rows", "3,all", "--repeats", "1",
         "--epochs", "1", "--input", "32x32", "--out", "out")
    ),
    "train": Command(
        ("localize", "train", "cnn-fast", "set", "--epochs", "2", "--input", "32x32",
         "--out", "out")
    ),
    "compare-seeds": Command(
        ("localize", "compare", "set", "--methods", "cnn-fast", "--epochs", "1", "--seeds", "2",
         "--input", "32x32", "--out", "out")
    ),
    "train-seeds": Command(
        ("localize", "train", "cnn-fast", "set", "--epochs", "1", "--input", "32x32",
         "--seeds", "2", "--out", "out")
    ),
    "sharpness": Command(
        ("localize", "sharpness", "boundary", "--photos", "photos", "--size", "64x64", "--radii",
         "10", "--ratios", "1.2,1.5", "--per-cell", "2", "--workers", "1", "--out", "out")
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``photos`` and the dataset ``set``."""
    folder = tmp_path_factory.mktemp("inputs")
    scenes = ("synth", "scenes", "photos", "--count", "6", "--size", "96x96")
    assert Command(scenes).run(folder).returncode == 0
    generate = ("synth", "generate", "photos", "set", *SHORT, "--split", "0.5:0.25:0.25")
    assert Command(generate).run(folder).returncode == 0
    return folder


def files(folder: Path) -> dict[str, object]:
    """Path -> content of each file of a folder, without times."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".csv":
            table = pd.read_csv(io.BytesIO(path.read_bytes()))
            found[name] = table.drop(columns=[c for c in TIMES if c in table]).to_csv()
        elif path.is_file():
            found[name] = b"" if path.suffix in UNEQUAL else path.read_bytes()
    return found


def choose_operations(count: int) -> Iterator[int]:
    """Numbers of operations from 1 to ``count``: some spread over all, and the last ones."""
    spread = {round(number) for number in np.linspace(1, count, SPREAD)}
    yield from sorted(spread | set(range(max(1, count - LAST + 1), count + 1)))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
def test_killed_at_a_file_operation(
    inputs: Path, tmp_path: Path, name: str, overwrite: bool
) -> None:
    command, work = COMMANDS[name], tmp_path / "work"

    def begin() -> list[str]:
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(inputs, work)
        if overwrite:
            shutil.copytree(tmp_path / "wanted", work / "out")
            return ["--overwrite"]
        return []

    shutil.copytree(inputs, work)
    plain = command.run(work, KILL_IN=work, KILL_COUNT=tmp_path / "count")
    assert plain.returncode == 0, plain.stderr
    shutil.copytree(work / "out", tmp_path / "wanted")
    wanted = files(tmp_path / "wanted")
    if overwrite:
        flags = begin()
        plain = command.run(work, *flags, KILL_IN=work, KILL_COUNT=tmp_path / "count")
        assert plain.returncode == 0, plain.stderr
    for number in choose_operations(int((tmp_path / "count").read_text())):
        flags = begin()
        killed = command.run(work, *flags, KILL_IN=work, KILL_AT=number)
        assert killed.returncode == -9, f"operation {number}: {killed.stderr}"
        again = ["--resume", *flags] if command.resumes else flags
        second = command.run(work, *again)
        # After a kill at the end, or without resuming, OUT is complete and reported as existing.
        done = not overwrite and "out exists: name another folder" in second.stderr
        assert second.returncode == 0 or done, f"operation {number}: {second.stderr}"
        assert "Traceback" not in second.stderr
        assert files(work / "out") == wanted, f"operation {number}"
        left = {path.name for path in work.iterdir()} - {"photos", "set", "out"}
        left -= {".out.lock"} if done else set()
        assert not left, f"operation {number} left {left}"
