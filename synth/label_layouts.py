"""Layouts of images with labels: class folders, MVTec AD categories, and tables.

An image is normal or anomalous by its class: the folder that it is in, or the word in the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from synth import import_files, photos, tables
from synth.errors import InputError
from synth.number_kinds import shorten

# Classes of normal images, in lower case; all other classes beside one of them are anomalous.
NORMAL = (
    "normal", "good", "ok", "clean", "intact", "healthy", "negative", "pass", "defect-free",
    "defect_free", "no_defect", "non_defective", "nondefective", "no_anomaly", "without_defect",
)  # fmt: skip
# Folder or word in a table, in lower case -> split.
SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
MASKS = "ground_truth"  # the folder of masks in MVTec AD
_NUMBERS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
_SHOWN = 8  # names in a message


@dataclass(frozen=True)
class Item:
    """An image and what is known of it.

    Args:
        name: path of the image below the folder of images, with slashes.
        label: 1 with an anomaly, 0 without.
        kind: its class; "" if the labels are numbers.
        split: "" if it is not known.
        mask: path of its mask below the same folder, or "".
    """

    name: str
    label: int
    kind: str = ""
    split: str = ""
    mask: str = ""


@dataclass(frozen=True)
class Layout:
    """The images of a folder or table.

    Args:
        folder: of the images.
        skipped: files and rows that cannot be used, by name, with the reasons.
        normal: the classes of the normal images.
        note: a line about an unusual format of the table, for the user to check; often "".
    """

    folder: Path
    items: list[Item]
    skipped: dict[str, str]
    normal: list[str]
    note: str = ""


def read_folder(folder: Path, normal: Sequence[str] = ()) -> Layout:
    """Reads class folders, also inside train, val and test folders, and MVTec AD categories.

    Args:
        normal: the classes of the normal images; without one, those in :data:`NORMAL`.

    Raises:
        InputError: there are no class folders, or it is not known which are normal.
    """
    found = photos.require_photos(photos.search(folder), folder)
    skipped = dict(found.passed_over)
    names = {name: name.split("/") for name in found.names}
    masks = {name for name, parts in names.items() if parts[0] == MASKS and len(parts) > 1}
    names = {name: parts for name, parts in names.items() if name not in masks}
    tops = dict.fromkeys(parts[0] for parts in names.values() if len(parts) > 1)
    in_splits = [top for top in tops if top.casefold() in SPLITS]
    if in_splits and len(in_splits) < len(tops):
        others = [top for top in tops if top not in in_splits]
        raise InputError(
            f"{folder} has split folders ({_list(in_splits)}) and beside them {_list(others)}: "
            "move these into the split folders, or out of it"
        )
    depth = 1 if in_splits else 0
    kinds: dict[str, str] = {}
    for name, parts in names.items():
        if len(parts) > depth + 1:
            kinds[name] = parts[depth]
        else:
            skipped[name] = "not in the folder of a class"
    _check_kinds(folder, kinds.values(), len(skipped))
    normal = _normal_kinds(set(kinds.values()), normal, f"{folder} has the class folders")
    items = []
    for name, kind in kinds.items():
        label = int(kind not in normal)
        mask = _mask_of(names[name][depth:], masks) if label and depth else ""
        split = SPLITS[names[name][0].casefold()] if in_splits else ""
        items.append(Item(name, label, kind, split, mask))
    for name in masks - {item.mask for item in items}:
        skipped[name] = "a mask of no image"
    return Layout(folder, items, skipped, normal)


def _check_kinds(folder: Path, kinds: Collection[str], outside: int) -> None:
    """Raises InputError if there are no class folders, or if they are datasets of their own."""
    advice = "make folders such as normal and anomalous, or name a table with a column of labels"
    if not kinds:
        raise InputError(f"{folder} has no class folders, only {outside} files: {advice}")
    nested = [
        kind for kind in dict.fromkeys(kinds)
        if any((folder / kind / split).is_dir() for split in SPLITS)
    ]  # fmt: skip
    if nested:
        raise InputError(
            f"{folder} holds folders with splits of their own ({_list(nested)}): "
            f"import one of them, such as {folder / nested[0]}"
        )


def _normal_kinds(kinds: Collection[str], given: Sequence[str], found: str) -> list[str]:
    """The normal ones among the classes: the given ones, else those in :data:`NORMAL`.

    Args:
        found: begin of the sentence that lists the classes.
    """
    for name in given:
        if name not in kinds:
            raise InputError(f"--normal {name}: there is no such class; {found} {_list(kinds)}")
    normal = list(given) or sorted(kind for kind in kinds if kind.casefold() in NORMAL)
    if not normal:
        raise InputError(
            f"{found} {_list(kinds)}, none of which is known as normal "
            f"({', '.join(NORMAL[:4])}, …): name the class of normal images with --normal"
        )
    return normal


def _mask_of(parts: Sequence[str], masks: Collection[str]) -> str:
    """Path of an image below its split folder -> its mask, as MVTec AD names it, or ""."""
    path = PurePosixPath(MASKS, *parts)
    candidates = (path.with_name(f"{path.stem}{end}.png") for end in ("_mask", ""))
    return next((str(each) for each in candidates if str(each) in masks), "")


def read_table(
    path: Path, folder: Path, label: str, image: str, normal: Sequence[str] = ()
) -> Layout:
    """Reads a CSV table with a column of labels and one of image paths; optionally ``split``.

    Args:
        folder: of the images, which are found by the last parts of their paths.
        label: the column of labels: 0 and 1, or words.
        image: the column of image paths.
        normal: the words of normal images; without one, those in :data:`NORMAL`.

    Raises:
        InputError: a column or a label is missing or unknown; the message names the row.
    """
    table = tables.read(path, [image, label], ["split"])
    if not table.rows:
        raise InputError(f"{path} has no rows")
    words = table.column(label)
    for row, word in enumerate(words):
        if not word:
            raise InputError(f"{table.place(row)}: {label} is empty")
    labels = _labels(table, label, words, normal)
    known = [word for word in dict.fromkeys(words) if not labels[word]]
    find = import_files.finder(folder)
    items: list[Item] = []
    skipped: dict[str, str] = {}
    earlier: dict[str, int] = {}
    numbers = set(labels) <= _NUMBERS.keys() and not normal
    rows = zip(table.column(image), words, _splits(table), strict=True)
    for cell, word, split in rows:
        try:
            name = find(cell).relative_to(folder).as_posix()
        except InputError as error:
            skipped[cell or "(empty)"] = str(error)
            continue
        if earlier.setdefault(name, labels[word]) != labels[word]:
            raise InputError(f"{path}: {name} is both normal and anomalous: correct its rows")
        items.append(Item(name, labels[word], "" if numbers else word, split))
    unique = list({item.name: item for item in reversed(items)}.values())[::-1]
    if len(unique) < len(items):
        skipped |= {
            name: "in several rows: the first one counts"
            for name, count in Counter(item.name for item in items).items()
            if count > 1
        }
    return Layout(folder, unique, skipped, known, table.note())


def _labels(
    table: tables.Table, label: str, words: Sequence[str], normal: Sequence[str]
) -> Mapping[str, int]:
    """Each different cell of the column of labels -> its label."""
    different = list(dict.fromkeys(words))
    if not normal and any(word in _NUMBERS for word in different):
        for row, word in enumerate(words):
            if word not in _NUMBERS:
                raise InputError(
                    f"{table.place(row)}: {label} is '{shorten(word)}', in other rows 0 or 1: "
                    "correct it, or name the words of normal images with --normal"
                )
        return _NUMBERS if not different else {word: _NUMBERS[word] for word in different}
    found = f"column {label} of {table.path} has the values"
    chosen = _normal_kinds(different, normal, found)
    return {word: int(word not in chosen) for word in different}


def _splits(table: tables.Table) -> list[str]:
    """The split of each row; "" for all rows if the table has no column ``split``."""
    cells = table.column("split")
    if not any(cells):
        return cells
    for row, cell in enumerate(cells):
        if cell.casefold() not in SPLITS:
            raise InputError(
                f"{table.place(row)}: split is '{shorten(cell)}', not train, val or test"
            )
    return [SPLITS[cell.casefold()] for cell in cells]


def _list(names: Collection[str]) -> str:
    """Some names for a message.

    >>> _list(["a", "b"]), _list([str(n) for n in range(10)])
    ('a, b', '0, 1, 2, 3, 4, 5, 6, 7 and 2 more')
    """
    shown = sorted(names)[:_SHOWN]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
