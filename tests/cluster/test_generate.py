"""`synth generate --engine ray` on a cluster of three nodes gives the dataset of one machine."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synth import PRESETS, generator, scenes

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

SHARDS = 4  # rows of a shard
FLAGS = ["--size", "96x80", "--radius", "8:16", "--per-photo", "2", "--twins", "--masks"]
RECIPE = dataclasses.replace(
    PRESETS["default"], size=(96, 80), radius=(8.0, 16.0), per_photo=2, twins=True, masks=True
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 photos, one that is broken and one that is a copy."""
    folder = tmp_path_factory.mktemp("cluster") / "photos"
    pictures = scenes.write(folder.parent / "scenes", 4, 480, 360, seed=2)
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(48):
        left, top = (int(each) for each in rng.integers(0, (240, 180)))
        crop = (
            Image.open(pictures[number % 4]).convert("RGB").crop((left, top, left + 240, top + 180))
        )
        crop.save(folder / f"{number:02d}.jpg", quality=90)
    (folder / "20-broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    (folder / "50-copy.jpg").write_bytes((folder / "07.jpg").read_bytes())
    return folder


@pytest.fixture(scope="module")
def expected(photos: Path) -> dict[str, bytes]:
    """The files of the dataset that one machine makes."""
    generator.build(photos, photos.parent / "local", RECIPE, shards=SHARDS)
    return contents(photos.parent / "local")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of three nodes with one CPU each."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_worker_niceness"] = "0"  # by default, other processes keep workers waiting
    made = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    try:
        for _ in range(2):
            made.add_node(**NODE)
        made.wait_for_nodes()
        yield made
    finally:
        made.shutdown()


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def start(photos: str | Path, out: str | Path, *flags: str, **environment: str) -> Any:
    """Starts the command with the recipe of this module."""
    command = [sys.executable, "-m", "synth", "generate", str(photos), str(out), *FLAGS]
    command += ["--shards", str(SHARDS), "--engine", "ray", *flags]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | environment,
    )  # fmt: skip


def finish(process: Any) -> str:
    """Waits for a command that must succeed; -> what it printed."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return str(output)


def wait_for_shards(staging: Path, count: int, process: Any) -> None:
    """Waits until a run has written some unfinished shards."""
    end = time.monotonic() + 200
    while len(list(staging.glob("unfinished/*.parquet"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_one_node_and_three_nodes_give_the_dataset_of_one_machine(
    photos: Path, expected: dict[str, bytes], cluster: Any, tmp_path: Path
) -> None:
    assert "1 x the same file as 07.jpg" in finish(
        start(photos, tmp_path / "one", "--workers", "1")
    )
    assert contents(tmp_path / "one") == expected
    finish(start(photos, tmp_path / "three", "--address", cluster.address))
    assert contents(tmp_path / "three") == expected


def test_a_lost_node_changes_nothing(
    photos: Path, expected: dict[str, bytes], cluster: Any, tmp_path: Path
) -> None:
    process = start(photos, tmp_path / "set", "--address", cluster.address)
    wait_for_shards(tmp_path / "set.partial", 2, process)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    finish(process)
    cluster.add_node(**NODE)
    assert contents(tmp_path / "set") == expected


def test_a_killed_driver_goes_on_from_its_shards(
    photos: Path, expected: dict[str, bytes], cluster: Any, tmp_path: Path
) -> None:
    process = start(photos, tmp_path / "set", "--address", cluster.address)
    wait_for_shards(tmp_path / "set.partial", 5, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(2)  # until the cluster has ended the tasks of the driver
    before = {path: path.stat().st_mtime_ns for path in
              (tmp_path / "set.partial" / "unfinished").glob("*.parquet")}  # fmt: skip
    assert len(before) >= 5
    process = start(photos, tmp_path / "set", "--address", cluster.address)
    assert "pass --resume" in process.communicate()[1]
    finish(start(photos, tmp_path / "set", "--address", cluster.address, "--resume"))
    assert contents(tmp_path / "set") == expected


def test_bad_input_is_one_line(photos: Path, cluster: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for source, address, message in (
        (empty, cluster.address, "no picture file in"),
        (photos, "127.0.0.1:1", "--address 127.0.0.1:1"),
    ):
        process = start(source, tmp_path / "set", "--address", address)
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 2, errors
        assert message in errors
        assert len(errors.strip().splitlines()) == 1
        assert not (tmp_path / "set").exists()
