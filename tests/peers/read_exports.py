"""Reads exported datasets with pycocotools, Hugging Face datasets and webdataset, and compares.

It runs in a virtual environment without Acuity, and needs a dataset with twins and masks:

    make peers
    synth export set out/coco --format coco       # and imagefolder, webdataset, mvtec
    .peers/readers/bin/python tests/peers/read_exports.py set out

The exit code is 1 if what a reader returns differs from the dataset.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image


def table_of(dataset: Path) -> pd.DataFrame:
    return pd.read_csv(
        dataset / "metadata.csv", keep_default_na=False, na_values={"x": "", "y": ""}
    )


def pixels(path: Path | io.BytesIO) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def region(row: pd.Series) -> np.ndarray:
    """A row -> (H, W) bool: its region with a hard edge, see docs/reference/dataset.md."""
    i, j = np.meshgrid(np.arange(row.width), np.arange(row.height))
    dx, dy, r = np.abs(i - float(row.x)), np.abs(j - float(row.y)), float(row.r)
    return dx**2 + dy**2 <= r**2 if row["shape"] == "circle" else (dx <= r) & (dy <= r)


def check_coco(dataset: Path, out: Path) -> str:
    from pycocotools import mask as masks
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    table, regions, images = table_of(dataset).set_index("file_name"), 0, 0
    for path in sorted((out / "annotations").glob("instances_*.json")):
        with contextlib.redirect_stdout(io.StringIO()):
            coco = COCO(str(path))
        split = path.stem.removeprefix("instances_")
        assert len(coco.getImgIds()) == (table["split"] == split).sum()
        results = []
        for image in coco.loadImgs(coco.getImgIds()):
            row = table.loc[image["dataset_file_name"]]
            assert row["split"] == split
            copied = (out / "images" / image["file_name"]).read_bytes()
            assert copied == (dataset / image["dataset_file_name"]).read_bytes()
            found = coco.loadAnns(coco.getAnnIds(imgIds=image["id"]))
            assert len(found) == row.label
            images += 1
            for annotation in found:
                mask = coco.annToMask(annotation).astype(bool)
                assert np.array_equal(mask, region(row))
                assert np.array_equal(mask, pixels(dataset / row.mask_file_name) > 0)
                rle = coco.annToRLE(annotation)
                assert masks.toBbox(rle).tolist() == annotation["bbox"]
                assert int(masks.area(rle)) == annotation["area"]
                name = coco.loadCats(annotation["category_id"])[0]["name"]
                assert name == row["shape"]
                results.append(
                    {
                        "image_id": image["id"],
                        "category_id": annotation["category_id"],
                        "bbox": annotation["bbox"],
                        "segmentation": masks.encode(np.asfortranarray(mask.astype(np.uint8))),
                        "score": 1.0,
                    }
                )
                regions += 1
        for kind in ("bbox", "segm") if results else ():
            with contextlib.redirect_stdout(io.StringIO()):
                evaluation = COCOeval(coco, coco.loadRes(results), kind)
                evaluation.evaluate()
                evaluation.accumulate()
                evaluation.summarize()
            assert evaluation.stats[0] > 0.999, (kind, evaluation.stats)
    return f"{images} images; {regions} equal masks and boxes; AP of the truth is 1 (bbox, segm)"


def check_imagefolder(dataset: Path, out: Path) -> str:
    import datasets

    datasets.disable_progress_bars()
    table, counts = table_of(dataset), []
    with tempfile.TemporaryDirectory() as cache:
        loaded = datasets.load_dataset("imagefolder", data_dir=str(out), cache_dir=cache)
        names = {"train": "train", "val": "validation", "test": "test"}
        assert set(loaded) == {names[split] for split in table["split"]}
        for split, name in names.items():
            rows = table[table["split"] == split]
            if rows.empty:
                continue
            part = loaded[name]
            assert len(part) == len(rows)
            for sample, (_, row) in zip(part, rows.iterrows(), strict=True):
                assert sample["dataset_file"] == row.file_name
                for feature, column in (("image", "file_name"), ("clean", "clean_file_name")):
                    decoded = np.asarray(sample[feature].convert("RGB"))
                    assert np.array_equal(decoded, pixels(dataset / row[column]))
                mask = np.asarray(sample["mask"])
                assert np.array_equal(mask, pixels(dataset / row.mask_file_name))
                assert sample["label"] == row.label
                # The export puts text that datasets would read as an empty cell in quotation marks.
                assert sample["licence"].strip('"') == (row.licence or "unknown")
                assert (sample["x"] is None) == (row.label == 0)
                if row.label:
                    for column in ("x", "y", "r", "discolor_ratio"):
                        assert sample[column] == float(row[column])
            counts.append(f"{len(part)} {name}")
        features = ", ".join(k for k, v in part.features.items() if isinstance(v, datasets.Image))
    return f"{', '.join(counts)}; images in the features {features}"


def check_card(dataset: Path) -> str:
    """Runs the Python code of the dataset card, with the folder and the split replaced."""
    import datasets

    datasets.disable_progress_bars()
    table, counts = table_of(dataset), []
    code = (dataset / "README.md").read_text(encoding="utf-8").split("```python\n")[1]
    code = code.split("```")[0].replace("this/folder", str(dataset))
    with tempfile.TemporaryDirectory() as cache:
        datasets.config.HF_DATASETS_CACHE = Path(cache)
        assert set(datasets.load_dataset(str(dataset))) == {"all_rows"}, "test rows are in train"
        for split in sorted(set(table["split"])):
            names: dict[str, object] = {}
            exec(code.replace('"test"', repr(split)), names)
            part, rows = names["test"], table[table["split"] == split]
            assert len(part) == len(rows)
            for sample, (_, row) in zip(part, rows.iterrows(), strict=True):
                assert sample["photo_sha256"] == row.photo_sha256
                decoded = np.asarray(sample["image"].convert("RGB"))
                assert np.array_equal(decoded, pixels(dataset / row.file_name))
            counts.append(f"{len(part)} {split}")
    return ", ".join(counts)


def check_webdataset(dataset: Path, out: Path) -> str:
    import webdataset

    table, samples = table_of(dataset).set_index("file_name"), 0
    for split in sorted(set(table["split"])):
        shards = [str(path) for path in sorted(out.glob(f"{split}-*.tar"))]
        read = []
        for sample in webdataset.WebDataset(shards, shardshuffle=False, empty_check=False):
            row = table.loc[json.loads(sample["json"])["file_name"]]
            suffix = "jpg" if row.codec == "jpeg" else "png"
            pairs = {
                suffix: row.name,
                f"clean.{suffix}": row.clean_file_name,
                "mask.png": row.mask_file_name,
            }
            for key, name in pairs.items():
                assert sample[key] == (dataset / name).read_bytes(), key
            assert row["split"] == split
            read.append(row.name)
        assert read == table.index[table["split"] == split].tolist()
        decoded = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
        for image, about in decoded.decode("pil").to_tuple("jpg;png", "json"):
            assert image.size == (about["width"], about["height"])
            samples += 1
    assert samples == len(table)
    return f"{samples} samples in {len(list(out.glob('*.tar')))} shards, also decoded"


def check_mvtec(dataset: Path, out: Path) -> str:
    """Pairs images with masks by the order of their sorted paths, as anomalib does."""
    (category,) = (path for path in out.iterdir() if path.is_dir())
    table = pd.read_csv(out / "metadata.csv", keep_default_na=False).set_index("picture")
    images = sorted(p for p in category.glob("test/*/*") if p.parent.name != "good")
    masks = sorted(category.glob("ground_truth/*/*.png"))
    assert len(images) == len(masks) > 0
    for image, mask in zip(images, masks, strict=True):
        assert image.stem in mask.stem
        row = table.loc[image.relative_to(out).as_posix()]
        assert np.array_equal(pixels(mask), pixels(dataset / row.mask_file_name))
        assert image.read_bytes() == (dataset / row.file_name).read_bytes()
    train, good = (len(list(category.glob(f"{name}/good/*"))) for name in ("train", "test"))
    assert train
    return f"{train} in train/good, {good} in test/good, {len(masks)} images with a mask"


CHECKS: dict[str, tuple[str, Callable[[Path, Path], str]]] = {
    "coco": ("pycocotools", check_coco),
    "imagefolder": ("datasets", check_imagefolder),
    "webdataset": ("webdataset", check_webdataset),
    "mvtec": ("pillow", check_mvtec),
}


def main(dataset: Path, exports: Path) -> None:
    """Checks every export in ``exports``, whose folders have the names of the formats."""
    reader = f"datasets {importlib.metadata.version('datasets')}"
    print(f"dataset, read by {reader} with the code of its card: {check_card(dataset)}")
    for name, (package, check) in CHECKS.items():
        if (exports / name).is_dir():
            reader = f"{package} {importlib.metadata.version(package)}"
            print(f"{name}, read by {reader}: {check(dataset, exports / name)}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: read_exports.py DATASET FOLDER_OF_EXPORTS")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
