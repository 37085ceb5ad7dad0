"""MVTec AD: folders of good and bad pictures, and ground-truth masks."""

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
    """``CATEGORY/train/good``, ``test/good``, ``test/SHAPE``, ``ground_truth/SHAPE``.

    The category is the dataset's name. Masks are PNG, 255 in the region. Pictures keep their
    codec, and a picture and its mask sort alike; but many readers of MVTec AD, anomalib's
    too, look for .png only, so a dataset for them is better generated with codec png.
    Without rows in test, those of val are the trial.

    Raises:
        InputError: there is no clean picture to train on, or nothing to try.
    """
    category = Path(source.folder.resolve().name or "dataset")
    trial = "test" if any(row["split"] == "test" for row in source.rows) else "val"
    good = {split: _clean(source.rows, split) for split in ("train", trial)}
    bad = [row for row in source.rows if row["split"] == trial and row["label"] == 1]
    if not good["train"]:
        raise InputError(
            f"{source.folder} has no clean picture in split train, as MVTec's train/good needs: "
            "generate it with --clean-fraction or --twins"
        )
    if not (bad or good[trial]):
        raise InputError(f"{source.folder} has no row in split test or val, as MVTec's test needs")
    plan = [(row, name, Path("train/good")) for row, name in good["train"]]
    plan += [(row, name, Path("test/good")) for row, name in good[trial]]
    plan += [(row, row["file_name"], Path("test", row["shape"])) for row in bad]
    table: list[Row] = []
    for done, (row, name, where) in enumerate(plan, 1):
        new = source.copy(name, row, out / category / where)
        line: Row = {"picture": (category / where / new).as_posix(), "mask": ""}
        if where.name != "good":
            mask = category / "ground_truth" / row["shape"] / f"{row[KEY]}_mask.png"
            (out / mask).parent.mkdir(parents=True, exist_ok=True)
            region = source.region(row) * np.uint8(255)
            (out / mask).write_bytes(renderer.encode(region, "png", 0))
            line["mask"] = mask.as_posix()
        table.append(line | {"is_twin": int(name != row["file_name"])} | columns(row))
        progress(done, len(plan))
    folders.write(out / datasets.TABLE, datasets.to_csv(pd.DataFrame(table)))
    return len(plan)


def _clean(rows: Sequence[Row], split: str) -> list[tuple[Row, str]]:
    """The clean pictures of a split, each with its file: rows of label 0, else the twins."""
    mine = [row for row in rows if row["split"] == split]
    clean = [(row, row["file_name"]) for row in mine if row["label"] == 0]
    return clean or [(row, row["clean_file_name"]) for row in mine if row["clean_file_name"]]
