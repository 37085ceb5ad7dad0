"""Replay of recorded rows: verification of a dataset and rebuilding of single images.

A row is replayed from its record in the table and its photo, without the random draw.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from synth import anomaly as anomalies
from synth import dataset, limits, photo_search, photos, renderer
from synth.dataset import Problem
from synth.errors import InputError, Skipped
from synth.files import Files, FolderFiles, files_of
from synth.recipe import Draw
from synth.renderer import RowPixels
from synth.shards import ShardFiles
from synth.storage import Place, place_of

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 3  # code values by which library versions may differ in decoding a JPEG


class ShardProblem(Problem):
    """A shard that differs from the manifest: its first row, its name and the difference."""

    def __str__(self) -> str:
        return f"{self.file_name}: {self.what}"


def _empty(value: Any) -> bool:
    import pandas as pd

    return bool(pd.isna(value))


def draw_of(row: Mapping[Any, Any]) -> Draw:
    """A row of the table -> its draw.

    Raises:
        Skipped: the crop is incomplete or row_seed is negative.
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
    """How the photos of a dataset were decoded; fields as in its recipe."""

    keep_profile: bool = True
    max_pixels: int = limits.PIXELS


def decode_options_of(source: Place | Files) -> DecodeOptions:
    """The decode options in a dataset's recipe.json or manifest.

    Earlier versions did not record them and kept the values of photos with a colour profile.
    """
    try:
        recipe = dataset.recipe_of(files_of(source))["recipe"]
        keep, most = recipe.get("keep_profile", True), recipe.get("max_pixels", limits.PIXELS)
    except (InputError, KeyError, TypeError, AttributeError):
        return DecodeOptions()
    return DecodeOptions(keep is not False, most if isinstance(most, int) else limits.PIXELS)


def repaint(
    row: Mapping[Any, Any], photo_folder: Place, options: DecodeOptions | None = None
) -> RowPixels:
    """Makes the pixels of a recorded row again from its photo.

    Args:
        row: a row of the table.
        photo_folder: the folder of photos.
        options: result of :func:`decode_options_of`; default: :class:`DecodeOptions`.

    Raises:
        Skipped: the photo is missing, has changed or cannot be read, or the row does not fit it.
    """
    if not row["photo"] or not row["photo_sha256"]:
        raise Skipped("the table does not record its photo, as in imported datasets")
    if dataset.is_unplaced(row):
        raise Skipped("the place of its anomaly is not known, so it cannot be made again")
    if dataset.is_outside_folder(row["photo"]):
        raise Skipped(f"photo '{row['photo']}' points outside the folder of photos")
    draw = draw_of(row)
    photo = photos.read(
        photo_folder,
        row["photo"],
        None if draw.crop else draw.size,
        **vars(options or DecodeOptions()),
    )
    if photo.sha256 != row["photo_sha256"]:
        raise Skipped(f"photo {row['photo']} has changed (its SHA-256 differs)")
    if draw.crop is not None:
        (left, top), (width, height) = draw.crop, draw.size
        wide, high = photo.picture.size
        if left < 0 or top < 0 or left + width > wide or top + height > high:
            raise Skipped(f"its crop is not inside the {wide}x{high} photo")
    return renderer.paint(photo, draw)


def _encode(row: Mapping[Any, Any], pixels: np.ndarray) -> bytes:
    quality = 0 if _empty(row["quality"]) else int(row["quality"])
    return renderer.encode(pixels, row["codec"], quality)


def rebuild(folder: str | Place | Files, row: int | str, photo_folder: str | Place) -> bytes:
    """Makes the image file of one row again; with the same library versions the bytes are equal.

    Args:
        folder: path or URL of the dataset.
        row: number of the row from 0, or its ``file_name``.
        photo_folder: path or URL of the folder of photos.

    Returns:
        The bytes of the file.

    Raises:
        InputError: there is no such row, or its photo is missing or has changed.
    """
    files = dataset.open_files(folder)
    table = dataset.parse(files)
    number = find_row(table, row)
    record = table.iloc[[number]].to_dict("records")[0]
    for column in dataset.IMAGE_FOLDERS:
        if dataset.is_outside_folder(record[column]):
            raise InputError(
                f"{dataset.table_place(files)}, row {number}: {column} "
                f"'{record[column]}' points outside the folder"
            )
    return _encode(record, repaint(record, place_of(photo_folder), decode_options_of(files)).image)


