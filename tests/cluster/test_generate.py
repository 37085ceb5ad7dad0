"""`synth generate --engine ray` on a cluster of three nodes gives the dataset of one machine."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cluster_commands import NODE, Command
from PIL import Image

from synth import PRESETS, generator, scenes
from synth.storage import storage_of

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


def contents(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def start(photos: str | Path, out: str | Path, *flags: object) -> Command:
    """Starts the command with the recipe of this module."""
    shards = ["--shards", SHARDS, "--engine", "ray"]
    return Command(Path.cwd(), "synth", "generate", photos, out, *FLAGS, *shards, *flags)


def has_shards(staging: Path, count: int) -> Callable[[], bool]:
    """A function: whether a run has written some unfinished shards."""
    return lambda: len(list(staging.glob("unfinished/*.parquet"))) >= count


def test_one_node_and_three_nodes_give_the_dataset_of_one_machine(
    photos: Path, expected: dict[str, bytes], cluster: Any, tmp_path: Path
) -> None:
    printed, _ = start(photos, tmp_path / "one", "--workers", 1).finish()
    assert "1 x the same file as 07.jpg" in printed
    assert contents(tmp_path / "one") == expected
    start(photos, tmp_path / "three", "--address", cluster.address).finish()
    assert contents(tmp_path / "three") == expected


def test_a_lost_node_changes_nothing(
    photos: Path, expected: dict[str, bytes], cluster: Any, tmp_path: Path
) -> None:
    process = start(photos, tmp_path / "set", "--address", cluster.address)
    process.wait_until(has_shards(tmp_path / "set.partial", 2))
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    process.finish()
    cluster.add_node(**NODE)
    assert contents(tmp_path / "set") == expected


def test_a_killed_driver_goes_on_from_its_shards(
    photos: Path, expected: dict[str, bytes], cluster: Any, tmp_path: Path
) -> None:
    process = start(photos, tmp_path / "set", "--address", cluster.address)
    process.wait_until(has_shards(tmp_path / "set.partial", 5))
    process.process.kill()
    process.process.communicate()
    time.sleep(2)  # until the cluster has ended the tasks of the driver
    before = {path: path.stat().st_mtime_ns for path in
              (tmp_path / "set.partial" / "unfinished").glob("*.parquet")}  # fmt: skip
    assert len(before) >= 5
    _, errors = start(photos, tmp_path / "set", "--address", cluster.address).finish(code=2)
    assert "pass --resume" in errors
    start(photos, tmp_path / "set", "--address", cluster.address, "--resume").finish()
    assert contents(tmp_path / "set") == expected


def test_bad_input_is_one_line(photos: Path, cluster: Any, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for source, address, message in (
        (empty, cluster.address, "no picture file in"),
        (photos, "127.0.0.1:1", "--address 127.0.0.1:1"),
    ):
        _, errors = start(source, tmp_path / "set", "--address", address).finish(code=2)
        assert message in errors
        assert len(errors.strip().splitlines()) == 1
        assert not (tmp_path / "set").exists()


def test_photos_and_dataset_in_a_bucket(
    photos: Path,
    expected: dict[str, bytes],
    bucket: str,
    upload: Callable[[Path, str, str], str],
    tmp_path: Path,
) -> None:
    source, out = upload(photos, bucket, "photos"), f"s3://{bucket}/set"
    start(source, out, "--workers", 1).finish()
    target = storage_of(out)
    names = {name for name, _ in target.files()}
    assert names == expected.keys()
    for name in names - {"skipped.csv"}:
        assert target.read_bytes(name) == expected[name], name
    Command(Path.cwd(), "synth", "verify", out, "--photos", source).finish()
    _, errors = start(source, out, "--workers", 1).finish(code=2)
    assert "exists: name another place, or pass --overwrite" in errors
    start(source, out, "--workers", 1, "--count", 3, "--overwrite").finish()
    assert sum(name.startswith("shards/") for name, _ in target.files()) == 1
    _, errors = start(source, "s3://no-such-bucket/set", "--workers", 1).finish(code=2)
    assert len(errors.strip().splitlines()) == 1
    assert "there is no such bucket" in errors
