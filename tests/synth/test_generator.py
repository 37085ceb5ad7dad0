"""Generation gives the same bytes with any number of workers and after any interruption."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synth import (
    InputError,
    Recipe,
    dataset,
    folders,
    generate,
    mask,
    read,
    rebuild,
    verify,
)

SMALL = Recipe(size=(48, 40), radius=(4, 9), codec="png")
FULL = dataclasses.replace(SMALL, per_photo=2, twins=True, masks=True, clean_fraction=0.3)
Contents = Callable[[Path], dict[str, bytes]]
SavePhotos = Callable[..., Path]


@given(st.data())
@settings(max_examples=12, deadline=None)
def test_any_recipe_verifies_and_rebuilds(
    recipes: Callable[..., st.SearchStrategy[Recipe]],
    photo_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    data: st.DataObject,
) -> None:
    recipe = data.draw(recipes())
    count = data.draw(st.one_of(st.none(), st.integers(1, 13)))
    out = tmp_path_factory.mktemp("any") / "set"
    try:
        table = generate(photo_folder, out, recipe, count=count)
    except InputError as nothing:
        reason = str(nothing)
    else:
        reason = ""
    if reason:
        assert "can be used" in reason
        assert not list(out.parent.iterdir())
        return
    assert verify(out, photo_folder) == []
    for i, row in enumerate(table.to_dict("records")):
        assert rebuild(out, i, photo_folder) == (out / row["file_name"]).read_bytes()
    shutil.rmtree(out.parent)


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory, save_photos: SavePhotos) -> Path:
    """A folder of photos with copies, a broken file, unusual names, many sizes and sources."""
    folder = tmp_path_factory.mktemp("messy")
    names = ["a.png", "b b.JPG", "c/same.png", "d/same.png", "e'ü写.png", 'f"q,u\n.png', "g.png"]
    save_photos(folder, names)
    (folder / "h-broken.jpg").write_bytes((folder / "b b.JPG").read_bytes()[:700])
    (folder / "h-text.png").write_text("I am no picture")
    shutil.copyfile(folder / "a.png", folder / "h-copy of a.png")
    (folder / "k").mkdir()
    shutil.copyfile(folder / "d" / "same.png", folder / "k" / "same.png")  # would share its file
    save_photos(folder, ["h-small.png"], 50, width=40, height=30)
    Image.open(folder / "g.png").resize((144, 120)).save(folder / "i-near g.jpg", quality=80)
    (folder / "j-link.png").symlink_to(folder / "c" / "same.png")
    (folder / "photos.csv").write_text(
        "file_name,source_url,licence\na.png,https://x.org/a,CC0\n"
        'e\'ü写.png,https://x.org/e?a=1;b=2,"CC BY 4.0, by Ü"\n'
    )
    return folder


@pytest.fixture(scope="module")
def made(messy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of the messy folder; read only."""
    out = tmp_path_factory.mktemp("made") / "set"
    generate(messy, out, FULL)
    return out


def test_a_messy_folder_makes_a_sound_dataset(messy: Path, made: Path) -> None:
    table = read(made)
    assert sorted(set(table["photo"])) == [
        "a.png", "b b.JPG", "c/same.png", "d/same.png", "e'ü写.png", "f\"q,u\n.png", "g.png",
        "i-near g.jpg",
    ]  # fmt: skip
    assert (table["photo"].value_counts() == 2).all()
    assert table["file_name"].is_unique
    assert verify(made, messy) == []
    for row in table.to_dict("records"):
        truth = dataset.truth(row)
        with Image.open(made / row["file_name"]) as image:
            pixels = np.asarray(image)
        with Image.open(made / row["clean_file_name"]) as image:
            clean = np.asarray(image)
        with Image.open(made / row["mask_file_name"]) as image:
            region = np.asarray(image)
        assert pixels.shape == (40, 48, 3)
        assert set(np.unique(region)) <= {0, 255}
        if truth is None:
            assert not region.any()
            assert np.array_equal(pixels, clean)
        else:
            assert np.array_equal(region > 0, mask(truth, 40, 48))
            assert np.array_equal(pixels[region == 0], clean[region == 0])
            assert not np.array_equal(pixels, clean)
    origin = table.set_index("photo")[["source_url", "licence"]]
    assert origin.loc["a.png"].to_numpy().tolist() == [["https://x.org/a", "CC0"]] * 2
    assert origin.loc["e'ü写.png", "licence"].tolist() == ["CC BY 4.0, by Ü"] * 2
    assert (origin.loc["g.png"] == "").all().all()
    assert "CC BY 4.0" in (made / "README.md").read_text(encoding="utf-8")


