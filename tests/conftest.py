"""Fixtures for both packages: small procedural photos and a dataset made of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from synth import Recipe, generate, scenes

sys.path.insert(0, str(Path(__file__).parent / "helpers"))
from object_store import bucket, s3, s3_server, shard_dataset, upload

__all__ = ["bucket", "s3", "s3_server", "upload"]  # fixtures

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


def with_table(dataset: Path, folder: Path, table: pd.DataFrame) -> Path:
    """Makes a dataset with the images of ``dataset`` and another table."""
    folder.mkdir()
    for name in ("images", "clean", "masks"):
        (folder / name).symlink_to(dataset / name)
    table.to_csv(folder / "metadata.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def retabled() -> Callable[[Path, Path, pd.DataFrame], Path]:
    """The function :func:`with_table`."""
    return with_table


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight procedural photos of 120 x 96 px."""
    folder = tmp_path_factory.mktemp("photos")
    scenes.write(folder, 8, 120, 96, seed=7)
    return folder


@pytest.fixture(scope="session")
def photo_folder(scene_folder: Path) -> Path:
    """The same folder; the tests of synth override this fixture."""
    return scene_folder


@pytest.fixture(scope="session")
def small_set(scene_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rows of 96 x 80 px in three splits, with clean rows, twins and masks."""
    folder = tmp_path_factory.mktemp("sets") / "small"
    recipe = Recipe(
        size=(96, 80), per_photo=3, radius=(10, 20), ratio=(1.2, 1.4), clean_fraction=0.2,
        twins=True, masks=True, split=(0.5, 0.25, 0.25), seed=3,
    )  # fmt: skip
    generate(scene_folder, folder, recipe)
    return folder


@pytest.fixture(scope="session")
def sharded_set(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of ``small_set`` in 3 shards with row groups of 4 rows."""
    folder = tmp_path_factory.mktemp("sets") / "sharded"
    shard_dataset(small_set, folder)
    return folder
