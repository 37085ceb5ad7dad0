"""Write a folder or file under a temporary name and rename it when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from synth.errors import InputError, Interrupted
from synth.paths import fitting
from synth.terminal import legible

UNFINISHED = ".unfinished"  # in every folder that staged() builds, so that it knows its own


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Give a temporary name to write under; rename it to ``path`` when the block ends well."""
    temporary = path.with_name(fitting(f".{path.name}", ".tmp"))
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write(path: Path, data: str | bytes) -> None:
    """Write a file so that it is there whole or not at all.

    Text is written in UTF-8, what that has no bytes for (in file names, say) as an escape.
    """
    with writing(path) as temporary:
        temporary.write_bytes(legible(data).encode("utf-8") if isinstance(data, str) else data)


def sha256(path: Path) -> str:
    """A file -> the SHA-256 of its bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def partial(out: Path) -> Path:
    """Where :func:`staged` builds ``out`` while it is unfinished."""
    return out.with_name(f"{out.name}.partial")


def is_ours(out: Path, marker: str) -> bool:
    """Whether a folder is empty or holds ``marker``, a file that we write into each of ours."""
    return (out / marker).is_file() or not any(out.iterdir())


def check(out: Path, marker: str, overwrite: bool = False) -> None:
    """Refuse an OUT that exists already, unless ``overwrite`` and it is one of ours.

    Raises:
        InputError: it exists, or is no folder, or overwriting it would delete foreign files.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: name a folder that does not exist yet")
    if out.is_dir() and any(out.iterdir()):
        if not overwrite:
            raise InputError(f"{out} exists: name another folder, or pass --overwrite")
        if not is_ours(out, marker):
            raise InputError(f"{out} holds no {marker}: it is not overwritten, for safety")


@contextlib.contextmanager
def staged(
    out: Path, marker: str, *, overwrite: bool = False, resume: bool | None = None
) -> Iterator[Path]:
    """Give a folder to build in; rename it to ``out`` when the block ends well.

    Args:
        out: the folder wanted.
        marker: a file that every finished folder of this kind holds; ``overwrite`` deletes
            no folder without it.
        overwrite: replace ``out`` once the new one is whole, and drop an unfinished one.
        resume: whether to go on in an unfinished folder. None: this work cannot be
            resumed, so any failure leaves nothing behind. Otherwise an interruption keeps
            the unfinished folder, and bad input removes it, if it was not there before.

    Raises:
        InputError: ``out`` exists, or is unfinished, and neither flag was given.
    """
    out = Path(os.path.realpath(out))  # a name of its own for "." and for what a link leads to
    check(out, marker, overwrite)
    building = partial(out)
    if building.exists() and not resume:
        if resume is False and not overwrite:
            raise InputError(
                f"{building} holds an unfinished run: "
                "pass --resume to go on, --overwrite to drop it"
            )
        if not is_ours(building, UNFINISHED):
            raise InputError(f"{building} is in the way and not ours: move it")
        shutil.rmtree(building)
    fresh = not building.exists()
    building.mkdir(parents=True, exist_ok=True)
    (building / UNFINISHED).touch()
    try:
        yield building
    except BaseException as error:
        bad_input = isinstance(error, InputError) and not isinstance(error, Interrupted)
        if resume is None or (fresh and bad_input):
            shutil.rmtree(building, ignore_errors=True)
        raise
    (building / UNFINISHED).unlink()
    if out.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
        os.replace(out, old)
        os.replace(building, out)
        shutil.rmtree(old)
    else:
        os.replace(building, out)