def test_skipped_photos_are_listed_with_their_reason(messy: Path, made: Path) -> None:
    skipped = pd.read_csv(made / "skipped.csv").set_index("photo")["reason"]
    assert sorted(skipped.index) == [
        "h-broken.jpg", "h-copy of a.png", "h-small.png", "h-text.png", "j-link.png",
        "k/same.png",
    ]  # fmt: skip
    assert skipped["h-copy of a.png"] == "the same file as a.png"
    assert skipped["k/same.png"] == "the same file as d/same.png"
    assert skipped["j-link.png"] == "the same file as c/same.png"
    assert "40x30, smaller than 48x40" in skipped["h-small.png"]
    assert "not a picture" in skipped["h-text.png"]
    assert "broken" in skipped["h-broken.jpg"]


def test_files_and_table_agree(made: Path, contents: Contents) -> None:
    table = read(made)
    named = table[["file_name", "clean_file_name", "mask_file_name"]].to_numpy().ravel()
    extra = {"metadata.csv", "recipe.json", "README.md", "skipped.csv"}
    assert set(contents(made)) == set(named) | extra


def test_near_duplicates_share_a_split(messy: Path, tmp_path: Path) -> None:
    splits = set()
    for seed in range(8):
        recipe = dataclasses.replace(SMALL, split=(1, 1, 1), seed=seed)
        table = generate(messy, tmp_path / str(seed), recipe).set_index("photo")["split"]
        assert table["g.png"] == table["i-near g.jpg"]
        splits.add(table["a.png"])
    assert len(splits) > 1


def test_four_workers_make_the_same_bytes_as_one(
    messy: Path, made: Path, tmp_path: Path, contents: Contents
) -> None:
    generate(messy, tmp_path / "four", FULL, workers=4)
    assert contents(tmp_path / "four") == contents(made)
    generate(messy, tmp_path / "one", FULL, count=7)
    generate(messy, tmp_path / "two", FULL, count=7, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize("count", [1, 4, 5, 11, 12, 13, 500])
def test_count_stops_after_so_many_rows(
    photo_folder: Path, tmp_path: Path, contents: Contents, count: int
) -> None:
    recipe = dataclasses.replace(SMALL, per_photo=2)
    seen: list[tuple[int, int]] = []
    table = generate(
        photo_folder, tmp_path / "set", recipe, count=count, progress=lambda *x: seen.append(x)
    )
    rows = min(count, 12)
    assert len(table) == rows
    assert table["photo"].nunique() == (rows + 1) // 2
    assert seen[-1] == (rows, rows)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len([name for name in contents(tmp_path / "set") if name.startswith("images/")]) == rows
    whole = generate(photo_folder, tmp_path / "all", recipe)
    places = ["file_name", "x", "y", "r", "discolor_ratio", "crop_x"]
    pd.testing.assert_frame_equal(table[places], whole[places][:rows])


def test_copies_do_not_count(messy: Path, tmp_path: Path) -> None:
    table = generate(messy, tmp_path / "set", SMALL, count=8)
    assert len(table) == 8
    assert table["photo_sha256"].is_unique


def test_row_k_does_not_depend_on_how_many_rows_there_are(
    photo_folder: Path, tmp_path: Path
) -> None:
    one = generate(photo_folder, tmp_path / "1", SMALL)
    three = generate(photo_folder, tmp_path / "3", dataclasses.replace(SMALL, per_photo=3))
    three = three[three["file_name"].str.endswith("-0.png")].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, three)


