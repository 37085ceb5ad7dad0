"""The image files of an import: they are found by their paths in a table, and checked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import UnidentifiedImageError

from synth import photos
from synth.errors import InputError, Skipped
from synth.file_names import parts_of
from synth.photos import Photo

CODECS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png"}


@dataclass(frozen=True)
class Picture:
    """An image that can be copied unchanged: its content and its codec."""

    photo: Photo
    codec: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        return self.photo.picture.size


def read(path: Path) -> Picture:
    """Reads an image file of a foreign dataset.

    Raises:
        Skipped: it is no picture, neither JPEG nor PNG, rotated by its EXIF block, or has no
            definite RGB values.
    """
    try:
        with photos.open_image(path) as image:
            codec = CODECS.get(image.format or "", "")
            turned = photos.orientation(image) != 1
    except MemoryError:
        raise
    except UnidentifiedImageError:  # the message has the path, which would hinder counting
        raise Skipped("not a picture") from None
    except Exception as error:  # broken files raise many types
        raise Skipped(f"not a picture: {error}") from None
    if not codec:
        raise Skipped("neither JPEG nor PNG: convert it first")
    if turned:
        raise Skipped("it is rotated by its EXIF block: rotate its pixels instead")
    return Picture(photos.read(path.parent, path.name, keep_profile=True), codec)


def finder(folder: Path) -> Callable[[str], Path]:
    """-> a function: path in the table -> file below ``folder`` with the most equal last parts."""
    found = photos.require_photos(photos.search(folder), folder)
    note = f" ({found.summary()})" if found.passed_over else ""
    by_last: dict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
    for name in found.names:
        parts = parts_of(name)
        by_last[parts[-1]].append((parts, name))

    def find(path: str) -> Path:
        parts = parts_of(path)
        candidates = by_last.get(parts[-1], []) if parts else []
        if not candidates:
            raise InputError(f"no image named '{path}' below {folder}{note}")
        exact = [name for candidate, name in candidates if candidate == parts]
        if len(exact) == 1:
            return folder / exact[0]
        shared = [_shared_tail(parts, candidate) for candidate, _ in candidates]
        best = max(shared)
        if shared.count(best) > 1:
            raise InputError(f"'{path}' matches {shared.count(best)} images below {folder}")
        return folder / candidates[shared.index(best)][1]

    return find


def _shared_tail(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    count = 0
    for left, right in zip(reversed(a), reversed(b), strict=False):
        if left != right:
            break
        count += 1
    return count
