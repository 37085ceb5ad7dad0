"""MVTec AD format: folders of good and defective images, and ground-truth masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from synth import dataset as datasets
from synth import folders, renderer
from synth.errors import InputError
from synth.exporting.source import KEY, Progress, Row, Source, columns


def write(source: Source, out: Path, progress: Progress) -> int:
    """Writes ``CATEGORY/train/good``, ``test/good``, ``test/SHAPE`` and ``ground_truth/SHAPE``.

    An unplaced row is written to ``test/anomalous``, with its mask if it has one.

    The category is the name of the dataset. Masks are PNG with 255 in the region; an image and
    its mask have the same place in their folders. Images keep their codec, but many readers of
    MVTec AD, such as anomalib's, read .png only, so datasets for them need codec png. If split
    test is empty, val is used as test. Returns the number of images.

    Raises:
        InputError: there is no clean image in train, or no image in test and val.
    """
    category = Path(source.name or "dataset")
    trial = "test" if any(row["split"] == "test" for row in source.rows) else "val"
    good = {split: _clean(source.rows, split) for split in ("train", trial)}
    bad = [row for row in source.rows if row["split"] == trial and row["label"] == 1]
    if not good["train"]:
        raise InputError(
            f"{source.files.place} has no clean image in split train for MVTec's train/good: "
            "generate it with --clean-fraction or --twins"
        )
    if not (bad or good[trial]):
        raise InputError(f"{source.files.place} has no row in split test or val for MVTec's test")
    plan = [(row, name, Path("train/good")) for row, name in good["train"]]
    plan += [(row, name, Path("test/good")) for row, name in good[trial]]
    plan += [(row, row["file_name"], Path("test", _defect(row))) for row in bad]
    table: list[Row] = []
    for done, (row, name, where) in enumerate(plan, 1):
        new = source.copy(name, row, out / category / where)
        line: Row = {"picture": (category / where / new).as_posix(), "mask": ""}
        region = None if where.name == "good" else source.region(row)
        if region is not None:
            mask = category / "ground_truth" / where.name / f"{row[KEY]}_mask.png"
            (out / mask).parent.mkdir(parents=True, exist_ok=True)
            (out / mask).write_bytes(renderer.encode(region * np.uint8(255), "png", 0))
            line["mask"] = mask.as_posix()
        table.append(line | {"is_twin": int(name != row["file_name"])} | columns(row))
        progress(done, len(plan))
    folders.write(out / datasets.TABLE, datasets.to_csv(pd.DataFrame(table)))
    return len(plan)


def _defect(row: Row) -> str:
    """The name of the folder for a row with an anomaly."""
    return "anomalous" if datasets.is_unplaced(row) else str(row["shape"])


def _clean(rows: Sequence[Row], split: str) -> list[tuple[Row, str]]:
    """The clean images of a split as (row, file name): rows with label 0, else clean twins."""
    part = [row for row in rows if row["split"] == split]
    clean = [(row, row["file_name"]) for row in part if row["label"] == 0]
    return clean or [(row, row["clean_file_name"]) for row in part if row["clean_file_name"]]
