"""Writing of single output files at a path that the user names.

Only files that an earlier run of the same command wrote are overwritten, and only with
``--overwrite``. They are recognised by their content, not by their name.
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

MARK = "Acuity"  # start of the text "Software" in every PNG that Acuity draws


def check(path: Path, is_ours: Callable[[Path], bool], overwrite: bool) -> None:
    """Checks that a file may be written.

    Args:
        path: the file.
        is_ours: whether the same command wrote an existing file.
        overwrite: allow an existing file that the command wrote.

    Raises:
        InputError: the file exists and must not be replaced, the path is a folder, or its parent
            folder does not exist.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a folder: name a file in an existing folder")
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
    """Writes a file that :func:`check` allows."""
    if overwrite:
        folders.write(path, data)
    else:
        write_new(path, data)


def write_new(path: Path, data: bytes) -> None:
    """Writes a file atomically if the path does not exist.

    Raises:
        FileExistsError: the path exists.
    """
    temporary = path.with_name(fit_name(f".{path.name}", ".tmp"))
    try:
        temporary.write_bytes(data)
        try:
            path.hardlink_to(temporary)  # fails if the path exists, unlike a rename
        except FileExistsError:
            raise FileExistsError(errno.EEXIST, "File exists", str(path)) from None
        except OSError:  # a file system without hard links
            if os.path.lexists(path):
                raise FileExistsError(errno.EEXIST, "File exists", str(path)) from None
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_acuity_png(path: Path) -> bool:
    """Whether a file is a PNG that Acuity drew."""
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            return str(image.info.get("Software", "")).startswith(MARK)
    except Exception:  # another format, or a damaged file
        return False


def encode_png(pixels: np.ndarray, made_by: str) -> bytes:
    """(H, W, 3) uint8 -> bytes of a PNG that :func:`is_acuity_png` recognises."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    note, data = PngInfo(), io.BytesIO()
    note.add_text("Software", f"{MARK} ({made_by})")
    Image.fromarray(pixels).save(data, "PNG", pnginfo=note)
    return data.getvalue()


def contains(path: Path, *words: str, within: int = 100_000) -> bool:
    """Whether the first ``within`` bytes of a text file contain all of the words."""
    try:
        with path.open("rb") as file:
            start = file.read(within).decode("utf-8", "replace")
    except OSError:
        return False
    return all(word in start for word in words)
