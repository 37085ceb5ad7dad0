"""Single files that a command writes where its user says, beside files of other origin.

Nothing is written over but files that an earlier run of the same command wrote, and those only
with ``--overwrite``. They are known by their content, not by their name.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from synth import folders
from synth.errors import InputError
from synth.paths import fit_name

if TYPE_CHECKING:
    import numpy as np

MARK = "Acuity"  # begins the text "Software" of every PNG that we draw


def check(path: Path, is_ours: Callable[[Path], bool], overwrite: bool) -> None:
    """Refuse a file to write that exists already.

    Args:
        is_ours: whether the file there was written by the same command.
        overwrite: allow it, if it is ours.

    Raises:
        InputError: it exists and may not be replaced, or is a folder, or has no folder.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is no folder: name a file in one that exists")
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise InputError(f"{path} exists: name another file with --out, or pass --overwrite")
    if not is_ours(path):
        raise InputError(
            f"{path} was not written by this command, so it is not overwritten: "
            "name another file with --out"
        )


def write(path: Path, data: bytes, overwrite: bool) -> None:
    """Write a file that :func:`check` allows."""
    if overwrite:
        folders.write(path, data)
    else:
        write_new(path, data)


def write_new(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, if the name is free.

    Raises:
        FileExistsError: it is not.
    """
    temporary = path.with_name(fit_name(f".{path.name}", ".tmp"))
    try:
        temporary.write_bytes(data)
        try:
            path.hardlink_to(temporary)  # fails where a rename would replace
        except FileExistsError:
            raise FileExistsError(errno.EEXIST, "File exists", str(path)) from None
        except OSError:  # a file system without hard links
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, "File exists", str(path)) from None
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_acuity_png(path: Path) -> bool:
    """Whether a file is a PNG that we drew."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            return str(image.info.get("Software", "")).startswith(MARK)
    except Exception:  # a file of another kind, or a damaged one
        return False


def encode_png(pixels: np.ndarray, made_by: str) -> bytes:
    """(H, W, 3) uint8 -> a PNG that :func:`is_acuity_png` knows."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    note, data = PngInfo(), io.BytesIO()
    note.add_text("Software", f"{MARK} ({made_by})")
    Image.fromarray(pixels).save(data, "PNG", pnginfo=note)
    return data.getvalue()


def contains(path: Path, *words: str, within: int = 100_000) -> bool:
    """Whether a text file holds all of the words in its first bytes."""
    try:
        with path.open("rb") as file:
            start = file.read(within).decode("utf-8", "replace")
    except OSError:
        return False
    return all(word in start for word in words)
