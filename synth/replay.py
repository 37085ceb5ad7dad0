"""Make recorded rows again: check a dataset against its photos, rebuild a row.

A row is replayed from what the table recorded and its photo, never from the random draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synth import anomaly as anomalies
from synth import dataset, limits, photos, renderer
from synth.dataset import Problem
from synth.errors import InputError, Skipped
from synth.json_files import read_object
from synth.paths import path_of
from synth.recipe import Draw
from synth.renderer import RowPixels

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 3  # code values by which other versions of the libraries may decode a JPEG


def _empty(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def draw_of(row: Mapping[Any, Any]) -> Draw:
    """A row of the table -> what was drawn for it.

    Raises:
        Skipped: the row cannot be replayed as it stands.
    """
    if _empty(row["crop_x"]) != _empty(row["crop_y"]):
        raise Skipped("one of crop_x and crop_y is empty")
    if not _empty(row["row_seed"]) and row["row_seed"] < 0:
        raise Skipped("row_seed is below 0")
    crop = None if _empty(row["crop_x"]) else (int(row["crop_x"]), int(row["crop_y"]))
    seed = 0 if _empty(row["row_seed"]) else int(row["row_seed"])
    return Draw((int(row["width"]), int(row["height"])), crop, dataset.truth(row), seed)


@dataclass(frozen=True)
class DecodeOptions:
    """How the photos of a dataset were read; the fields of its recipe of the same names."""

    keep_profile: bool = True
    max_pixels: int = limits.PIXELS


def decode_options_of(folder: Path) -> DecodeOptions:
    """What a dataset's recipe.json says; before it did, profiles were dropped: values kept."""
    try:
        recipe = read_object(folder / "recipe.json")["recipe"]
        keep, most = recipe.get("keep_profile", True), recipe.get("max_pixels", limits.PIXELS)
    except (InputError, KeyError, TypeError, AttributeError):
        return DecodeOptions()
    return DecodeOptions(keep is not False, most if isinstance(most, int) else limits.PIXELS)


def repaint(
    row: Mapping[Any, Any], photo_folder: Path, options: DecodeOptions | None = None
) -> RowPixels:
    """Paint a recorded row again from its photo; ``options`` as of :func:`decode_options_of`.

    Raises:
        Skipped: the photo is missing, has changed, cannot be read, or the row does not fit it.
    """
    if not row["photo"] or not row["photo_sha256"]:
        raise Skipped("the table does not record its photo (an imported row?)")
    if dataset.is_outside_folder(row["photo"]):
        raise Skipped(f"photo '{row['photo']}' leads out of the folder of photos")
    draw = draw_of(row)
    photo = photos.read(
        photo_folder,
        row["photo"],
        None if draw.crop else draw.size,
        **vars(options or DecodeOptions()),
    )
    if photo.sha256 != row["photo_sha256"]:
        raise Skipped(f"photo {row['photo']} is not the file it was made from (sha256 differs)")
    if draw.crop is not None:
        (left, top), (width, height) = draw.crop, draw.size
        wide, high = photo.picture.size
        if left < 0 or top < 0 or left + width > wide or top + height > high:
            raise Skipped(f"its crop leaves the {wide}x{high} photo")
    return renderer.paint(photo, draw)


def _encoded(row: Mapping[Any, Any], pixels: np.ndarray) -> bytes:
    quality = 0 if _empty(row["quality"]) else int(row["quality"])
    return renderer.encode(pixels, row["codec"], quality)


def rebuild(folder: str | Path, row: int | str, photo_folder: str | Path) -> bytes:
    """Make the image file of one row again: the same bytes, with the same library versions.

    Args:
        row: its number from 0, or its ``file_name``.

    Raises:
        InputError: there is no such row, or its photo is missing or has changed.
    """
    folder = path_of(folder)
    table = dataset.parse(folder)
    number = find_row(table, row)
    record = table.iloc[[number]].to_dict("records")[0]
    for column in dataset.PICTURES:
        if dataset.is_outside_folder(record[column]):
            raise InputError(
                f"{dataset.table_of(folder)}, row {number}: {column} "
                f"'{record[column]}' leads out of the folder"
            )
    return _encoded(record, repaint(record, path_of(photo_folder), decode_options_of(folder)).image)


def find_row(table: pd.DataFrame, row: int | str) -> int:
    """A row's number or file name -> its number; InputError where there is none."""
    if str(row).isdecimal():
        if int(row) < len(table):
            return int(row)
        raise InputError(f"row {row}: the dataset has rows 0 to {len(table) - 1}")
    hits = np.flatnonzero(
        (table["file_name"] == row) | (table["file_name"].str.rpartition("/")[2] == row)
    )
    if len(hits) != 1:
        raise InputError(f"row '{row}': give a number from 0 to {len(table) - 1} or a file_name")
    return int(hits[0])


