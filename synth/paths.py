"""Paths as people type them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from synth.errors import InputError

LONGEST = 255  # bytes of a file's name, on nearly all file systems


def path_of(path: str | os.PathLike[str]) -> Path:
    """A path that a user gave -> the same with ``~`` replaced by the home folder.

    Raises:
        InputError: the path is empty, or names the home of a user who is not known.

    >>> path_of("~") == Path.home()
    True
    """
    if not str(path):
        raise InputError("a path is empty: name a file or a folder")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path}: no home folder is known; write the path in full") from None


def name_of(path: str | os.PathLike[str]) -> str:
    """The last part of a path, for tables and titles; of ``.`` and ``..`` the folder's own name.

    >>> name_of(".") == Path.cwd().name
    True
    """
    path = path_of(path)
    return path.name if path.name not in ("", "..") else path.resolve().name


def fit_name(stem: str, ending: str = "") -> str:
    """``stem`` + ``ending`` as a file name that file systems take: 255 bytes at most.

    A stem that is too long is cut and gets a digest of the whole, so that two stay distinct.

    >>> fit_name("photo", ".png")
    'photo.png'
    >>> len(fit_name("x" * 300, ".png"))
    255
    """
    whole = os.fsencode(stem)
    room = LONGEST - len(os.fsencode(ending))
    if len(whole) <= room:
        return stem + ending
    digest = f"-{hashlib.sha256(whole).hexdigest()[:8]}"
    return whole[: room - len(digest)].decode("utf-8", "ignore") + digest + ending


def inputs(*values: object) -> list[Path]:
    """Arguments of a command -> the files and folders among them, which the command reads.

    A text counts where a file or folder of that name exists; of ``FILE.py:FUNCTION`` it is the
    file. Lists are looked through.
    """
    found: list[Path] = []
    for value in values:
        if isinstance(value, (list, tuple)):
            found += inputs(*value)
        elif isinstance(value, (str, Path)) and str(value):
            place, _, _ = str(value).rpartition(":")
            path = path_of(place if place.endswith(".py") else value)
            with contextlib.suppress(OSError, ValueError):
                if path.exists():
                    found.append(path)
    return found
