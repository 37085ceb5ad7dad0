"""Import of images that are known to be normal or anomalous, without places of anomalies."""

from __future__ import annotations

import shutil
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from synth import dataset, folders, import_files, near_duplicates, photos
from synth.card import Summary
from synth.errors import InputError, Skipped
from synth.label_layouts import Item, read_folder, read_table
from synth.label_splits import divide_large_groups, stratified_splits
from synth.near_duplicates import DetailTable
from synth.paths import fit_name, path_of
from synth.recipe import SPLITS
from synth.text_escapes import escape_surrogates

if TYPE_CHECKING:
    import pandas as pd

SHARES = (0.6, 0.2, 0.2)  # train, val, test, where neither folders nor a table give splits
VAL_SHARE = 0.2  # of the train images, where there are splits but no val
CLASS = "class"  # the column with the class of an image
ROWS_PER_PART = 5000  # rows in memory as a data frame


@dataclass(frozen=True)
class Imported:
    """What an import wrote.

    Args:
        classes: (class, label) -> number of images; the class is "" where labels are numbers.
        masks: number of anomalous images with a mask.
        skipped: files that were not used, by name, with the reasons.
        note: a line about the format of the table, or "".
    """

    summary: Summary
    classes: Counter[tuple[str, int]]
    masks: int
    skipped: dict[str, str]
    note: str = ""


class _Row(NamedTuple):
    """An image that was copied: the item, and what the table says of its files."""

    item: Item
    file_name: str
    mask: str
    width: int
    height: int
    codec: str


@dataclass
class _Duplicates:
    """Signatures of all images, to keep near-duplicates in one split."""

    hashes: array[int]
    details: DetailTable
    numbers: dict[str, int]  # SHA-256 of a file -> number
    identical: array[int]

    def add(self, photo: photos.Photo) -> None:
        signature = photos.signature(photo.picture)
        self.details.add(len(self.hashes), signature.detail)
        self.hashes.append(signature.dhash)
        self.identical.append(self.numbers.setdefault(photo.sha256, -1 - len(self.numbers)))

    def groups(self) -> list[int]:
        near = near_duplicates.groups(self.hashes, details=self.details)
        return divide_large_groups(near, self.identical)


