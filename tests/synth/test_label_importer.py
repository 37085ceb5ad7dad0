"""Images with labels only: layouts, splits, skipped files, and the other commands of synth."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from synth import InputError, dataset, exporting, read, verify
from synth.label_importer import import_labels
from synth.label_splits import divide_large_groups, stratified_splits
from synth.preview import preview

Refused = Callable[..., str]
SIZE = (20, 16)  # width, height


def save(path: Path, seed: int, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def save_mask(path: Path, size: tuple[int, int] = SIZE, value: int = 255) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(size[::-1], np.uint8)
    mask[4:8, 5:12] = value
    Image.fromarray(mask).save(path)


def class_folders(root: Path, **counts: int) -> Path:
    for number, (name, count) in enumerate(counts.items()):
        for k in range(count):
            save(root / name / f"{k:02}.png", 1000 * number + k)
    return root


@pytest.fixture(scope="module")
def mvtec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A category of MVTec AD with 10 + 3 good images, 3 masked scratches and 2 dents."""
    root = tmp_path_factory.mktemp("mvtec") / "tile"
    for part, start, count in (("train/good", 0, 10), ("test/good", 20, 3)):
        for k in range(count):
            save(root / part / f"{k:03}.png", start + k)
    for k in range(3):
        save(root / "test/scratch" / f"{k:03}.png", 40 + k)
        save_mask(root / "ground_truth/scratch" / f"{k:03}_mask.png")
        if k < 2:
            save(root / "test/dent" / f"{k:03}.png", 60 + k)
    save_mask(root / "ground_truth/scratch/000.png")  # of no image, since there is 000_mask.png
    return root


@pytest.fixture(scope="module")
def imported(mvtec: Path) -> Path:
    """The same as a dataset."""
    import_labels(mvtec, mvtec.parent / "set")
    return mvtec.parent / "set"


@pytest.mark.parametrize(
    ("normal", "anomalous", "options"),
    [
        ("normal", "anomalous", {}),
        ("Good", "bad", {}),
        ("ok", "nok", {}),
        ("cats", "dogs", {"normal": ["cats"]}),
    ],
)
def test_class_folders_become_labels(
    tmp_path: Path, normal: str, anomalous: str, options: dict[str, Any]
) -> None:
    class_folders(tmp_path / "in", **{normal: 10, anomalous: 5})
    made = import_labels(tmp_path / "in", tmp_path / "set", **options)
    table = read(tmp_path / "set")
    assert made.classes == {(normal, 0): 10, (anomalous, 1): 5}
    assert table.groupby("class")["label"].unique().to_dict() == {normal: [0], anomalous: [1]}
    assert table.groupby(["label", "split"]).size().to_dict() == {
        (0, "train"): 6, (0, "val"): 2, (0, "test"): 2,
        (1, "train"): 3, (1, "val"): 1, (1, "test"): 1,
    }  # fmt: skip
    assert table[["x", "y", "r", "discolor_ratio"]].isna().all(axis=None)
    assert not list(dataset.problems(table, tmp_path / "set"))
    for row in table.to_dict("records"):
        name = row["file_name"].removeprefix("images/").replace("-", "/", 1)
        copied = (tmp_path / "set" / row["file_name"]).read_bytes()
        assert copied == (tmp_path / "in" / name).read_bytes()
        assert dataset.truth(row) is None
        assert dataset.is_unplaced(row) == (row["label"] == 1)


def test_split_folders_are_kept_and_the_seed_decides_the_rest(tmp_path: Path) -> None:
    for part in ("Training", "valid", "test"):
        class_folders(tmp_path / "in" / part, ok=4, ng=2)
    import_labels(tmp_path / "in", tmp_path / "set")
    counts = read(tmp_path / "set").groupby(["split", "label"]).size().to_dict()
    assert counts == {(part, label): 4 - 2 * label for part in ("train", "val", "test")
                      for label in (0, 1)}  # fmt: skip
    import_labels(tmp_path / "in", tmp_path / "one", split="test")
    assert set(read(tmp_path / "one")["split"]) == {"test"}
    splits = []
    for seed in (1, 1, 3):
        import_labels(tmp_path / "in", tmp_path / "r", split=(1, 1, 0), seed=seed, overwrite=True)
        splits.append(read(tmp_path / "r")["split"].tolist())
    assert splits[0] == splits[1] != splits[2]
    assert Counter(splits[0]) == {"train": 9, "val": 9}


