"""Photos: found, read, told apart from near-duplicates, and split."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from synth import decoding, limits, tables
from synth.csv_cells import unescape
from synth.decoding import FORMATS, SUFFIX_OF, TooLarge, open_image, orientation
from synth.errors import InputError, Skipped
from synth.file_names import FileNames
from synth.near_duplicates import NEAR, Signature, dhash, groups, signature
from synth.photo_search import SUFFIXES, SearchResult, search

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


@dataclass(frozen=True, eq=False)
class Photo:
    """An unmodified picture.

    Args:
        name: path relative to the folder of photos, with forward slashes.
        sha256: of the file's bytes.
        picture: RGB, upright.
        source_url: where it came from, where known.
        licence: under what terms, where known.
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


def find(folder: Path) -> list[str]:
    """The names of all photos below a folder, sorted; :func:`search` says what is passed over.

    Raises:
        InputError: the folder is missing, cannot be read, or holds no photo.
    """
    return require_photos(search(folder), folder).names


def require_photos(found: SearchResult, folder: Path) -> SearchResult:
    """The survey itself; InputError where it has no photo, with what was passed over."""
    if not found.names:
        note = f" ({found.summary()})" if found.passed_over else ""
        raise InputError(f"no picture file in {folder}{note}: put JPEG or PNG photos there")
    return found


def provenance(folder: Path, names: Sequence[str] | None = None) -> dict[str, tuple[str, str]]:
    """Source address and licence by photo name, from ``photos.csv`` where the folder has one.

    Args:
        names: the photos; the table's names are matched with them whatever their Unicode normal
            form, slashes, and the folder's name before them. None: the names as they stand.

    Raises:
        InputError: the table cannot be read, has no column file_name, says two things of one
            photo, or names none of the photos: source and licence of all would be lost.
    """
    path = folder / "photos.csv"
    if not path.is_file():
        return {}
    advice = "correct it, or rename it if it is no list of the photos"
    table = tables.read(path, known=("file_name", "source_url", "licence"))
    if "file_name" not in table.columns:
        there = ", ".join(table.columns)
        raise InputError(f"{path} lacks the column file_name: it has {there}; {advice}")
    known = None if names is None else FileNames(names, folder)
    found: dict[str, tuple[str, str]] = {}
    first: dict[str, int] = {}
    columns = map(table.column, ("file_name", "source_url", "licence"))
    for row, (cell, source, licence) in enumerate(zip(*columns, strict=True)):
        name = cell if known is None else known.find(cell)
        if not cell or name is None:
            continue
        source, licence = unescape(source), unescape(licence)
        if found.setdefault(name, (source, licence)) != (source, licence):
            raise InputError(
                f"{table.place(row)}: another source or licence of {name} than in line "
                f"{table.lines[first[name]]}: leave one out"
            )
        first.setdefault(name, row)
    listed = next(filter(None, table.column("file_name")), "")
    if names and listed and not found:
        raise InputError(
            f"{path} names none of the {len(names)} photos: its first is '{listed}', the folder's "
            f"'{names[0]}'; {advice}"
        )
    return found


def read(
    folder: Path,
    name: str,
    at_least: tuple[int, int] | None = None,
    origin: tuple[str, str] = ("", ""),
    *,
    keep_profile: bool = False,
    max_pixels: int = limits.PIXELS,
) -> Photo:
    """Decode one photo to RGB, upright, in sRGB.

    ``at_least`` (width, height in px) lets a JPEG that is larger than that be decoded at
    a half, a quarter or an eighth of its size, which is several times faster; the result
    is at least as large as asked for, if the photo is. ``keep_profile`` and ``max_pixels``
    are those of :func:`synth.decoding.decode`, which also says what becomes of 16-bit values.

    Raises:
        Skipped: the file cannot be read, is broken or too large, or is of a kind that has no
            RGB values of its own.
    """
    data = _read_bytes(folder / name)
    picture = decoding.decode(data, at_least, keep_profile=keep_profile, max_pixels=max_pixels)
    return Photo(name, hashlib.sha256(data).hexdigest(), picture, *origin)


def _read_bytes(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would wait for ever
            raise Skipped("not a file")
        if found.st_size > limits.BYTES:
            raise TooLarge(limits.too_many_bytes(found.st_size))
        return path.read_bytes()
    except Skipped:
        raise
    except FileNotFoundError:
        raise Skipped("its file is missing") from None
    except ValueError:
        raise Skipped("its name is no file name") from None
    except OSError as error:
        raise Skipped(f"its file cannot be read: {error.strerror or error}") from None


def assign_splits(members: Sequence[int], shares: Sequence[float], seed: int) -> list[int]:
    """Group number of each photo -> index of its share (split); groups stay whole.

    Groups are taken largest first, equal ones in a seeded random order, each to the share
    that then lacks most: the counts come as near to the shares as whole groups allow.

    >>> sorted(assign_splits(range(10), (0.8, 0.1, 0.1), seed=0))
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 2]
    """
    groups, group_of, sizes = np.unique(members, return_inverse=True, return_counts=True)
    order = np.arange(len(groups))
    np.random.default_rng([seed, 0x5_9117]).shuffle(order)
    order = order[np.argsort(-sizes[order], kind="stable")]  # large first: small ones even it out
    wanted = np.array(shares, dtype=np.float64) * len(members) / sum(shares)
    given = np.zeros(len(wanted))
    where = np.empty(len(groups), np.int8)
    for group in order:
        where[group] = split = np.argmax(np.where(wanted > 0, wanted - given, -np.inf))
        given[split] += sizes[group]
    return [int(split) for split in where[group_of]]
