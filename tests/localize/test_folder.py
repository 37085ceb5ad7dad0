from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from localize.data.folder import Folder
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
        twin = source.read_image(source.table["clean_file_name"].iloc[i])
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
    pictures = source.clean()
    next(pictures)
    assert operator.length_hint(pictures) == len(source) - 1


def test_an_unknown_split_is_refused(small_set: Path) -> None:
    with pytest.raises(InputError, match="tset"):
        Folder(small_set, "tset")


def test_negatives_name_their_photo_and_their_partner(
    small_set: Path, tmp_path: Path, retabled: Retabled
) -> None:
    table = pd.read_csv(small_set / "metadata.csv")
    blank = table[(table["label"] == 0) & (table["split"] == "train")]
    source = Folder(small_set, "train")
    assert [n.name for n in source.negatives()] == blank["file_name"].tolist()
    assert [n.photo for n in source.negatives()] == blank["photo"].tolist()
    assert {n.partner for n in source.negatives()} == {None}
    twins = source.negatives(told=True)
    assert [n.partner for n in twins] == list(range(len(source)))
    assert [n.name for n in twins] == source.table["clean_file_name"].tolist()
    assert [n.photo for n in twins] == source.groups

    hidden = table[table["label"] == 1].drop(columns=["photo"])
    hidden["clean_file_name"] = hidden["clean_file_name"].iloc[0]  # one twin for all
    source = Folder(retabled(small_set, tmp_path / "set", hidden))
    assert len(source.negatives()) == len(list(source.clean())) == 1
    assert len(source.negatives(told=True)) == len(source)
    assert source.groups == source.table["file_name"].tolist()