def verify(
    folder: str | Path,
    photo_folder: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Problem]:
    """What is wrong with a dataset: files, schema, ranges, masks, twins, and with photos pixels.

    PNG must equal the row's replay exactly, JPEG its own re-encoding (where the recorded
    library versions differ from those here, within a few code values).

    Raises:
        InputError: there is no dataset, or no folder of photos, to look at.
    """
    folder = path_of(folder)
    photo_folder = None if photo_folder is None else path_of(photo_folder)
    table = dataset.parse(folder)
    if photo_folder is not None and not photo_folder.is_dir():
        raise InputError(f"no folder of photos at {photo_folder}: check the path")
    found = list(dataset.problems(table, folder))
    bad = {problem.row for problem in found}
    slack = 0 if _same_versions(folder) else TOLERANCE
    options = decode_options_of(folder)
    for i, row in enumerate(table.to_dict("records")):
        if i not in bad:
            try:
                faults = list(_pixel_problems(row, folder, photo_folder, slack, options))
            except Skipped as reason:
                faults = [str(reason)]
            found += [Problem(i, row["file_name"], what) for what in faults]
        if progress:
            progress(i + 1, len(table))
    return sorted(found, key=lambda problem: problem.row)


def _same_versions(folder: Path) -> bool:
    """Whether the dataset was made with the library versions that are installed here.

    Raises:
        InputError: its recipe.json is damaged.
    """
    path = folder / "recipe.json"
    if not path.is_file():  # imported from elsewhere
        return False
    about = read_object(path, "restore it from a copy, or delete it to check without versions")
    recorded, here = about.get("versions"), dataset.versions()
    if not isinstance(recorded, dict):
        return False
    return {**recorded, "acuity": ""} == {**here, "acuity": ""}


def _pixel_problems(
    row: Mapping[Any, Any],
    folder: Path,
    photo_folder: str | Path | None,
    slack: int,
    options: DecodeOptions,
) -> Iterator[str]:
    size = (int(row["width"]), int(row["height"]))
    image = photos.read(folder, row["file_name"], keep_profile=True).pixels
    if image.shape[1::-1] != size:
        yield f"its image is {image.shape[1]}x{image.shape[0]}, the table says {size[0]}x{size[1]}"
        return
    truth = dataset.truth(row)
    if truth is not None and not anomalies.mask(truth, size[1], size[0]).any():
        yield "its region covers no pixel"
    if row["mask_file_name"]:
        mask = photos.read(folder, row["mask_file_name"], keep_profile=True).pixels[..., 0]
        if not np.array_equal(mask, renderer.mask_image(truth, size)):
            yield "its mask is not the region that the table describes"
    twin = None
    if row["clean_file_name"]:
        twin = photos.read(folder, row["clean_file_name"], keep_profile=True).pixels
        if twin.shape != image.shape:
            yield "its clean twin has another size"
            return
        if row["codec"] == "png":
            yield from _twin_problems(row, image, twin)
    if photo_folder is not None:
        yield from _replay_problems(row, image, twin, Path(photo_folder), slack, options)


def _twin_problems(row: Mapping[Any, Any], image: np.ndarray, twin: np.ndarray) -> Iterator[str]:
    draw = draw_of(row)
    wanted = twin
    if draw.anomaly is not None:
        rng = np.random.default_rng(draw.row_seed)
        wanted = anomalies.apply(twin, draw.anomaly, rng)
    if not np.array_equal(image, wanted):
        yield "its image is not its clean twin with the recorded change"


def _replay_problems(
    row: Mapping[Any, Any],
    image: np.ndarray,
    twin: np.ndarray | None,
    photo_folder: Path,
    slack: int,
    options: DecodeOptions,
) -> Iterator[str]:
    painted = repaint(row, photo_folder, options)
    for name, pixels, wanted in (("image", image, painted.image), ("twin", twin, painted.clean)):
        if pixels is None:
            continue
        again = renderer.decode(_encoded(row, wanted))
        worst = int(np.abs(pixels.astype(np.int16) - again).max())
        if worst > (slack if row["codec"] == "jpeg" else 0):
            yield f"its {name} is not what its photo and row give (differs by up to {worst})"
    for column in ("clipped_fraction", "realised_ratio"):
        value = getattr(painted.effect, column)
        if not _empty(row[column]) and abs(row[column] - value) > (0.01 if slack else 1e-6):
            yield f"{column} is {row[column]:g}, the pixels say {value:g}"