def test_mvtec_keeps_masks_and_makes_a_val_split(mvtec: Path, imported: Path) -> None:
    table = read(imported)
    assert table.groupby(["split", "class"]).size().to_dict() == {
        ("train", "good"): 8, ("val", "good"): 2, ("test", "good"): 3,
        ("test", "scratch"): 3, ("test", "dent"): 2,
    }  # fmt: skip
    masked = table[table["mask_file_name"] != ""]
    assert set(masked["class"]) == {"scratch"}
    mask = imported / masked["mask_file_name"].iloc[1]
    assert mask.read_bytes() == (mvtec / "ground_truth/scratch/001_mask.png").read_bytes()
    region = dataset.region(masked.iloc[1].to_dict(), imported)
    assert region is not None
    assert region.sum() == 4 * 7
    assert region[4:8, 5:12].all()
    assert (imported / "skipped.csv").read_text().count("a mask of no image") == 1
    assert verify(imported) == []


def test_what_cannot_be_used_is_skipped_with_its_reason(tmp_path: Path) -> None:
    root = class_folders(tmp_path / "in" / "test", good=3, bad=4)
    (root / "good/broken.png").write_bytes(b"no")
    Image.new("RGB", SIZE).save(root / "bad/b.bmp")
    save(tmp_path / "in/stray.png", 5)
    save_mask(tmp_path / "in/ground_truth/bad/00_mask.png", (9, 9))
    save_mask(tmp_path / "in/ground_truth/bad/01_mask.png", value=0)
    save_mask(tmp_path / "in/ground_truth/bad/02.png", value=1)
    made = import_labels(tmp_path / "in", tmp_path / "set")
    assert (made.summary.rows, made.masks) == (7, 1)
    assert {name: reason.split(":")[0].split(";")[0] for name, reason in made.skipped.items()} == {
        "test/good/broken.png": "not a picture",
        "test/bad/b.bmp": "neither JPEG nor PNG",
        "stray.png": "not in the folder of a class",
        "ground_truth/bad/00_mask.png": "the mask is 9x9, its image 20x16",
        "ground_truth/bad/01_mask.png": "the mask is black",
    }
    with (tmp_path / "set/skipped.csv").open(newline="") as file:
        assert {row["photo"] for row in csv.DictReader(file)} == set(made.skipped)
    shutil.rmtree(tmp_path / "in/test/good")
    shutil.rmtree(tmp_path / "in/ground_truth")
    (root / "good").mkdir()
    (root / "good/broken.png").write_bytes(b"no")
    for path in root.glob("bad/*"):
        path.write_bytes(b"no")
    with pytest.raises(InputError, match=r"none of the 6 images .* can be used; the first"):
        import_labels(tmp_path / "in", tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("labels", "options", "kinds"),
    [
        (["0", "1", "1", "0"], {}, None),
        (["ok", "scratch", "dent", "ok"], {}, ["ok", "scratch", "dent", "ok"]),
        (["A", "B", "B", "A"], {"normal": ["A"]}, ["A", "B", "B", "A"]),
        (["1", "0", "0", "1"], {"normal": ["1"]}, ["1", "0", "0", "1"]),
    ],
)
def test_tables_with_labels(
    tmp_path: Path, labels: Sequence[str], options: dict[str, Any], kinds: list[str] | None
) -> None:
    for k in range(4):
        save(tmp_path / "in/deep" / f"{k}.png", k)
    rows = "".join(f"/x/deep/{k}.png,{word},{'test' if k else 'train'}\n"
                   for k, word in enumerate(labels))  # fmt: skip
    (tmp_path / "t.csv").write_text(f"path,kind,split\n{rows}/x/gone.png,{labels[0]},test\n")
    made = import_labels(
        tmp_path / "t.csv", tmp_path / "set", tmp_path / "in", label="kind", image="path", **options
    )
    table = read(tmp_path / "set")
    assert table["label"].tolist() == [0, 1, 1, 0]
    assert table["split"].tolist() == ["train", "test", "test", "test"] or set(table["split"]) == {
        "val",
        "test",
    }  # the only train image may be drawn for val
    assert (table["class"].tolist() if "class" in table else None) == kinds
    assert list(made.skipped) == ["/x/gone.png"]


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (["0", "x"], {}, "row 1, line 3: label is 'x', in other rows 0 or 1"),
        (["a", "b"], {}, "column label of .* has the values a, b, none of which is known"),
        (["a", "b"], {"normal": ["c"]}, "--normal c: there is no such class"),
        (["0", ""], {}, "row 1.*: label is empty"),
    ],
)
def test_labels_that_are_not_known_are_refused(
    tmp_path: Path, rows: list[str], options: dict[str, Any], words: str
) -> None:
    save(tmp_path / "in/a.png", 0)
    (tmp_path / "t.csv").write_text("file,label\n" + "".join(f"a.png,{row}\n" for row in rows))
    with pytest.raises(InputError, match=words):
        import_labels(tmp_path / "t.csv", tmp_path / "set", tmp_path / "in", image="file",
                      **options)  # fmt: skip


