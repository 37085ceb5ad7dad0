"""The PNGs of ``find --overlay DIR``: their paths, and checks that no other file is replaced."""

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
SUFFIX = ".png"


@dataclass(frozen=True)
class Photo:
    """A photo to analyse: ``name`` is its path relative to the folder that the user gave."""

    folder: Path
    name: str

    @property
    def path(self) -> Path:
        return self.folder / self.name


def without_drawings(photos: Iterable[Photo], out: Path) -> list[Photo]:
    """Removes the drawings of an earlier run in ``out`` from a list of photos."""
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


def output_paths(photos: Sequence[Photo], out: Path) -> list[Path]:
    """The output path of each photo's drawing below ``out``; all paths are different.

    A drawing has its photo's relative path with the suffix ``.png``. If two paths were equal, on
    a file system that may ignore case, both keep the photo's suffix (``x.jpg.png``); if they
    are still equal, both get a parent folder with the name of their folder; finally they are
    numbered.
    """
    real = [os.path.realpath(photo.path) for photo in photos]
    names = [_candidate_names(photo) for photo in photos]
    for level in range(len(names[0]) - 1 if names else 0):
        owners: dict[str, set[str]] = {}
        for candidates, file in zip(names, real, strict=True):
            owners.setdefault(_comparison_key(candidates[level]), set()).add(file)
        for candidates in names:
            if len(owners[_comparison_key(candidates[level])]) == 1:
                candidates[level + 1 :] = [candidates[level]] * (len(candidates) - level - 1)
    return [out / name for name in _number_names([candidates[-1] for candidates in names], real)]


def _candidate_names(photo: Photo) -> list[PurePath]:
    """The possible relative paths of a drawing, in order of preference."""
    path = PurePath(photo.name)
    whole = path.name if path.suffix.lower() == SUFFIX else f"{path.name}{SUFFIX}"
    plain = path.with_name(fit_name(path.stem, SUFFIX))
    distinct = path.with_name(fit_name(whole[: -len(SUFFIX)], SUFFIX))
    return [plain, distinct, PurePath(name_of(photo.folder) or "photos", distinct)]


def _number_names(names: Sequence[PurePath], real: Sequence[str]) -> list[PurePath]:
    """Adds a number to each name that another photo already has."""
    owner: dict[str, str] = {}
    parents = {_comparison_key(parent) for name in names for parent in name.parents}
    unique = []
    for name, file in zip(names, real, strict=True):
        stem, number, chosen = name.name[: -len(SUFFIX)], 1, name
        while (
            owner.get(_comparison_key(chosen), file) != file or _comparison_key(chosen) in parents
        ):
            number += 1
            chosen = name.with_name(fit_name(stem, f"-{number}{SUFFIX}"))
        owner[_comparison_key(chosen)] = file
        unique.append(chosen)
    return unique


def _comparison_key(path: PurePath) -> str:
    """A key that is equal for paths that are the same on some file system."""
    return unicodedata.normalize("NFC", str(path)).casefold()


def check(targets: Sequence[Path], photos: Sequence[Photo], out: Path, overwrite: bool) -> None:
    """Checks, before any work, that no drawing replaces another file.

    Args:
        overwrite: allow replacing drawings of an earlier run that are not among the photos.

    Raises:
        InputError: a file would be replaced, or a folder for the drawings cannot be created.
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
                f"{target} is not a drawing by localize find and is not overwritten: "
                "name another folder with --overlay"
            )


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def prepare(targets: Iterable[Path]) -> None:
    """Creates the folders of the drawings and checks that they are writable.

    Raises:
        InputError: a folder is not writable.
    """
    for folder in Counter(target.parent for target in targets):
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"{folder} is not writable: check its permissions")


def draw(
    image: np.ndarray, method: str, place: tuple[float, float, float | None], target: Path
) -> None:
    """Writes the image, (H, W, 3) uint8, with the place x, y, r (px) drawn on it as a PNG.

    Raises:
        FileExistsError: meanwhile another program created a file with this name.
    """
    from localize.report import plots

    data = io.BytesIO()
    with plots.figure_style():
        figure = plots.answer_overlay(image, {method: place})
        figure.savefig(data, format="png", metadata={"Software": SOFTWARE})
    if target.exists() and output_file.is_acuity_png(target):
        folders.write(target, data.getvalue())
    else:
        output_file.write_new(target, data.getvalue())