def test_another_photo_changes_no_other_row(
    photo_folder: Path, save_photos: SavePhotos, tmp_path: Path
) -> None:
    more = shutil.copytree(photo_folder, tmp_path / "more")
    save_photos(more, ["aa.png", "zz.png"], 70)
    few = generate(photo_folder, tmp_path / "few", FULL)
    many = generate(more, tmp_path / "many", FULL)
    assert len(many) == len(few) + 4
    kept = many[~many["photo"].isin(["aa.png", "zz.png"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(few.drop(columns="split"), kept.drop(columns="split"))
    for name in few["file_name"]:
        assert (tmp_path / "few" / name).read_bytes() == (tmp_path / "many" / name).read_bytes()


def test_photos_are_not_touched(messy: Path, tmp_path: Path, contents: Contents) -> None:
    before = contents(messy)
    generate(messy, tmp_path / "set", SMALL)
    assert contents(messy) == before


def test_a_photo_that_cannot_be_encoded_is_skipped(tmp_path: Path) -> None:
    """JPEG is limited to 65500 px: a larger photo is skipped and the run continues."""
    photos = tmp_path / "photos"
    photos.mkdir()
    wide = np.random.default_rng(0).integers(0, 256, (12, 1, 3), dtype=np.uint8)
    Image.fromarray(np.repeat(wide, 65600, 1)).save(photos / "wide.png")
    Image.fromarray(np.repeat(wide, 40, 1)).save(photos / "zfine.png")
    table = generate(photos, tmp_path / "set", Recipe(size="keep", radius=(1, 2)))
    assert table["photo"].tolist() == ["zfine.png"]


def test_photos_that_photos_csv_leaves_out_are_counted(
    tmp_path: Path, save_photos: SavePhotos
) -> None:
    from synth import generator

    photos = save_photos(tmp_path / "photos", ["a.png", "e\u0301.png", "c.png"])
    assert generator.build(photos, tmp_path / "none", SMALL).unlisted == 0
    (photos / "photos.csv").write_text("File name;License\n./a.png;CC0\n\u00e9.png;MIT\n")
    built = generator.build(photos, tmp_path / "set", SMALL)
    assert built.unlisted == 1
    licences = dict(
        zip(*(read(tmp_path / "set")[name] for name in ("photo", "licence")), strict=True)
    )
    assert licences == {"a.png": "CC0", "e\u0301.png": "MIT", "c.png": ""}
    (photos / "photos.csv").write_text("file_name,licence\nmine/a.png,CC0\n")
    with pytest.raises(InputError, match="names none of the 3 photos"):
        generator.build(photos, tmp_path / "lost", SMALL)
    assert not list(tmp_path.glob("lost*"))


@pytest.mark.filterwarnings("ignore")
def test_names_that_tables_find_hard(tmp_path: Path, save_photos: SavePhotos) -> None:
    names = ["a\rb.png", "tab\t.png", " lead.png", "trail .png", "NA.png", "#.png", "=1+1.png"]
    photos = save_photos(tmp_path / "photos", names)
    generate(photos, tmp_path / "set", SMALL)
    assert sorted(read(tmp_path / "set")["photo"]) == sorted(names)
    assert verify(tmp_path / "set", photos) == []


def test_a_name_that_is_no_text_does_not_end_the_run(
    tmp_path: Path, save_photos: SavePhotos
) -> None:
    """Old archives have file names in other encodings, which are not valid UTF-8."""
    photos = save_photos(tmp_path / "photos", ["a.png", "b.png"])
    try:
        (photos / "b.png").rename(os.fsdecode(os.fsencode(photos) + b"/caf\xe9.png"))
    except OSError:
        pytest.skip("this file system knows no such names")
    table = generate(photos, tmp_path / "set", SMALL)
    assert "a.png" in table["photo"].tolist()


@pytest.mark.filterwarnings("ignore")
def test_photos_that_decoders_choke_on_are_skipped(
    photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow's decoders raise many types for broken files: TypeError, RuntimeError, ..."""
    original = Image.open
    errors = [TypeError("x"), RuntimeError("x"), NotImplementedError("x"), OverflowError("x")]
    calls: list[int] = []

    def choking(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return original(*args, **kwargs)

    monkeypatch.setattr(Image, "open", choking)
    table = generate(photo_folder, tmp_path / "set", SMALL)
    assert len(table) == 2
    assert len(table.attrs["skipped"]) == 4


def test_a_parquet_table_has_the_same_values(messy: Path, made: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    table = generate(messy, out, FULL, form="parquet")
    assert not (out / "metadata.csv").exists()
    assert "metadata.parquet" in (out / "README.md").read_text(encoding="utf-8")
    pd.testing.assert_frame_equal(table, read(out), check_dtype=False)
    pd.testing.assert_frame_equal(read(out), read(made), check_dtype=False)
    assert verify(out, messy) == []
    row = table.to_dict("records")[3]
    assert rebuild(out, 3, messy) == (out / row["file_name"]).read_bytes()
    with pytest.raises(InputError, match="table is 'xls': use one of csv, parquet"):
        generate(messy, tmp_path / "other", FULL, form="xls")  # type: ignore[arg-type]


def test_a_broken_parquet_table_is_one_line(
    messy: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    generate(messy, tmp_path / "set", SMALL, form="parquet")
    path = tmp_path / "set" / "metadata.parquet"
    path.write_bytes(path.read_bytes()[:500])
    assert "cannot be read as parquet" in refused("verify", tmp_path / "set", "--photos", messy)


def test_a_table_of_many_parts_is_the_same(
    messy: Path, made: Path, tmp_path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synth import generator

    monkeypatch.setattr(generator, "ROWS_PER_PART", 3)
    generate(messy, tmp_path / "set", FULL)
    assert contents(tmp_path / "set") == contents(made)


def test_memory_does_not_grow_with_the_rows(
    save_photos: SavePhotos, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """400 more rows, each 2 to 3 kB as Python objects, are not kept in memory."""
    from synth import generator

    monkeypatch.setattr(generator, "ROWS_PER_PART", 50)
    recipe = dataclasses.replace(SMALL, size=(16, 16), radius=(2, 3), per_photo=10)
    peaks = []
    for count in (3, 10, 50):  # the first one pays for the imports
        names = [f"{k}.png" for k in range(count)]
        photos = save_photos(tmp_path / f"photos-{count}", names, width=20, height=20)
        tracemalloc.start()
        made = generator.build(photos, tmp_path / f"set-{count}", recipe)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert made.summary.rows == 10 * count
    assert peaks[2] - peaks[1] < 4e5


# ---- interruption and resumption


class Stop(Exception):
    pass


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("after", [1, 5])
def test_resumed_is_as_if_undisturbed(
    messy: Path, made: Path, tmp_path: Path, contents: Contents, after: int, workers: int
) -> None:
    calls: list[int] = []

    def interrupt(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == after:
            raise Stop

    out = tmp_path / "set"
    with pytest.raises(Stop):
        generate(messy, out, FULL, progress=interrupt, workers=workers)
    assert not out.exists()
    with pytest.raises(InputError, match=r"--resume"):
        generate(messy, out, FULL)
    generate(messy, out, FULL, resume=True)
    assert contents(out) == contents(made)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_resuming_makes_only_what_is_missing(
    messy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synth import generator

    made_now: list[str] = []
    original = generator.make_rows

    def counting(source: Path, name: str, *rest: Any) -> Any:
        made_now.append(name)
        return original(source, name, *rest)

    monkeypatch.setattr(generator, "make_rows", counting)

    def interrupt(done: int, total: int) -> None:
        if len(made_now) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(messy, tmp_path / "set", SMALL, progress=interrupt)
    first = made_now.copy()
    made_now.clear()
    generate(messy, tmp_path / "set", SMALL, resume=True)
    assert len(first) == 4
    assert not set(first) & set(made_now)


def test_resuming_twice_and_with_a_torn_journal(
    messy: Path, made: Path, tmp_path: Path, contents: Contents
) -> None:
    out = tmp_path / "set"
    for limit in (3, 7):

        def interrupt(done: int, total: int, limit: int = limit) -> None:
            if done >= limit:
                raise Stop

        with pytest.raises(Stop):
            generate(messy, out, FULL, progress=interrupt, resume=True)
        journal = out.with_name("set.partial") / "journal.jsonl"
        torn = journal.read_bytes()
        journal.write_bytes(torn[:-25])  # as a lost power supply leaves it
        name = next((out.with_name("set.partial") / "images").iterdir())
        (name.parent / "half-written.png").write_bytes(b"\x89PNG")
    generate(messy, out, FULL, resume=True)
    assert contents(out) == contents(made)


def test_resume_without_anything_to_resume_just_starts(
    messy: Path, made: Path, tmp_path: Path, contents: Contents
) -> None:
    generate(messy, tmp_path / "set", FULL, resume=True)
    assert contents(tmp_path / "set") == contents(made)


def test_resume_with_another_recipe_is_refused(messy: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"

    def interrupt(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        generate(messy, out, SMALL, progress=interrupt)
    with pytest.raises(InputError, match="another recipe:"):
        generate(messy, out, dataclasses.replace(SMALL, seed=1), resume=True)
    with pytest.raises(InputError, match="another count:"):
        generate(messy, out, SMALL, count=3, resume=True)
    generate(messy, out, dataclasses.replace(SMALL, seed=1), overwrite=True)
    assert json.loads((out / "recipe.json").read_text())["recipe"]["seed"] == 1


@pytest.fixture
def stopped(messy: Path, tmp_path: Path) -> Path:
    """OUT of a run that was interrupted after four rows."""

    def interrupt(done: int, total: int) -> None:
        if done == 4:
            raise Stop

    with pytest.raises(Stop):
        generate(messy, tmp_path / "set", FULL, progress=interrupt)
    return tmp_path / "set"


@pytest.mark.parametrize("damage", ["deleted", "cut short", "emptied"])
def test_pictures_that_were_lost_are_made_again(
    messy: Path, made: Path, stopped: Path, contents: Contents, damage: str
) -> None:
    pictures = sorted(folders.staging_folder(stopped).rglob("*.png"))
    assert len(pictures) > 3
    for picture in pictures[::3]:
        if damage == "deleted":
            picture.unlink()
        else:
            data = picture.read_bytes()
            picture.write_bytes(data[: len(data) // 2] if damage == "cut short" else b"")
    generate(messy, stopped, FULL, resume=True)
    assert contents(stopped) == contents(made)


def test_a_lost_picture_of_a_changed_photo_is_refused(
    messy: Path, stopped: Path, tmp_path: Path
) -> None:
    changed = shutil.copytree(messy, tmp_path / "changed", symlinks=True)
    data = bytearray((changed / "a.png").read_bytes())
    data[-20] ^= 1  # in the end marker's neighbourhood: the size stays
    (changed / "a.png").write_bytes(data)
    for picture in folders.staging_folder(stopped).glob("images/a-*"):
        picture.unlink()
    with pytest.raises(InputError, match=r"a\.png.*has changed: pass --overwrite"):
        generate(changed, stopped, FULL, resume=True)


def test_a_damaged_journal_gives_the_same_dataset(
    messy: Path, made: Path, stopped: Path, contents: Contents
) -> None:
    journal = folders.staging_folder(stopped) / "journal.jsonl"
    data = bytearray(journal.read_bytes())
    third = data.index(b"\n", data.index(b"\n") + 1) + 200
    data[third : third + 300] = bytes(300)
    journal.write_bytes(data)
    generate(messy, stopped, FULL, resume=True)
    assert contents(stopped) == contents(made)


@pytest.mark.parametrize("workers", [1, 2])
def test_short_memory_is_not_the_photos_fault(
    messy: Path, made: Path, tmp_path: Path, contents: Contents, workers: int
) -> None:
    """The run ends without recording a broken photo, and can be resumed."""
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from tests_recipe import FULL\n"
        "from synth import generate, photos\n"
        "whole = photos.read\n"
        "def read(folder, name, *rest, **more):\n"
        "    if name == 'g.png':\n"
        "        raise MemoryError\n"
        "    return whole(folder, name, *rest, **more)\n"
        "photos.read = read\n"
        "if __name__ == '__main__':\n"
        f"    generate({str(messy)!r}, {str(tmp_path / 'set')!r}, FULL, workers={workers})\n"
    )
    (tmp_path / "tests_recipe.py").write_text(f"from synth import Recipe\nFULL = {FULL!r}\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert "Interrupted: out of memory at g.png: free some" in done.stderr.splitlines()[-1]
    generate(messy, tmp_path / "set", FULL, resume=True)
    assert contents(tmp_path / "set") == contents(made)


def test_a_script_without_a_main_guard_is_told_so(messy: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import synth\n"
        f"recipe = synth.Recipe(size=(48, 40), radius=(4, 9))\n"
        f"synth.generate({str(messy)!r}, {str(tmp_path / 'set')!r}, recipe, workers=2)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert "__name__ == '__main__'" in done.stderr.splitlines()[-1]
    assert done.stderr.count("Traceback") == 1  # the script's own
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


CHILD = """
import sys, time
from synth import Recipe, generate
from tests_recipe import FULL
if __name__ == "__main__":
    def slow(done, total):
        print(done, flush=True)
        time.sleep(0.05)
    generate(sys.argv[1], sys.argv[2], FULL, progress=slow, workers=int(sys.argv[3]))
"""


def child(folder: Path, photos: Path, out: Path, workers: int) -> subprocess.Popen[str]:
    (folder / "tests_recipe.py").write_text(f"from synth import Recipe\nFULL = {FULL!r}\n")
    (folder / "child.py").write_text(CHILD)
    return subprocess.Popen(
        [sys.executable, str(folder / "child.py"), str(photos), str(out), str(workers)],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_killed_run_resumes_to_the_same_bytes(
    messy: Path, made: Path, tmp_path: Path, contents: Contents
) -> None:
    out = tmp_path / "out" / "set"
    process = child(tmp_path, messy, out, 1)
    assert process.stdout is not None
    for _ in range(4):
        process.stdout.readline()
    process.kill()
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert not out.exists()
    assert out.with_name("set.partial").is_dir()
    generate(messy, out, FULL, resume=True)
    assert contents(out) == contents(made)


def survives(
    kills: int, seed: int, photos: Path, folder: Path, contents: Contents, workers: int
) -> None:
    """Kills the command at random times and resumes it: the bytes are those of a whole run."""
    recipe = folder / "recipe.json"
    recipe.write_text(json.dumps(FULL.to_dict()))

    def start(out: Path) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "synth", "generate", str(photos), str(out), "--resume"]
        words += ["--recipe", str(recipe), "--workers", str(workers), "--table", "parquet"]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL)

    began = time.monotonic()
    assert start(folder / "calm").wait(60) == 0
    took = time.monotonic() - began
    rng, done, calm = np.random.default_rng(seed), 0, contents(folder / "calm")
    for attempt in itertools.count():
        out = folder / f"killed-{attempt}"
        while not out.exists() or (out / folders.UNFINISHED).exists():
            process = start(out)
            try:
                assert process.wait(rng.uniform(0.3, 1.1) * took) == 0
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
                done += 1
        assert contents(out) == calm
        assert not out.with_name(f"{out.name}.partial").exists()
        if done >= kills:
            break


@pytest.fixture(scope="module")
def sixty(tmp_path_factory: pytest.TempPathFactory, save_photos: SavePhotos) -> Path:
    names = [f"{k:02}.png" for k in range(60)]
    return save_photos(tmp_path_factory.mktemp("sixty") / "photos", names, 200)


@pytest.mark.slow
def test_killed_at_random(sixty: Path, tmp_path: Path, contents: Contents) -> None:
    survives(2, 1, sixty, tmp_path, contents, workers=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_twenty_times(sixty: Path, tmp_path: Path, contents: Contents, workers: int) -> None:
    survives(20, 2, sixty, tmp_path, contents, workers)


def children_of(pid: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.add(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads the processes of /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_do_not_outlive_their_command(messy: Path, tmp_path: Path, number: int) -> None:
    """Otherwise each killed run, for example by a job scheduler, would leave processes behind."""
    process = child(tmp_path, messy, tmp_path / "set", 2)
    assert process.stdout is not None
    process.stdout.readline()
    workers = children_of(process.pid)
    try:
        assert workers
        process.send_signal(number)
        process.wait()
        end = time.monotonic() + 4
        while any(map(alive, workers)) and time.monotonic() < end:
            time.sleep(0.05)
        assert not [pid for pid in workers if alive(pid)]
    finally:
        process.stdout.close()
        for pid in workers:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


def test_a_full_disk_is_one_line_and_resumable(
    messy: Path,
    made: Path,
    tmp_path: Path,
    contents: Contents,
    monkeypatch: pytest.MonkeyPatch,
    refused: Callable[..., str],
    command: Callable[..., Any],
) -> None:
    whole, written = Path.write_bytes, []

    def until_full(self: Path, data: bytes) -> int:
        written.append(self)
        if len(written) > 12:
            whole(self, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return whole(self, data)

    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(FULL.to_dict()))
    arguments = ["generate", messy, tmp_path / "set", "--recipe", recipe, "--workers", 1]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", until_full)
        line = refused(*arguments)
    assert "No space left on device" in line
    assert "--resume" in line
    assert not (tmp_path / "set").exists()
    assert command(*arguments, "--resume").code == 0
    assert contents(tmp_path / "set") == contents(made)


# ---- what is already there


def test_an_existing_out_is_kept(photo_folder: Path, tmp_path: Path, contents: Contents) -> None:
    out = tmp_path / "set"
    generate(photo_folder, out, SMALL)
    before = contents(out)
    for flags in ({}, {"resume": True}):
        with pytest.raises(InputError, match="exists"):
            generate(photo_folder, out, SMALL, **flags)
    assert contents(out) == before
    other = dataclasses.replace(SMALL, seed=9)
    generate(photo_folder, out, other, overwrite=True)
    fresh = tmp_path / "fresh"
    generate(photo_folder, fresh, other)
    assert contents(out) == contents(fresh)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "set"]


def test_a_foreign_folder_is_never_overwritten(photo_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter1.tex").write_text("words")
    for flags in ({}, {"overwrite": True}, {"resume": True}, {"overwrite": True, "resume": True}):
        with pytest.raises(InputError):
            generate(photo_folder, out, SMALL, **flags)
    assert [path.name for path in out.iterdir()] == ["chapter1.tex"]
    assert (out / "chapter1.tex").read_text() == "words"


def test_an_image_folder_of_another_program_is_not_overwritten(
    photo_folder: Path, tmp_path: Path
) -> None:
    """Every Hugging Face imagefolder has a metadata.csv too."""
    out = tmp_path / "cats"
    out.mkdir()
    (out / "metadata.csv").write_text("file_name,text\ncat.png,a cat\n")
    (out / "cat.png").write_bytes(b"the only copy")
    with pytest.raises(InputError):
        generate(photo_folder, out, SMALL, overwrite=True)
    assert (out / "cat.png").read_bytes() == b"the only copy"


def test_out_inside_the_photos_is_refused(photo_folder: Path, tmp_path: Path) -> None:
    """A second run of `cd photos; synth generate . set` would read the images of the first."""
    photos = shutil.copytree(photo_folder, tmp_path / "photos")
    with pytest.raises(InputError, match="is inside the input"):
        generate(photos, photos / "set", SMALL)
    assert not (photos / "set").exists()


def test_photos_inside_out_are_not_deleted(
    photo_folder: Path, tmp_path: Path, contents: Contents
) -> None:
    """`synth generate set/clean set --overwrite` would delete what it reads."""
    out = tmp_path / "set"
    generate(photo_folder, out, dataclasses.replace(SMALL, twins=True))
    before = contents(out / "clean")
    with pytest.raises(InputError):
        generate(out / "clean", out, Recipe(size=(30, 30), radius=(2, 5)), overwrite=True)
    assert contents(out / "clean") == before


# ---- nothing to work on


def test_without_a_usable_photo_the_reason_is_given_and_no_files_left(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_text("text")
    (photos / "b.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"none of the 2 photos .* not a picture"):
        generate(photos, tmp_path / "set", SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


@pytest.mark.parametrize("fields", [{"count": 0}, {"count": -3}, {"workers": 0}, {"workers": -1}])
def test_counts_below_one_are_refused(
    photo_folder: Path, tmp_path: Path, fields: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match=f"{next(iter(fields))} is"):
        generate(photo_folder, tmp_path / "set", SMALL, **fields)
    assert not list(tmp_path.iterdir())


def test_recipes_are_taken_by_name_file_or_object(photo_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="smaller than 512x512"):
        generate(photo_folder, tmp_path / "set")
    file = tmp_path / "r.json"
    file.write_text(json.dumps(SMALL.to_dict()))
    by_file = generate(photo_folder, tmp_path / "a", file)
    by_object = generate(str(photo_folder), str(tmp_path / "b"), SMALL)
    assert by_file.equals(by_object)
    seed = generate(photo_folder, tmp_path / "c", "seed", count=2)
    assert (seed["width"] == 800).all()
    assert (seed["quality"] == 75).all()
    assert verify(tmp_path / "c", photo_folder) == []


def test_a_dark_change_darkens(photo_folder: Path, tmp_path: Path) -> None:
    table = generate(photo_folder, tmp_path / "set", dataclasses.replace(SMALL, ratio=(0.5, 0.6)))
    assert (table["realised_ratio"] < 0.65).all()
    assert (table["clipped_fraction"] == 0).all()
    assert table["discolor_ratio"].between(0.5, 0.6).all()
