"""A dataset in the layouts of other tools: MVTec AD, COCO, Hugging Face imagefolder, WebDataset.

Pictures are copied byte for byte and named after their row (row 17 is ``000017``): no name
then clashes, has a dot too many, misleads a reader that looks for "train" in it, or sorts
its mask elsewhere. Every table names the dataset's own file too. The same dataset gives the
same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from synth import dataset as datasets
from synth import folders
from synth.errors import InputError
from synth.exporting import coco, imagefolder, mvtec, webdataset
from synth.exporting.source import KEY, Progress, Source, licences, records, write_json
from synth.paths import path_of

Format = Literal["mvtec", "coco", "imagefolder", "webdataset"]
FORMATS: tuple[str, ...] = get_args(Format)

ABOUT = "acuity-export.json"  # in every folder that we export to
MARKER = folders.Marker(ABOUT, lambda about: about.get("made_by") == "synth export")
SHARD = 1000  # samples in one WebDataset shard


def export(
    dataset: str | Path,
    out: str | Path,
    format: str,
    overwrite: bool = False,
    progress: Progress | None = None,
    *,
    shard_size: int = SHARD,
) -> int:
    """Write a dataset folder once more, as another tool wants it; return the number of images.

    Args:
        dataset: the folder to read; it is not changed.
        out: the folder to write; it appears when it is whole.
        format: ``mvtec``, ``coco``, ``imagefolder`` or ``webdataset``.
        overwrite: replace ``out`` if it is an export of ours.
        progress: called with (images done, images in all).
        shard_size: samples in one tar file (webdataset).

    Raises:
        InputError: no dataset, a row or file that cannot be right, a format that cannot hold
            it, or an ``out`` that must not be replaced.
    """
    if format not in FORMATS:
        raise InputError(f"format '{format}' is unknown: use {', '.join(FORMATS)}")
    if shard_size < 1:
        raise InputError(f"shard size is {shard_size}: give 1 or more images")
    folder, out = path_of(dataset), path_of(out)
    table = datasets.read(folder)
    digits = max(6, len(str(len(table) - 1)))  # all alike, so that names sort as rows do
    rows = [row | {KEY: f"{i:0{digits}d}"} for i, row in enumerate(records(table))]
    source = Source(folder, rows)
    report = progress or (lambda done, total: None)
    with folders.stage(out, MARKER, reads=[folder], overwrite=overwrite) as staging:
        if format == "mvtec":
            count = mvtec.write(source, staging, report)
        elif format == "coco":
            count = coco.write(source, staging, report)
        elif format == "imagefolder":
            count = imagefolder.write(source, staging, report)
        else:
            count = webdataset.write(source, staging, report, shard_size)
        about = {
            "made_by": "synth export",
            "format": format,
            "dataset": folder.resolve().name,
            "images": count,
            "licences": licences(rows),
            "versions": {"acuity": datasets.versions()["acuity"]},
        }
        write_json(staging / ABOUT, about, indent=2)
    return count
