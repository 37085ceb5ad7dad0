"""Find photos, decode them safely, tell near-duplicates apart and split them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from synth import tables
from synth.cells import unescape
from synth.errors import InputError, Skipped
from synth.file_names import FileNames

_SUFFIXES = ".jpg .jpeg .jpe .jfif .mpo .png .webp .avif .tif .tiff .bmp .gif .ppm .pgm"
SUFFIXES = frozenset(_SUFFIXES.split())
# The suffix for a file by its content, as Pillow names it.
SUFFIX_OF = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "AVIF": ".avif",
    "TIFF": ".tif",
    "BMP": ".bmp",
    "GIF": ".gif",
    "PPM": ".ppm",
}
# What is opened at all (MPO counts as JPEG): Pillow knows formats that start other programs (EPS).
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
_TURNS = dict(
    zip(
        range(2, 9),
        (
            Image.Transpose.FLIP_LEFT_RIGHT,
            Image.Transpose.ROTATE_180,
            Image.Transpose.FLIP_TOP_BOTTOM,
            Image.Transpose.TRANSPOSE,
            Image.Transpose.ROTATE_270,
            Image.Transpose.TRANSVERSE,
            Image.Transpose.ROTATE_90,
        ),
        strict=True,
    )
)
NEAR = 4  # bits of 64 in which the hashes of near-duplicates may differ


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
    """The names of all picture files below a folder, sorted; hidden ones are left out.

    Raises:
        InputError: the folder is missing or holds no picture file.
    """
    if not folder.is_dir():
        raise InputError(f"no folder of photos at {folder}: check the path")
    names = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not names:
        raise InputError(f"no picture file in {folder}: put JPEG or PNG photos there")
    return names


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
    table = tables.read(path, ("file_name",), ("source_url", "licence"), advice)
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
) -> Photo:
    """Decode one photo to RGB, upright.

    ``at_least`` (width, height in px) lets a JPEG that is larger than that be decoded at
    a half, a quarter or an eighth of its size, which is several times faster; the result
    is at least as large as asked for, if the photo is.

    Raises:
        Skipped: the file is broken or of a kind that has no RGB values of its own.
    """
    try:
        data = (folder / name).read_bytes()
        picture = _decode(data, at_least)
    except Skipped:
        raise
    except FileNotFoundError:
        raise Skipped("its file is missing") from None
    except UnidentifiedImageError:
        raise Skipped("not a picture, or of an unknown format") from None
    except Image.DecompressionBombError:
        raise Skipped("has too many pixels to be decoded safely") from None
    except Exception as error:  # on broken files Pillow's decoders raise nearly anything
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise Skipped(f"broken file: {reason}") from None
    return Photo(name, hashlib.sha256(data).hexdigest(), picture, *origin)


def _decode(data: bytes, at_least: tuple[int, int] | None) -> Image.Image:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            raise Skipped("animated or of several pages")
        if at_least is not None and image.format in ("JPEG", "MPO"):
            turned = orientation(image) >= 5
            image.draft("RGB", at_least[::-1] if turned else at_least)
        image.load()  # before the EXIF of a PNG, whose reading would hide a broken file
        turn = _TURNS.get(orientation(image))
        rgb = _rgb(image)
        return rgb if turn is None else rgb.transpose(turn)


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 where the block says nothing usable."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # an odd EXIF block spoils no photo
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode of Pillow -> RGB, or Skipped where that would invent or lose values."""
    if image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((grey * 255 + 32767) // 65535).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise Skipped(f"has 32-bit values (mode {image.mode})")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        if int(np.asarray(image)[..., 3].min()) < 255:
            raise Skipped("has transparent pixels")
    return image if image.mode == "RGB" else image.convert("RGB")


def dhash(image: Image.Image) -> int:
    """RGB picture -> 64-bit difference hash; near-duplicates differ in few bits.

    Source: N. Krawetz, "Kind of Like That" (2013).
    """
    factor = min(image.width // 72, image.height // 64)
    if factor > 1:
        image = image.reduce(factor)
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    bits = (grey[:, 1:] > grey[:, :-1]).reshape(-1)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def groups(hashes: Sequence[int], near: int = NEAR) -> list[int]:
    """64-bit hashes -> a group number each: equal for those linked by steps of ``near`` bits.

    A group's number is the index of its first member.

    >>> groups([0b0000, 0b1111_1111, 0b0001])
    [0, 1, 0]
    """
    codes = np.array(hashes, dtype=np.uint64)
    parent = list(range(len(codes)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    # Hashes that differ in at most `near` bits agree in one of near + 1 bands of their bits,
    # so that only photos alike in a band are compared: not each with each.
    edges = np.linspace(0, 64, near + 2).astype(np.uint64)
    for low, high in pairwise(edges):
        band = (codes >> low) & np.uint64((1 << int(high - low)) - 1)
        order = np.argsort(band, kind="stable")
        for run in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            for k in range(len(run) - 1):
                rest = run[k + 1 :]
                for j in rest[np.bitwise_count(codes[rest] ^ codes[run[k]]) <= near]:
                    a, b = sorted((root(int(run[k])), root(int(j))))
                    parent[b] = a
    return [root(i) for i in range(len(codes))]


def assign(members: Sequence[int], shares: Sequence[float], seed: int) -> list[int]:
    """Group number of each photo -> index of its share (split); groups stay whole.

    Groups are taken largest first, equal ones in a seeded random order, each to the share
    that then lacks most: the counts come as near to the shares as whole groups allow.

    >>> sorted(assign(range(10), (0.8, 0.1, 0.1), seed=0))
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
