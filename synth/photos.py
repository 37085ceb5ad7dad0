"""Photos: finding, reading, provenance and splits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from synth import decoding, limits, storage, tables
from synth.csv_cells import unescape
from synth.decoding import FORMATS, SUFFIX_OF, open_image, orientation
from synth.errors import InputError
from synth.file_names import FileNames
from synth.files import Files, FolderFiles, files_of
from synth.near_duplicates import NEAR, Signature, dhash, groups, signature
from synth.photo_search import SUFFIXES, SearchResult, search
from synth.storage import Place

__all__ = [
    "FORMATS",
    "NEAR",
    "SUFFIXES",
    "SUFFIX_OF",
    "Photo",
    "SearchResult",
    "Signature",
    "assign_splits",
    "dhash",
    "find",
    "groups",
    "open_image",
    "orientation",
    "provenance",
    "read",
    "search",
    "signature",
]

PROVENANCE = "photos.csv"  # in a folder of photos: their source addresses and licences


@dataclass(frozen=True, eq=False)
class Photo:
    """An unmodified picture.

    Args:
        name: path relative to the folder of photos, with forward slashes.
        sha256: SHA-256 of the file in hexadecimal.
        picture: the upright RGB picture.
        source_url: address of its source, or "".
        licence: its licence, or "".
    """

    name: str
    sha256: str
    picture: Image.Image
    source_url: str = ""
    licence: str = ""

    @cached_property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return np.asarray(self.picture)


def find(folder: Place) -> list[str]:
    """Sorted names of all photos below a folder; see :func:`search`.

    Raises:
        InputError: the folder does not exist, cannot be read, or has no photo.
    """
    return require_photos(search(folder), folder).names


def require_photos(found: SearchResult, folder: Place) -> SearchResult:
    """Returns the result of a search.

    Raises:
        InputError: it has no photo; the message names what was passed over.
    """
    if not found.names:
        note = f" ({found.summary()})" if found.passed_over else ""
        raise InputError(f"no picture file in {folder}{note}: put JPEG or PNG photos there")
    return found


def provenance(folder: Place, names: Sequence[str] | None = None) -> dict[str, tuple[str, str]]:
    """Name of a photo -> its source address and licence, from ``photos.csv`` in the folder.

    Empty if there is no ``photos.csv``.

    Args:
        folder: the folder of photos.
        names: the photos, which are matched with the table's names by :class:`FileNames`. None:
            the names of the table are used unchanged.

    Raises:
        InputError: the table cannot be read, has no column file_name, contradicts itself, or names
            none of the photos.
    """
    files, path = FolderFiles(folder), storage.where(folder, PROVENANCE)
    if not files.has(PROVENANCE):
        return {}
    advice = "correct it, or rename it if it is not a list of the photos"
    known = ("file_name", "source_url", "licence")
    if isinstance(folder, Path):
        table = tables.read(folder / PROVENANCE, known=known)
    else:
        table = tables.parse(path, files.read_bytes(PROVENANCE), known=known)
    if "file_name" not in table.columns:
        columns_text = ", ".join(table.columns)
        raise InputError(f"{path} lacks the column file_name: it has {columns_text}; {advice}")
    file_names = (
        None
        if names is None
        else FileNames(names, folder if isinstance(folder, Path) else str(folder))
    )
    origins: dict[str, tuple[str, str]] = {}
    first: dict[str, int] = {}
    columns = map(table.column, ("file_name", "source_url", "licence"))
    for row, (cell, source, licence) in enumerate(zip(*columns, strict=True)):
        name = cell if file_names is None else file_names.find(cell)
        if not cell or name is None:
            continue
        source, licence = unescape(source), unescape(licence)
        if origins.setdefault(name, (source, licence)) != (source, licence):
            raise InputError(
                f"{table.place(row)}: another source or licence of {name} than in line "
                f"{table.lines[first[name]]}: remove one"
            )
        first.setdefault(name, row)
    listed = next(filter(None, table.column("file_name")), "")
    if names and listed and not origins:
        raise InputError(
            f"{path} names none of the {len(names)} photos: its first name is '{listed}', the "
            f"first photo is '{names[0]}'; {advice}"
        )
    return origins


def read(
    source: Place | Files,
    name: str,
    at_least: tuple[int, int] | None = None,
    origin: tuple[str, str] = ("", ""),
    *,
    keep_profile: bool = False,
    max_pixels: int = limits.PIXELS,
) -> Photo:
    """Decodes one photo to an upright sRGB picture; see :func:`synth.decoding.decode`.

    Args:
        source: the folder of photos, or the files of a dataset.
        name: name of the photo in it.
        at_least: width and height in px. A larger JPEG may be decoded at 1/2, 1/4 or 1/8 of its
            size, but not smaller than this, which is several times faster.
        origin: source address and licence.
        keep_profile: do not convert the values by the embedded colour profile.
        max_pixels: largest width times height of the file.

    Raises:
        Skipped: the file cannot be read, is broken or too large, or has no definite RGB values.
        Interrupted: the server of the files cannot be reached.
    """
    data = files_of(source).read_bytes(name)
    picture = decoding.decode(data, at_least, keep_profile=keep_profile, max_pixels=max_pixels)
    return Photo(name, hashlib.sha256(data).hexdigest(), picture, *origin)


def assign_splits(members: Sequence[int], shares: Sequence[float], seed: int) -> list[int]:
    """Group number of each photo -> index of its split; a group is never divided.

    The largest group is assigned first, groups of equal size in seeded random order, each to the
    split that lacks the most photos at that point.

    Args:
        members: group number of each photo.
        shares: share of each split, in any unit.
        seed: of the random order.

    >>> sorted(assign_splits(range(10), (0.8, 0.1, 0.1), seed=0))
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 2]
    """
    groups, group_of, sizes = np.unique(members, return_inverse=True, return_counts=True)
    order = np.arange(len(groups))
    np.random.default_rng([seed, 0x5_9117]).shuffle(order)
    order = order[
        np.argsort(-sizes[order], kind="stable")
    ]  # large groups first; small ones balance the counts
    target = np.array(shares, dtype=np.float64) * len(members) / sum(shares)
    assigned = np.zeros(len(target))
    split_of_group = np.empty(len(groups), np.int8)
    for group in order:
        split_of_group[group] = split = np.argmax(np.where(target > 0, target - assigned, -np.inf))
        assigned[split] += sizes[group]
    return [int(split) for split in split_of_group[group_of]]
