"""The pictures that ``find --overlay DIR`` draws: their names, and that they replace no photo."""

from __future__ import annotations

import io
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from synth import folders, output_file
from synth.errors import InputError
from synth.paths import fit_name, name_of

if TYPE_CHECKING:
    import numpy as np

SOFTWARE = f"{output_file.MARK} (localize find)"
ENDING = ".png"


@dataclass(frozen=True)
class Photo:
    """A photo to look at: its path is ``name`` below the folder that the user gave."""

    folder: Path
    name: str

    @property
    def path(self) -> Path:
        return self.folder / self.name


def without_drawings(photos: Iterable[Photo], out: Path) -> list[Photo]:
    """Photos -> the same without the drawings of an earlier run in ``out``."""
    if not out.is_dir():
        return list(photos)
    inside = Path(os.path.realpath(out))
    return [
        photo
        for photo in photos
        if not (
            Path(os.path.realpath(photo.path)).is_relative_to(inside)
            and output_file.is_acuity_png(photo.path)
        )
    ]


def plan(photos: Sequence[Photo], out: Path) -> list[Path]:
    """-> the file to draw for each photo, no two alike, each below ``out``.

    It has the photo's path below the folder given. Where two would be alike, even on a file
    system that ignores case, both keep their suffix (``x.jpg.png``); where that does not tell
    them apart, both lie in a folder of their folder's name; at last they are numbered.
    """
    real = [os.path.realpath(photo.path) for photo in photos]
    names = [_forms(photo) for photo in photos]
    for level in range(len(names[0]) - 1 if names else 0):
        owners: dict[str, set[str]] = {}
        for forms, file in zip(names, real, strict=True):
            owners.setdefault(_key(forms[level]), set()).add(file)
        for forms in names:
            if len(owners[_key(forms[level])]) == 1:
                forms[level + 1 :] = [forms[level]] * (len(forms) - level - 1)
    return [out / name for name in _number_names([forms[-1] for forms in names], real)]


def _forms(photo: Photo) -> list[PurePath]:
    """The names that a drawing may have, the shortest first."""
    path = PurePath(photo.name)
    whole = path.name if path.suffix.lower() == ENDING else f"{path.name}{ENDING}"
    plain = path.with_name(fit_name(path.stem, ENDING))
    distinct = path.with_name(fit_name(whole[: -len(ENDING)], ENDING))
    return [plain, distinct, PurePath(name_of(photo.folder) or "photos", distinct)]


def _number_names(names: Sequence[PurePath], real: Sequence[str]) -> list[PurePath]:
    """Names -> the same, with a number where another file has the name already."""
    owner: dict[str, str] = {}
    parents = {_key(parent) for name in names for parent in name.parents}
    found = []
    for name, file in zip(names, real, strict=True):
        stem, number, chosen = name.name[: -len(ENDING)], 1, name
        while owner.get(_key(chosen), file) != file or _key(chosen) in parents:
            number += 1
            chosen = name.with_name(fit_name(stem, f"-{number}{ENDING}"))
        owner[_key(chosen)] = file
        found.append(chosen)
    return found


def _key(path: PurePath) -> str:
    """Equal for names that are one on some file system."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def check(targets: Sequence[Path], photos: Sequence[Photo], out: Path, overwrite: bool) -> None:
    """Refuse drawings that would replace a file, before any work.

    Args:
        overwrite: allow it, if the file is a drawing of an earlier run and none of the photos.

    Raises:
        InputError: one would, or a folder for them cannot be made.
    """
    if (out.exists() or out.is_symlink()) and not out.is_dir():
        raise InputError(f"--overlay {out} is a file: name a folder")
    inputs = {_identity(photo.path) for photo in photos}
    for target in targets:
        for parent in target.parents:
            if parent == out:
                break
            if os.path.lexists(parent) and not parent.is_dir():
                raise InputError(f"{parent} is in the way of a drawing: name another --overlay")
        if not os.path.lexists(target):
            continue
        if target.exists() and _identity(target) in inputs:
            raise InputError(f"{target} is one of the photos: name another folder with --overlay")
        if not overwrite:
            raise InputError(
                f"{target} exists: name another folder with --overlay, or pass --overwrite to "
                "replace drawings of an earlier run"
            )
        if not output_file.is_acuity_png(target):
            raise InputError(
                f"{target} is no drawing of ours, so it is not overwritten: "
                "name another folder with --overlay"
            )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def prepare(targets: Iterable[Path]) -> None:
    """Make the folders of the drawings, and see that files can be written there.

    Raises:
        InputError: they cannot.
    """
    for folder in Counter(target.parent for target in targets):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"{folder} cannot be written to: check its rights")


def draw(
    image: np.ndarray, method: str, place: tuple[float, float, float | None], target: Path
) -> None:
    """(H, W, 3) uint8 and x, y, r (px) -> a PNG with the place drawn.

    Raises:
        FileExistsError: a file has come to be there that is no drawing of ours.
    """
    from localize.report import plots

    data = io.BytesIO()
    with plots.styled():
        figure = plots.overlay(image, {method: place})
        figure.savefig(data, format="png", metadata={"Software": SOFTWARE})
    if target.exists() and output_file.is_acuity_png(target):
        folders.write(target, data.getvalue())
    else:
        output_file.write_new(target, data.getvalue())