def import_labels(
    source: str | Path,
    out: str | Path,
    images: str | Path | None = None,
    *,
    label: str = "label",
    image: str = "file_name",
    normal: Sequence[str] = (),
    split: str | Sequence[float] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Imports a folder or a table of images with labels into the dataset folder ``out``.

    Images are copied unchanged. A row with an anomaly is unplaced: x, y, r and discolor_ratio are
    empty. Images that cannot be used are skipped and listed in ``skipped.csv`` with the reasons.

    Args:
        source: class folders, also in train, val and test folders; an MVTec AD category; or a CSV
            table, with ``images`` as the folder of its images.
        label, image: columns of the table.
        normal: the classes of the normal images; without one, those in
            :data:`synth.label_layouts.NORMAL`.
        split: one split for all images, or the shares of train, val and test, which are drawn at
            random, stratified by class, with near-duplicates together. None: the splits that the
            source gives, with ``VAL_SHARE`` of train as val if there is none; else ``SHARES``.
        seed: of the random splits.
        overwrite: replace ``out`` if Acuity wrote it.
        progress: called with (images done, number of images).

    Raises:
        InputError: the layout, a label or an option cannot be used, or no image is left.
    """
    source, out = path_of(source), path_of(out)
    _check_split(split, seed)
    if source.is_dir():
        if images is not None:
            raise InputError("--images is for a table: leave it out to import a folder")
        layout = read_folder(source, normal)
    else:
        if not source.exists():
            raise InputError(f"no folder or table at {source}: check the path")
        if images is None:
            raise InputError("--images is missing: name the folder with the images of the table")
        layout = read_table(source, path_of(images), label, image, normal)
    with folders.stage(
        out, dataset.MARKER, reads=[source, layout.folder], overwrite=overwrite
    ) as staging:
        (staging / "images").mkdir()
        skipped = dict(layout.skipped)
        duplicates = _Duplicates(array("Q"), DetailTable(), {}, array("q"))
        rows: list[_Row] = []
        taken: set[str] = set()
        for done, item in enumerate(layout.items, 1):
            try:
                rows.append(_copy(item, layout.folder, staging, taken, skipped, duplicates))
            except Skipped as reason:
                skipped[item.name] = str(reason)
            if progress:
                progress(done, len(layout.items))
        if not rows:
            first = next(iter(skipped.items()), ("", "there is none"))
            raise InputError(
                f"none of the {len(layout.items)} images of {source} can be used; the first, "
                f"{first[0]}: {first[1]}"
            )
        splits = _choose_splits(rows, duplicates, split, seed)
        summary = dataset.write_table(staging, _parts(rows, splits))
        _write_skipped(staging, skipped)
        about = {
            "made_by": "synth import",
            "table": source.name,
            "labels": {"normal": layout.normal, "split": split, "seed": seed},
            "versions": dataset.versions(),
        }
        dataset.write_recipe_and_card(staging, summary, about)
    classes = Counter((row.item.kind, row.item.label) for row in rows)
    return Imported(summary, classes, sum(bool(row.mask) for row in rows), skipped, layout.note)


def _check_split(split: str | Sequence[float] | None, seed: int) -> None:
    if isinstance(split, str):
        if split not in SPLITS:
            known = ", ".join(SPLITS)
            raise InputError(f"split '{split}' is unknown: use {known} or shares TRAIN:VAL:TEST")
    elif split is not None and not (
        len(split) == len(SPLITS) and min(split) >= 0 and 0 < sum(split) < float("inf")
    ):
        shares = ":".join(f"{share:g}" for share in split)
        raise InputError(f"split is {shares}: give three shares TRAIN:VAL:TEST, as in 0.6:0.2:0.2")
    if seed < 0:
        raise InputError(f"seed is {seed}: give 0 or more")


def _copy(
    item: Item,
    folder: Path,
    staging: Path,
    taken: set[str],
    skipped: dict[str, str],
    duplicates: _Duplicates,
) -> _Row:
    """Copies an image and its mask; a mask that cannot be used is added to ``skipped``.

    Raises:
        Skipped: the image cannot be used.
    """
    try:
        item.name.encode()
    except UnicodeEncodeError:
        raise Skipped("its name is not Unicode text: rename it") from None
    picture = import_files.read(folder / item.name)
    stem, suffix = _unique_stem(item.name, taken)
    file_name = f"images/{fit_name(stem, suffix)}"
    shutil.copyfile(folder / item.name, staging / file_name)
    duplicates.add(picture.photo)
    mask = ""
    if item.mask:
        try:
            _check_mask(import_files.read(folder / item.mask), picture)
        except Skipped as reason:
            skipped[item.mask] = f"{reason}; its image is imported without a mask"
        else:
            mask = f"masks/{fit_name(stem, PurePosixPath(item.mask).suffix)}"
            (staging / "masks").mkdir(exist_ok=True)
            shutil.copyfile(folder / item.mask, staging / mask)
    return _Row(item, file_name, mask, *picture.size, picture.codec)


def _unique_stem(name: str, taken: set[str]) -> tuple[str, str]:
    """Path of an image -> stem and suffix of its copy, which no other copy has.

    The stem is the path with hyphens for slashes. A stem that is taken gets a number; names that
    differ in case only are equal, as some file systems see them.
    """
    path = PurePosixPath(name)
    plain = "-".join(path.with_suffix("").parts)
    stem, number = plain, 1
    while stem.casefold() in taken:
        number += 1
        stem = f"{plain}-{number}"
    taken.add(stem.casefold())
    return stem, path.suffix


def _check_mask(mask: import_files.Picture, image: import_files.Picture) -> None:
    if mask.size != image.size:
        (wide, high), (width, height) = mask.size, image.size
        raise Skipped(f"the mask is {wide}x{high}, its image {width}x{height}")
    if not mask.photo.pixels.any():
        raise Skipped("the mask is black: it marks no pixel of the anomaly")


def _choose_splits(
    rows: Sequence[_Row], duplicates: _Duplicates, split: str | Sequence[float] | None, seed: int
) -> list[str]:
    """The split of each row."""
    if isinstance(split, str):
        return [split] * len(rows)
    kinds = [(row.item.label, row.item.kind) for row in rows]
    given = [row.item.split for row in rows]
    if split is not None or not all(given):
        chosen = stratified_splits(kinds, duplicates.groups(), split or SHARES, seed)
        return [SPLITS[number] for number in chosen]
    train = [number for number, name in enumerate(given) if name == "train"]
    if "val" in given or not train:
        return given
    groups = duplicates.groups()
    chosen = stratified_splits(
        [kinds[number] for number in train], [groups[number] for number in train],
        (1 - VAL_SHARE, VAL_SHARE), seed,
    )  # fmt: skip
    for number, in_val in zip(train, chosen, strict=True):
        given[number] = "val" if in_val else "train"
    return given


def _parts(rows: Sequence[_Row], splits: Sequence[str]) -> Iterator[pd.DataFrame]:
    """The table in parts; with a column of classes, if there are any."""
    has_classes = any(row.item.kind for row in rows)
    for start in range(0, len(rows), ROWS_PER_PART):
        part = slice(start, start + ROWS_PER_PART)
        pairs = zip(rows[part], splits[part], strict=True)
        table = dataset.frame([_table_row(row, split) for row, split in pairs])
        if has_classes:
            table[CLASS] = [row.item.kind for row in rows[part]]
        yield table


def _table_row(row: _Row, split: str) -> dict[str, Any]:
    return {
        "file_name": row.file_name,
        "shape": "circle",  # of no meaning without a place, as in clean rows
        "overflow": "clip",
        "rounding": "nearest",
        "feather": 0.0,
        "label": row.item.label,
        "split": split,
        "width": row.width,
        "height": row.height,
        "codec": row.codec,
        "mask_file_name": row.mask,
    }


def _write_skipped(staging: Path, skipped: dict[str, str]) -> None:
    """Writes the list of skipped files, as ``synth generate`` does."""
    import pandas as pd

    reasons = [(escape_surrogates(name), skipped[name]) for name in sorted(skipped)]
    table = pd.DataFrame(reasons, columns=["photo", "reason"])
    folders.write(staging / "skipped.csv", dataset.to_csv(table))
