"""Sharded datasets hold the rows and bytes of the folder form, and survive interruptions."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from synth import InputError, Recipe, card, dataset, generator, verify
from synth.sharding import rendering
from synth.shards import PICTURES

RECIPE = Recipe(
    size=(48, 40), radius=(4, 9), codec="png", per_photo=2, twins=True, masks=True,
    clean_fraction=0.3,
)  # fmt: skip
SavePhotos = Callable[..., Path]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, save_photos: SavePhotos) -> Path:
    """Nine photos with sources, a copy of the first and a broken file between them."""
    folder = tmp_path_factory.mktemp("sharded") / "photos"
    folder.mkdir()
    save_photos(folder, [f"{name}.png" for name in "abdefghij"])
    (folder / "c-broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    shutil.copyfile(folder / "a.png", folder / "k-copy.png")
    (folder / "notes.txt").write_text("no photo")
    (folder / "photos.csv").write_text("file_name,source_url,licence\na.png,https://e.org/a,CC0\n")
    return folder


def rows_of(folder: Path) -> pd.DataFrame:
    """All columns of all shards."""
    names = [each["name"] for each in manifest_of(folder)["shards"]]
    return pd.concat([pq.read_table(folder / name).to_pandas() for name in names])


def manifest_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def contents(folder: Path) -> dict[str, bytes]:
    """Bytes by name of all files in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def check_same_rows(sharded: Path, folder: Path) -> None:
    """Checks that a sharded dataset has the table and the files of one in folder form."""
    expected = dataset.parse(folder)
    rows = rows_of(sharded)
    found = dataset.frame([{name: row[name] for name in dataset.COLUMNS} for row in
                           rows.to_dict("records")])  # fmt: skip
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    for row in rows.to_dict("records"):
        for column, picture in PICTURES.items():
            assert row[picture]["path"] == row[column]
            assert row[picture]["bytes"] == (folder / row[column]).read_bytes()
    about, recipe = manifest_of(sharded), json.loads((folder / "recipe.json").read_text())
    pd.testing.assert_frame_equal(dataset.read(sharded), expected)
    assert verify(sharded) == []
    for name in ("recipe", "count", "photos_sha256", "versions"):
        assert about[name] == recipe[name]
    assert (sharded / "skipped.csv").read_text() == (folder / "skipped.csv").read_text()


@pytest.mark.parametrize("count", [None, 1, 7])
@pytest.mark.parametrize("shards", [1, 5, 1000])
def test_shards_hold_the_rows_of_the_folder_form(
    photos: Path, tmp_path: Path, count: int | None, shards: int
) -> None:
    generator.build(photos, tmp_path / "folder", RECIPE, count=count)
    built = generator.build(photos, tmp_path / "set", RECIPE, count=count, shards=shards)
    check_same_rows(tmp_path / "set", tmp_path / "folder")
    assert built.skipped.keys() <= {"c-broken.jpg", "k-copy.png"}
    about = manifest_of(tmp_path / "set")
    assert about["rows"] == built.summary.rows == sum(each["rows"] for each in about["shards"])
    assert about["photos"] == built.summary.photos
    for each in about["shards"]:
        data = (tmp_path / "set" / each["name"]).read_bytes()
        assert each["sha256"] == hashlib.sha256(data).hexdigest()
        assert each["bytes"] == len(data)
        assert each["rows"] == pq.ParquetFile(tmp_path / "set" / each["name"]).metadata.num_rows
    assert {path.name for path in (tmp_path / "set").iterdir()} == {
        "README.md", "manifest.json", "shards", "skipped.csv",
    }  # fmt: skip