def find_row(table: pd.DataFrame, row: int | str) -> int:
    """Number or file name of a row -> its number.

    Raises:
        InputError: there is no such row.
    """
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
    folder: str | Place,
    photo_folder: str | Place | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Problem]:
    """Checks a dataset and returns its faults, sorted by row.

    Files, columns, ranges, masks and clean twins are checked; with the photos also the pixels. A
    PNG must equal the replayed row. A JPEG must equal the encoded replayed row, or differ by at
    most :data:`TOLERANCE` code values if the recorded library versions are not the installed ones.
    Shards must have the sizes, checksums and numbers of rows in the manifest; if they do not, rows
    are not checked.

    Args:
        folder: path or URL of the dataset.
        photo_folder: path or URL of the folder of photos; None: do not check pixels.
        progress: called with (rows done, number of rows).

    Raises:
        InputError: the dataset or the folder of photos does not exist or cannot be read.
    """
    files = dataset.open_files(folder)
    if photo_folder is not None:
        photo_folder = place_of(photo_folder)
        photo_search.check_folder(photo_folder)
    if isinstance(files, ShardFiles):
        faulty = [ShardProblem(each.row, each.shard, each.what) for each in files.faults()]
        if faulty:
            return list(faulty)
    table = dataset.parse(files)
    problems = list(dataset.problems(table, files))
    invalid_rows = {problem.row for problem in problems}
    slack = 0 if _same_versions(files) else TOLERANCE
    options = decode_options_of(files)
    for i, row in enumerate(table.to_dict("records")):
        if i not in invalid_rows:
            try:
                faults = list(_pixel_problems(row, files, photo_folder, slack, options))
            except Skipped as reason:
                faults = [str(reason)]
            problems += [Problem(i, row["file_name"], what) for what in faults]
        if progress:
            progress(i + 1, len(table))
    return sorted(problems, key=lambda problem: problem.row)


def _same_versions(files: Files) -> bool:
    """Whether the dataset was made with the installed library versions.

    Raises:
        InputError: recipe.json is damaged.
    """
    if isinstance(files, FolderFiles) and not files.has(dataset.RECIPE):
        return False  # the dataset is from another program
    advice = "restore it from a copy, or delete it to verify without library versions"
    about = dataset.recipe_of(files, advice)
    recorded, here = about.get("versions"), dataset.versions()
    if not isinstance(recorded, dict):
        return False
    return {**recorded, "acuity": ""} == {**here, "acuity": ""}


def _pixel_problems(
    row: Mapping[Any, Any],
    files: Files,
    photo_folder: Place | None,
    slack: int,
    options: DecodeOptions,
) -> Iterator[str]:
    size = (int(row["width"]), int(row["height"]))
    image = photos.read(files, row["file_name"], keep_profile=True).pixels
    if image.shape[1::-1] != size:
        yield f"its image is {image.shape[1]}x{image.shape[0]}, in the table {size[0]}x{size[1]}"
        return
    truth, unplaced = dataset.truth(row), dataset.is_unplaced(row)
    if truth is not None and not anomalies.mask(truth, size[1], size[0]).any():
        yield "its region covers no pixel"
    if unplaced:
        dataset.region(row, files)  # raises Skipped for a mask that cannot be used
    elif row["mask_file_name"]:
        mask = photos.read(files, row["mask_file_name"], keep_profile=True).pixels[..., 0]
        if not np.array_equal(mask, renderer.mask_image(truth, size)):
            yield "its mask is not the region in the table"
    twin = None
    if row["clean_file_name"]:
        twin = photos.read(files, row["clean_file_name"], keep_profile=True).pixels
        if twin.shape != image.shape:
            yield "its clean twin has another size"
            return
        if row["codec"] == "png" and not unplaced:
            yield from _twin_problems(row, image, twin)
    if photo_folder is not None:
        yield from _replay_problems(row, image, twin, photo_folder, slack, options)


def _twin_problems(row: Mapping[Any, Any], image: np.ndarray, twin: np.ndarray) -> Iterator[str]:
    draw = draw_of(row)
    expected = twin
    if draw.anomaly is not None:
        rng = np.random.default_rng(draw.row_seed)
        expected = anomalies.apply(twin, draw.anomaly, rng)
    if not np.array_equal(image, expected):
        yield "its image is not its clean twin with the recorded anomaly"


def _replay_problems(
    row: Mapping[Any, Any],
    image: np.ndarray,
    twin: np.ndarray | None,
    photo_folder: Place,
    slack: int,
    options: DecodeOptions,
) -> Iterator[str]:
    painted = repaint(row, photo_folder, options)
    for name, pixels, expected in (("image", image, painted.image), ("twin", twin, painted.clean)):
        if pixels is None:
            continue
        replayed = renderer.decode(_encode(row, expected))
        worst = int(np.abs(pixels.astype(np.int16) - replayed).max())
        if worst > (slack if row["codec"] == "jpeg" else 0):
            yield f"its {name} differs by up to {worst} code values from its replay"
    for column in ("clipped_fraction", "realised_ratio"):
        value = getattr(painted.effect, column)
        if not _empty(row[column]) and abs(row[column] - value) > (0.01 if slack else 1e-6):
            yield f"{column} is {row[column]:g}, but computed from the pixels it is {value:g}"