def test_contradicting_rows_are_refused_and_repeated_ones_counted_once(tmp_path: Path) -> None:
    save(tmp_path / "in/a.png", 0)
    table = tmp_path / "t.csv"
    table.write_text("file_name,label\na.png,0\na.png,1\n")
    with pytest.raises(InputError, match=r"a\.png is both normal and anomalous"):
        import_labels(table, tmp_path / "set", tmp_path / "in")
    table.write_text("file_name,label\na.png,0\na.png,0\n")
    assert import_labels(table, tmp_path / "set", tmp_path / "in").summary.rows == 1


def test_bad_input_is_one_line(tmp_path: Path, mvtec: Path, refused: Refused) -> None:
    flat, out = class_folders(tmp_path / "flat", cats=2, dogs=2), tmp_path / "set"
    (tmp_path / "beside").mkdir()
    shutil.copytree(mvtec / "train", tmp_path / "beside/train")
    shutil.copytree(flat / "cats", tmp_path / "beside/extra")

    def line(*arguments: object) -> str:
        return refused("import", arguments[0], out, "--labels", *arguments[1:])

    assert "class folders cats, dogs, none of which is known as normal" in line(flat)
    assert "--normal cow: there is no such class" in line(flat, "--normal", "cow")
    assert "has no class folders, only 2 files" in line(flat / "cats")
    assert f"such as {mvtec}" in line(mvtec.parent, "--normal", "tile")
    assert "(train) and beside them extra" in line(tmp_path / "beside")
    assert "no folder or table at" in line(tmp_path / "gone")
    assert "--images is for a table" in line(flat, "--images", flat)
    assert "--x is for tables with places" in line(flat, "--x", "a")
    assert "split 'dev' is unknown" in line(flat, "--split", "dev")
    assert "split is 1:2: give three shares" in line(flat, "--split", "1:2")
    assert "pass --labels" in refused("import", flat, out)
    assert "--seed is for images with labels" in refused("import", flat, out, "--seed", "1")
    assert not out.exists()


def test_the_command_reports_classes_and_normal_only_folders(
    tmp_path: Path, mvtec: Path, command: Callable[..., Any]
) -> None:
    answer = command("import", mvtec, tmp_path / "set", "--labels")
    assert answer.out == [
        f"18 rows (8 train, 2 val, 8 test) in {tmp_path / 'set'}: 13 normal, 5 anomalous "
        "(3 with a mask)",
        "normal classes: good 13",
        "anomalous classes: dent 2, scratch 3",
        f"1 file or folder passed over: 1 x a mask of no image; see {tmp_path}/set/skipped.csv",
    ]
    answer = command("import", mvtec / "train", tmp_path / "good", "--labels")
    assert answer.out[-1].startswith("all images are normal")


def test_copies_have_different_names(tmp_path: Path) -> None:
    for name in ("normal/a-b/c.png", "normal/a/b-c.png", "normal/A/b-c.png", "bad/x.png"):
        save(tmp_path / "in" / name, len(name))
    import_labels(tmp_path / "in", tmp_path / "set")
    names = sorted(path.name for path in (tmp_path / "set/images").iterdir())
    assert len({name.casefold() for name in names}) == 4
    assert "normal-a-b-c.png" in {name.casefold() for name in names}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 99))