def test_the_number_of_workers_changes_nothing(photos: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        generator.build(photos, tmp_path / str(workers), RECIPE, shards=4, workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.parametrize("stop", ["render", "finish"])
def test_a_stopped_run_goes_on_from_its_shards(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: str
) -> None:
    generator.build(photos, tmp_path / "whole", RECIPE, shards=4)
    module = f"synth.sharding.generator.{stop}_shard"
    original = generator.generate_shards.__globals__[f"{stop}_shard"]

    def fail_at_third(run: Any, shard: Any, *arguments: Any) -> Any:
        if shard.number == 2:
            raise KeyboardInterrupt
        return original(run, shard, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, fail_at_third)
        with pytest.raises(KeyboardInterrupt):
            generator.build(photos, tmp_path / "set", RECIPE, shards=4)
    with pytest.raises(InputError, match="pass --resume to continue it"):
        generator.build(photos, tmp_path / "set", RECIPE, shards=4)
    with pytest.raises(InputError, match="started with another shards"):
        generator.build(photos, tmp_path / "set", RECIPE, shards=2, resume=True)
    rendered: list[str] = []
    render = rendering.render_rows

    def count_renderings(source: Any, name: str, *arguments: Any) -> Any:
        rendered.append(name)
        return render(source, name, *arguments)

    monkeypatch.setattr(rendering, "render_rows", count_renderings)
    generator.build(photos, tmp_path / "set", RECIPE, shards=4, resume=True)
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")
    assert "a.png" not in rendered
    assert (len(rendered) == 0) == (stop == "finish")


def test_a_damaged_unfinished_shard_is_made_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a full disk: a file of the earlier run is cut."""
    generator.build(photos, tmp_path / "whole", RECIPE, shards=4)
    original = generator.generate_shards.__globals__["render_shard"]

    def stop_at_third(run: rendering.Run, shard: rendering.Shard) -> Any:
        if shard.number == 2:
            raise KeyboardInterrupt
        return original(run, shard)

    with monkeypatch.context() as patch:
        patch.setattr("synth.sharding.generator.render_shard", stop_at_third)
        with pytest.raises(KeyboardInterrupt):
            generator.build(photos, tmp_path / "set", RECIPE, shards=4)
    [damaged] = (tmp_path / "set.partial").glob("unfinished/part-000001.parquet")
    data = damaged.read_bytes()
    damaged.write_bytes(data[: len(data) // 2])
    generator.build(photos, tmp_path / "set", RECIPE, shards=4, resume=True)
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_rendering_checks_the_machine(photos: Path, tmp_path: Path) -> None:
    from synth.storage import storage_of

    out = storage_of(tmp_path)
    shard = rendering.Shard(0, ("a.png",), (("", ""),))
    with pytest.raises(InputError, match="does not see"):
        rendering.render_shard(rendering.Run(photos, out, RECIPE), shard)
    (tmp_path / "unfinished").mkdir()
    (tmp_path / rendering.REQUEST).write_text("{}")
    with pytest.raises(InputError, match="has no folder"):
        rendering.render_shard(rendering.Run(tmp_path / "none", out, RECIPE), shard)
    other = dataset.versions() | {"pillow": "1.0"}
    with pytest.raises(InputError, match=r"has pillow .*, but the run was started with 1\.0"):
        rendering.render_shard(rendering.Run(photos, out, RECIPE, other), shard)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shards": 0}, "shards is 0: give 1 or more rows"),
        ({"engine": "spark"}, "engine is 'spark': use one of local, ray"),
        ({"address": "auto"}, "pass --engine ray with it"),
    ],
)
def test_bad_options(photos: Path, tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        generator.build(photos, tmp_path / "set", RECIPE, **options)
    assert not list(tmp_path.iterdir())


def test_overwrite_replaces_only_a_sharded_dataset(photos: Path, tmp_path: Path) -> None:
    generator.build(photos, tmp_path / "set", RECIPE, count=2, shards=5)
    before = contents(tmp_path / "set")
    with pytest.raises(InputError, match="exists: name another folder"):
        generator.build(photos, tmp_path / "set", RECIPE, shards=5)
    generator.build(photos, tmp_path / "set", RECIPE, shards=5, overwrite=True)
    assert contents(tmp_path / "set") != before
    generator.build(photos, tmp_path / "folder", RECIPE, count=2)
    with pytest.raises(InputError, match="not overwritten"):
        generator.build(photos, tmp_path / "folder", RECIPE, shards=5, overwrite=True)


def test_no_usable_photo_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    with pytest.raises(InputError, match="none of the 1 photos"):
        generator.build(tmp_path / "photos", tmp_path / "set", RECIPE, shards=5)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_the_card_names_the_shards(photos: Path, tmp_path: Path) -> None:
    generator.build(photos, tmp_path / "set", RECIPE, shards=5)
    text = (tmp_path / "set" / "README.md").read_text()
    assert 'path: "shards/*.parquet"' in text
    assert "`manifest.json` records all parameters" in text
    assert "recipe.json" not in text


def test_summaries_of_parts_merge_to_that_of_the_whole(photos: Path, tmp_path: Path) -> None:
    generator.build(photos, tmp_path / "set", dataclasses.replace(RECIPE, seed=3))
    table = dataset.parse(tmp_path / "set")
    whole, merged = card.Summary(), card.Summary()
    whole.add(table)
    for start, end in ((0, 4), (4, 6), (6, len(table))):
        part = card.Summary()
        part.add(table.iloc[start:end])
        merged.merge(part)
    for name in ("rows", "hidden", "unplaced", "photos", "splits", "licences", "ratio", "radius"):
        assert getattr(whole, name) == getattr(merged, name)
