"""COCO format: a folder of images, and a JSON file of boxes and segmentations per split."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np

from synth import dataset as datasets
from synth.anomaly import Shape
from synth.exporting.source import Progress, Row, Source, licences, write_json
from synth.recipe import SPLITS

UNPLACED = "anomaly"  # the category of unplaced rows
OF_ANOMALY = (
    "x", "y", "r", "discolor_ratio", "shape", "overflow", "rounding", "feather",
)  # fmt: skip


def write(source: Source, out: Path, progress: Progress) -> int:
    """Writes ``images/`` and ``annotations/instances_SPLIT.json``; returns the number of images.

    The box is the tightest one around the pixels of the region, where pixel i spans i to i + 1 as
    in COCO. The segmentation is an uncompressed RLE of these pixels, the area their number. Each
    annotation also has x, y, r and discolor_ratio, with pixel centres at integers.

    If the dataset has unplaced rows, each image has the key ``label``. The annotation of an
    unplaced row is made from its mask, in the category ``anomaly``, and left out without a mask.
    """
    texts = licences(source.rows)
    ids = {text: number for number, text in enumerate(texts, 1)}
    labelled = any(map(datasets.is_unplaced, source.rows))
    categories = [*get_args(Shape), *([UNPLACED] if labelled else [])]
    numbers = {name: number for number, name in enumerate(categories, 1)}
    images: dict[str, list[Row]] = {split: [] for split in SPLITS}
    found: dict[str, list[Row]] = {split: [] for split in SPLITS}
    for done, row in enumerate(source.rows, 1):
        image = {
            "id": done,
            "file_name": source.copy(row["file_name"], row, out / "images"),
            "width": row["width"],
            "height": row["height"],
            "dataset_file_name": row["file_name"],
            "photo": row["photo"],
            "source_url": row["source_url"],
        }
        if row["licence"]:
            image["license"] = ids[row["licence"]]
        if labelled:
            image["label"] = row["label"]
        images[row["split"]].append(image)
        mask = source.region(row) if row["label"] == 1 else None
        if mask is not None:
            unplaced = datasets.is_unplaced(row)
            found[row["split"]].append(
                {
                    "id": done,
                    "image_id": done,
                    "category_id": numbers[UNPLACED if unplaced else row["shape"]],
                    "bbox": box(mask),
                    "area": int(mask.sum()),
                    "segmentation": {"size": list(mask.shape), "counts": run_lengths(mask)},
                    "iscrowd": 0,
                }
                | ({} if unplaced else {name: row[name] for name in OF_ANOMALY})
            )
        progress(done, len(source.rows))
    shared = {
        "info": {"description": f"{source.name}: faint anomalies in photos"},
        "licenses": [{"id": ids[text], "name": text, "url": _address(text)} for text in texts],
        "categories": [
            {"id": number, "name": name, "supercategory": "anomaly"}
            for name, number in numbers.items()
        ],
    }
    (out / "annotations").mkdir()
    for split in SPLITS:
        if images[split]:
            content = shared | {"images": images[split], "annotations": found[split]}
            write_json(out / "annotations" / f"instances_{split}.json", content)
    return len(source.rows)


def _address(licence: str) -> str:
    return licence if licence.startswith(("http://", "https://")) else ""


def box(mask: np.ndarray) -> list[int]:
    """(H, W) bool, not empty -> COCO's [x, y, width, height] of the tightest box, px.

    >>> box(np.array([[0, 0, 0, 0], [0, 1, 1, 0]], bool))
    [1, 1, 2, 1]
    """
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top = int(cols[0]), int(rows[0])
    return [left, top, int(cols[-1]) + 1 - left, int(rows[-1]) + 1 - top]


def run_lengths(mask: np.ndarray) -> list[int]:
    """(H, W) bool -> COCO's uncompressed RLE: run lengths in column order, first of zeros.

    >>> run_lengths(np.array([[0, 1], [0, 1]], bool)), run_lengths(np.array([[1, 0]], bool))
    ([2, 2], [0, 1, 1])
    """
    flat = mask.ravel(order="F")
    ends = [*(np.flatnonzero(flat[1:] != flat[:-1]) + 1).tolist(), flat.size]
    starts = [0, *ends[:-1]]
    first = [0] if flat[0] else []
    return first + [end - start for start, end in zip(starts, ends, strict=True)]