def test_each_label_is_divided_in_the_shares(counts: list[int], seed: int) -> None:
    kinds = [(int(k > 0), str(k)) for k, count in enumerate(counts) for _ in range(count)]
    splits = np.array(stratified_splits(kinds, range(len(kinds)), (0.6, 0.2, 0.2), seed))
    labels = np.array([label for label, _ in kinds])
    for label in (0, 1):
        own = splits[labels == label]
        expected = len(own) * np.array([0.6, 0.2, 0.2])
        assert (abs(np.bincount(own, minlength=3) - expected) < 1.3).all()


def test_near_duplicates_share_a_split_unless_most_images_look_alike(tmp_path: Path) -> None:
    for k in range(30):
        save(tmp_path / "in/normal" / f"{k:02}.png", k)
        save(tmp_path / "in/bad" / f"{k:02}.png", 100 + k)
    shutil.copy(tmp_path / "in/normal/00.png", tmp_path / "in/normal/copy.png")
    for seed in range(3):
        import_labels(tmp_path / "in", tmp_path / "set", split=(1, 1, 1), seed=seed, overwrite=True)
        split_of = read(tmp_path / "set").set_index("file_name")["split"]
        assert split_of["images/normal-00.png"] == split_of["images/normal-copy.png"]
    same = [0] * 50 + list(range(50, 60))
    assert divide_large_groups(same, range(-1, -61, -1)) == [*range(-1, -51, -1), *range(50, 60)]


def test_partly_empty_rows_are_refused(imported: Path, tmp_path: Path) -> None:
    shutil.copytree(imported, tmp_path / "set")
    table = read(tmp_path / "set")
    row = int(np.flatnonzero(table["label"] == 1)[0])
    table.loc[row, ["x", "y"]] = 5.0
    (tmp_path / "set/metadata.csv").write_text(dataset.to_csv(table))
    with pytest.raises(InputError, match=rf"row {row} \(.*\): r, discolor_ratio empty"):
        read(tmp_path / "set")


def test_verify_finds_masks_that_do_not_fit(imported: Path, tmp_path: Path) -> None:
    shutil.copytree(imported, tmp_path / "set")
    masks = sorted((tmp_path / "set/masks").iterdir())
    save_mask(masks[0], (9, 9))
    save_mask(masks[1], value=0)
    faults = [problem.what for problem in verify(tmp_path / "set")]
    assert sorted(fault.split(":")[0] for fault in faults) == [
        "its mask is 9x9, in the table 20x16", "its mask is black",
    ]  # fmt: skip


def test_preview_shows_the_mask_or_says_that_the_place_is_not_known(imported: Path) -> None:
    sheet = preview(imported, 18)
    assert sheet.shape[1] > 1000


def test_the_card_counts_unplaced_rows(imported: Path) -> None:
    card = (imported / "README.md").read_text()
    assert "task_categories: [image-classification]" in card
    assert "5 of them have an anomaly whose place is" in card
    assert "inf" not in card


def test_exports(imported: Path, tmp_path: Path) -> None:
    for form in exporting.FORMATS:
        images = 16 if form == "mvtec" else 18  # MVTec AD has no val split
        assert exporting.export(imported, tmp_path / form, form) == images
    tree = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "mvtec").rglob("*.png")}
    assert sum(name.startswith("mvtec/set/test/anomalous/") for name in tree) == 5
    assert sum(name.startswith("mvtec/set/ground_truth/anomalous/") for name in tree) == 3
    coco = json.loads((tmp_path / "coco/annotations/instances_test.json").read_text())
    assert Counter(each["label"] for each in coco["images"]) == {0: 3, 1: 5}
    assert [each["bbox"] for each in coco["annotations"]] == [[5, 4, 7, 4]] * 3
    names = {each["id"]: each["name"] for each in coco["categories"]}
    assert {names[each["category_id"]] for each in coco["annotations"]} == {"anomaly"}
    with (tmp_path / "imagefolder/test/metadata.csv").open(newline="") as file:
        assert Counter(row["class"] for row in csv.DictReader(file)) == {
            "good": 3, "scratch": 3, "dent": 2,
        }  # fmt: skip
    with tarfile.open(tmp_path / "webdataset/test-000000.tar") as tar:
        masks = [name for name in tar.getnames() if name.endswith(".mask.png")]
        assert len(masks) == 3
