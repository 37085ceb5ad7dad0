"""Export of a dataset as MVTec AD, COCO, Hugging Face imagefolder or WebDataset.

Images are copied byte for byte and named after their row (row 17 is ``000017``). So names are
unique, have one dot, do not contain words such as "train" that readers search for, and sort in the
order of their masks. Every table also has the file name in the dataset. The same dataset gives
the same bytes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from synth import dataset as datasets
from synth import folders, paths
from synth.errors import InputError
from synth.exporting import coco, imagefolder, mvtec, webdataset
from synth.exporting.source import KEY, Progress, Source, licences, records, write_json
from synth.paths import path_of
from synth.storage import Place

Format = Literal["mvtec", "coco", "imagefolder", "webdataset"]
FORMATS: tuple[str, ...] = get_args(Format)

ABOUT = "acuity-export.json"  # in every exported folder
MARKER = folders.Marker(ABOUT, lambda about: about.get("made_by") == "synth export")
SHARD = 1000  # samples in one WebDataset shard


def export(
    dataset: str | Place,
    out: str | Path,
    format: str,
    overwrite: bool = False,
    progress: Progress | None = None,
    *,
    shard_size: int = SHARD,
) -> int:
    """Writes a dataset in another format; returns the number of images.

    Args:
        dataset: path or URL of the dataset to read; it is not changed.
        out: the folder to write; it appears when it is complete.
        format: ``mvtec``, ``coco``, ``imagefolder`` or ``webdataset``.
        overwrite: replace ``out`` if this function wrote it.
        progress: called with (images done, number of images).
        shard_size: samples per tar file (webdataset).

    Raises:
        InputError: the dataset has a fault or cannot be written in this format, or ``out`` must
            not be replaced.
    """
    if format not in FORMATS:
        raise InputError(f"format '{format}' is unknown: use {', '.join(FORMATS)}")
    if shard_size < 1:
        raise InputError(f"shard size is {shard_size}: give 1 or more images")
    out = path_of(out)
    files = datasets.open_files(dataset)
    table = datasets.read(files)
    digits = max(6, len(str(len(table) - 1)))  # equal lengths, so that names sort like rows
    rows = [row | {KEY: f"{i:0{digits}d}"} for i, row in enumerate(records(table))]
    source = Source(files, rows)
    report = progress or (lambda done, total: None)
    with folders.stage(
        out, MARKER, reads=paths.inputs(files.place), overwrite=overwrite
    ) as staging:
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
            "dataset": source.name,
            "images": count,
            "licences": licences(rows),
            "versions": {"acuity": datasets.versions()["acuity"]},
        }
        write_json(staging / ABOUT, about, indent=2)
    return count
