"""Paths and file names from the user."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from synth.errors import InputError

LONGEST = 255  # bytes of a file name on nearly all file systems


def path_of(path: str | os.PathLike[str]) -> Path:
    """A path from the user -> the same path with ``~`` replaced by the home folder.

    Raises:
        InputError: the path is empty or names the home folder of an unknown user.

    >>> path_of("~") == Path.home()
    True
    """
    if not str(path):
        raise InputError("a path is empty: name a file or a folder")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path}: there is no such home folder; write the full path") from None


def name_of(path: str | os.PathLike[str]) -> str:
    """The last part of a path or URL, for tables and titles.

    It is the folder's name for ``.`` and ``..`` too.

    >>> name_of(".") == Path.cwd().name, name_of("s3://bucket/sets/one?region=eu-west-1")
    (True, 'one')
    """
    if isinstance(path, str) and "://" in path:
        path = path.partition("?")[0]
    path = path_of(path)
    return path.name if path.name not in ("", "..") else path.resolve().name


def fit_name(stem: str, ending: str = "") -> str:
    """``stem`` + ``ending`` as a file name of at most 255 bytes.

    A stem that is too long is cut and gets a digest of the whole stem, so that names stay distinct.

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
    """Arguments of a command -> the existing files and folders among them.

    Strings and paths count if they exist; ``FILE.py:FUNCTION`` counts as the file. Lists are
    searched.
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
