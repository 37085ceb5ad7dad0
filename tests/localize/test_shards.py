"""Sharded datasets and photos at URLs give the answers, scores and trainings of local folders."""

from __future__ import annotations

import json
import multiprocessing
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from object_store import shard_dataset
from torch.utils.data import default_collate

import localize
from localize.cli import main
from localize.data import batches
from localize.data.endless import Endless
from localize.data.folder import Folder
from localize.data.loader import ErrorReturningDataset, Loader, set_up_worker
from localize.play import page
from localize.sharpness.design import Design
from localize.sharpness.measurement import measure
from synth import InputError, Recipe, console, dataset
from synth.storage import place_of

pytestmark = pytest.mark.usefixtures("no_figures")


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[name for name in table if name in ("seconds", "ms_per_image")])


@pytest.mark.parametrize("split", ["train", "val", "test", "all"])
def test_a_source_has_the_same_images(split: str, small_set: Path, sharded_set: Path) -> None:
    local, sharded = Folder(small_set, split), Folder(sharded_set, split)
    assert len(local) == len(sharded)
    for i in range(len(local)):
        one, other = local[i], sharded[i]
        assert (one.name, one.photo, one.truth) == (other.name, other.photo, other.truth)
        assert np.array_equal(one.image, other.image)
    assert local.negatives() == sharded.negatives()
    clean = sharded.clean()
    assert operator.length_hint(clean) == len(local.negatives())
    assert all(np.array_equal(a, b) for a, b in zip(local.clean(), clean, strict=True))


SLOW = pytest.mark.slow  # each process imports torch


@pytest.mark.parametrize(
    "start", ["fork", pytest.param("spawn", marks=SLOW), pytest.param("forkserver", marks=SLOW)]
)
def test_worker_processes_read_shards(start: str, sharded_set: Path) -> None:
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip("the system has no such start method")
    source = Folder(sharded_set, "train")
    expected = [source[i].image for i in range(len(source))]  # opens the shards in the parent
    examples = batches.Examples(source, (96, 80), augment=keep_unchanged)
    items = ErrorReturningDataset(examples, source, default_collate)
    loader = Loader(
        items,
        batch_size=1,
        collate_fn=items.collate,
        sampler=[(i, 0) for i in range(len(source))],
        num_workers=2,
        worker_init_fn=set_up_worker,
        multiprocessing_context=start,
    )
    seen = [batch["image"][0].permute(1, 2, 0).numpy() for batch in loader]
    assert all(np.array_equal(a, b) for a, b in zip(seen, expected, strict=True))


def keep_unchanged(sample: Any, seed: int) -> Any:
    """An augmentation that changes nothing; a lambda cannot be sent to a process."""
    return sample


def test_evaluate_and_play_give_the_same(
    small_set: Path, sharded_set: Path, tmp_path: Path
) -> None:
    one = localize.evaluate(["boundary"], small_set, tmp_path / "one")
    other = localize.evaluate(["boundary"], sharded_set, tmp_path / "other")
    for name in ("predictions", "scores", "clean"):
        pd.testing.assert_frame_equal(
            comparable(getattr(one, name)), comparable(getattr(other, name))
        )
    record = json.loads((tmp_path / "other" / "comparison.json").read_text())
    assert record["dataset"] == "sharded"
    files = dataset.open_files(sharded_set)
    assert record["table_sha256"] == dataset.fingerprint(files)
    assert record["dataset_recipe"]["recipe"]["seed"] == 3
    assert "shards" not in record["dataset_recipe"]
    scored = localize.score(tmp_path / "one" / "predictions.csv", sharded_set, tmp_path / "again")
    assert scored.scores["median"].tolist() == one.scores["median"].tolist()
    assert page.build(sharded_set).images == page.build(small_set).images


def test_training_gives_the_same_run(small_set: Path, sharded_set: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "input": (48, 32), "epochs": 1, "device": "cpu", "progress": False, "seed": 1,
    }  # fmt: skip
    for place, out in ((small_set, "one"), (sharded_set, "other")):
        localize.train("cnn-slow", place, tmp_path / out, **options)
    one, other = (localize.describe(tmp_path / out) for out in ("one", "other"))
    assert one["val_distance"] == other["val_distance"]


def test_find_refuses_a_url_and_a_sharded_dataset(
    sharded_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, message in (
        ("s3://bucket/photos", "is a URL, and find reads local images"),
        (str(sharded_set), "no picture file in"),
    ):
        assert console.run(main.app, "localize", ["find", place]) == 2
        assert message in capsys.readouterr().err


@pytest.fixture
def memory_photos(scene_folder: Path, request: pytest.FixtureRequest) -> str:
    """The photos of ``scene_folder`` in memory."""
    url = f"memory://{abs(hash(request.node.nodeid))}/photos"
    for path in scene_folder.iterdir():
        place_of(url).write_bytes(path.name, path.read_bytes())  # type: ignore[union-attr]
    return url


def test_endless_images_are_those_of_local_photos(
    scene_folder: Path, memory_photos: str
) -> None:
    recipe = Recipe(size=(64, 64), radius=(8, 12))
    one, other = Endless(scene_folder, recipe), Endless(memory_photos, recipe)
    assert one.names == other.names
    for index in range(3):
        assert np.array_equal(one[index].image, other[index].image)


def test_sharpness_takes_photos_at_a_url(
    scene_folder: Path, memory_photos: str, tmp_path: Path
) -> None:
    design = Design(ratios=(1.1, 1.3), radii=(12,), per_cell=2, size=(80, 80))
    results = [
        measure(["boundary"], photos, tmp_path / name, design, workers=1)
        for name, photos in (("one", scene_folder), ("other", memory_photos))
    ]
    pd.testing.assert_frame_equal(*(comparable(each.trials) for each in results))


@pytest.mark.slow
def test_train_evaluate_and_sharpness_with_s3(
    small_set: Path,
    scene_folder: Path,
    tmp_path: Path,
    bucket: str,
    upload: Callable[[Path, str, str], str],
) -> None:
    """The worker processes of training and of sharpness open the bucket themselves."""
    place = str(shard_dataset(small_set, f"s3://{bucket}/set").place)
    photos = upload(scene_folder, bucket, "photos")
    options: dict[str, Any] = {
        "input": (48, 32), "epochs": 1, "device": "cpu", "progress": False, "seed": 1,
        "augment": ("flip",), "workers": 2,
    }  # fmt: skip
    for where, out in ((small_set, "one"), (place, "other")):
        localize.train("cnn-slow", where, tmp_path / out, **options)
    one, other = (localize.describe(tmp_path / out) for out in ("one", "other"))
    assert one["val_distance"] == other["val_distance"]
    scored = [
        localize.evaluate(["boundary"], where, tmp_path / f"scores-{out}")
        for where, out in ((small_set, "one"), (place, "other"))
    ]
    pd.testing.assert_frame_equal(*(comparable(each.predictions) for each in scored))
    design = Design(ratios=(1.1, 1.3), radii=(12,), per_cell=2, size=(80, 80))
    measured = [
        measure(["boundary"], where, tmp_path / f"sharp-{out}", design, workers=2)
        for where, out in ((scene_folder, "one"), (photos, "other"))
    ]
    pd.testing.assert_frame_equal(*(comparable(each.trials) for each in measured))


def test_a_missing_dataset_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        Folder("memory://nowhere/set")
