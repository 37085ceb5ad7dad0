from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from localize.sources import Folder
from synth import InputError, apply, read

Retabled = Callable[[Path, Path, pd.DataFrame], Path]


def test_samples_are_the_rows_with_an_anomaly(small_set: Path) -> None:
    table = read(small_set)
    total = 0
    for split in ("train", "val", "test"):
        source = Folder(small_set, split)
        rows = table[(table["split"] == split) & (table["label"] == 1)]
        assert [source[i].name for i in range(len(source))] == rows["file_name"].tolist()
        total += len(source)
    assert total == len(Folder(small_set, "all")) == (table["label"] == 1).sum()


def test_truth_is_where_the_pixels_changed(small_set: Path) -> None:
    """Image and clean twin differ inside the region much more than outside it."""
    source = Folder(small_set, "all")
    for i in range(len(source)):
        sample = source[i]
        twin = Folder._image(source, source.table["clean_file_name"].iloc[i])
        assert sample.truth is not None
        wanted = apply(twin, sample.truth).astype(int)
        right = np.abs(sample.image - wanted).mean()
        assert right < 0.5 * np.abs(sample.image.astype(int) - twin).mean()


def test_clean_pictures_are_the_clean_rows_else_the_twins(
    small_set: Path, tmp_path: Path, retabled: Retabled
) -> None:
    table = pd.read_csv(small_set / "metadata.csv")
    assert len(list(Folder(small_set).clean())) == (table["label"] == 0).sum() > 0
    copy = retabled(small_set, tmp_path / "set", table[table["label"] == 1])
    source = Folder(copy)
    assert len(list(source.clean())) == len(source)


def test_an_unknown_split_is_refused(small_set: Path) -> None:
    with pytest.raises(InputError, match="tset"):
        Folder(small_set, "tset")
