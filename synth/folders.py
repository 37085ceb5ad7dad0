"""Atomic writing of folders and files; only folders that Acuity wrote are ever deleted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synth.errors import InputError, Interrupted
from synth.json_files import Damaged, parse_object
from synth.locks import lock
from synth.paths import fit_name
from synth.text_escapes import escape_surrogates

UNFINISHED = ".unfinished"  # file with the state of a staging folder; absent in a finished folder
_BUILDING, _WHOLE = b"building\n", b"whole\n"
_STATES = (b"", _BUILDING, _WHOLE)  # empty: written by earlier versions


@dataclass(frozen=True)
class Marker:
    """The JSON file that marks a finished folder as written by a command of Acuity.

    Args:
        name: name of the file, which holds a JSON object.
        is_ours: whether the command wrote a file with this object.
        may_contain: whether the command can have written a file or folder with this name directly
            in the folder.
    """

    name: str
    is_ours: Callable[[dict[str, Any]], bool]
    may_contain: Callable[[str], bool] = lambda name: True

    def fault(self, folder: Path) -> str:
        """Why the command did not write a folder; "" if it did, or if the folder is empty."""
        names = sorted(entry.name for entry in folder.iterdir())
        if not names:
            return ""
        try:
            is_ours = self.is_ours(parse_object((folder / self.name).read_bytes()))
        except FileNotFoundError:
            return f"has no {self.name}"
        except (OSError, Damaged):
            is_ours = False
        if not is_ours:
            return f"has a file {self.name} that this command did not write"
        for name in names:
            if name != self.name and not self.may_contain(name):
                return f"has a file {name}, which this command did not write"
        return ""


@contextlib.contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Yields a temporary path, which is renamed to ``path`` if the block succeeds, else deleted."""
    temporary = _sibling(path, ".", ".tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write(path: Path, data: str | bytes) -> None:
    """Writes a file atomically: it is complete, or not there.

    Text is written in UTF-8. Characters that UTF-8 cannot encode, for example in file names, are
    written as escapes.
    """
    with replace_atomically(path) as temporary:
        temporary.write_bytes(
            escape_surrogates(data).encode("utf-8") if isinstance(data, str) else data
        )


def sha256(path: Path) -> str:
    """A file -> SHA-256 of its bytes in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def staging_folder(out: Path) -> Path:
    """Path of the staging folder, in which :func:`stage` builds ``out``."""
    return _sibling(out, "", ".partial")


def is_finished(out: Path, scratch: Iterable[str] = ()) -> bool:
    """Whether ``out`` is complete and has no staging folder.

    First completes or reverts a run that was killed during its last renames.

    Args:
        out: the folder.
        scratch: see :func:`stage`.

    Raises:
        InputError: another process is writing the folder.
    """
    out = Path(os.path.realpath(out))
    if not out.is_dir():
        return False
    with lock(out, _sibling(out, ".", ".lock")):
        _recover(out, scratch, resume=True)
    return out.is_dir() and not staging_folder(out).exists()


def check(
    out: Path, marker: Marker, overwrite: bool = False, reads: Iterable[str | Path] = ()
) -> None:
    """Checks that the folder ``out`` may be written.

    Args:
        out: the folder.
        marker: how a finished folder of the command is recognised.
        overwrite: allow a folder that the command wrote.
        reads: files and folders that the command reads. ``out`` must not contain one of them or
            lie inside one, by name or through links.

    Raises:
        InputError: the folder must not be written.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: name a folder that does not exist yet")
    exists = out.is_dir() and any(out.iterdir())
    for read in reads:
        _check_separate(out, Path(read), exists)
    if exists:
        if not overwrite:
            raise InputError(f"{out} exists: name another folder, or pass --overwrite")
        if fault := marker.fault(out):
            raise InputError(f"{out} {fault}, so it is not overwritten: name another folder")


@contextlib.contextmanager
def stage(
    out: Path,
    marker: Marker,
    *,
    reads: Iterable[str | Path] = (),
    overwrite: bool = False,
    resume: bool | None = None,
    scratch: Iterable[str] = (),
) -> Iterator[Path]:
    """Yields a staging folder, which is renamed to ``out`` if the block succeeds.

    Only one process at a time builds ``out``. If the process is killed, ``out`` is the old folder
    or the new one, except between two renames; the next call for ``out`` completes these and
    deletes leftover folders.

    Args:
        out: the folder to write.
        marker: how a finished folder of the command is recognised; no other is overwritten.
        reads: files and folders that the block reads; see :func:`check`.
        overwrite: replace ``out`` after the new folder is complete; delete an unfinished one.
        resume: whether to continue an unfinished folder. None: the work cannot be resumed, so
            every failure deletes the staging folder. Otherwise an interruption keeps it, and bad
            input deletes it unless it existed before.
        scratch: files and folders that only a resumed run needs; deleted at the end.

    Raises:
        InputError: ``out`` or its staging folder must not be written; see :func:`check`.
    """
    reads, scratch = list(reads), list(scratch)
    named, out = out, Path(os.path.realpath(out))  # gives "." a name and follows links
    staging = staging_folder(out)
    for read in reads:
        _check_separate(named, Path(read), False)
    out.parent.mkdir(parents=True, exist_ok=True)
    with lock(out, _sibling(out, ".", ".lock")):
        _recover(out, scratch, bool(resume))
        check(named, marker, overwrite, reads)
        for read in reads:
            _check_separate(staging, Path(read), staging.is_dir())
        if staging.exists():
            if resume is False and not overwrite:
                raise InputError(
                    f"{staging} holds an unfinished run: "
                    "pass --resume to continue it or --overwrite to delete it"
                )
            state = _state(staging)
            if state is None and any(staging.iterdir()):
                raise InputError(f"{staging} exists and was not written by this command: move it")
            if not resume:
                _delete(staging, out)
        fresh = not staging.exists()
        was_whole = not fresh and _state(staging) == _WHOLE
        staging.mkdir(exist_ok=True)
        write(staging / UNFINISHED, _BUILDING)
        try:
            yield staging
            try:
                check(named, marker, overwrite)
            except InputError as error:  # it appeared or changed during the run
                raise Interrupted(str(error)) from None
        except BaseException as error:
            bad_input = isinstance(error, InputError) and not isinstance(error, Interrupted)
            if resume is None or (fresh and bad_input):
                _delete(staging, out)
            elif was_whole and bad_input:  # other options were given: keep the finished run
                write(staging / UNFINISHED, _WHOLE)
                _recover(out, scratch, False)
            raise
        write(staging / UNFINISHED, _WHOLE)
        _recover(out, scratch, False)


def _recover(out: Path, scratch: Iterable[str], resume: bool) -> None:
    """Completes the renames of a run that was killed at its end, or reverts them.

    Args:
        resume: rename a complete folder back to its staging folder, so that the run can end again.
    """
    staging, replaced = staging_folder(out), _sibling(out, ".", ".acuity-replaced")
    if _state(staging) == _WHOLE:
        if out.is_dir() and any(out.iterdir()) and not replaced.exists():
            os.replace(out, replaced)
        if not out.is_dir() or not any(out.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                out.rmdir()
            os.replace(staging, out)
    if replaced.exists():
        if out.is_dir():
            _delete(replaced, out)
        else:
            os.replace(replaced, out)
    digits = 12  # hexadecimal digits of the random number that ends the name
    trash = _sibling(out, ".", f".acuity-trash-{'0' * digits}").name[:-digits]
    pattern = re.compile(re.escape(trash) + f"[0-9a-f]{{{digits}}}")
    for entry in list(out.parent.iterdir()):
        if pattern.fullmatch(entry.name):
            shutil.rmtree(entry, ignore_errors=True)
    if _state(out) != _WHOLE:
        return
    if resume and not staging.exists():
        os.replace(out, staging)
        return
    for name in scratch:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (out / UNFINISHED).unlink()


def _state(folder: Path) -> bytes | None:
    """The state that :func:`stage` wrote into a folder; None if it did not build the folder."""
    try:
        with (folder / UNFINISHED).open("rb") as file:
            state = file.read(64)
    except OSError:
        return None
    return state if state in _STATES else None


def _delete(folder: Path, out: Path) -> None:
    """Deletes a folder after renaming it, so that a partly deleted one is not taken for it."""
    trash = _sibling(out, ".", f".acuity-trash-{secrets.token_hex(6)}")
    os.replace(folder, trash)
    shutil.rmtree(trash, ignore_errors=True)


def _sibling(path: Path, prefix: str, suffix: str) -> Path:
    """A path in the same folder with a prefix and suffix, shortened if a disk would reject it."""
    return path.with_name(fit_name(f"{prefix}{path.name}", suffix))


def _check_separate(out: Path, read: Path, exists: bool) -> None:
    """Checks that OUT neither contains an input nor lies inside one, by name or through links.

    Args:
        out: the folder to write.
        read: an input.
        exists: OUT has files, so links inside an input folder must not lead to OUT either.

    Raises:
        InputError: the two are not separate.
    """
    for place in (os.path.abspath, os.path.realpath):
        one, other = Path(place(out)), Path(place(read))
        if one == other or _contains(one, other):
            raise InputError(f"{out} is or contains the input {read}: name another folder")
        if _contains(other, one):
            raise InputError(f"{out} is inside the input {read}: name another folder")
    if exists and read.is_dir():
        target = out.resolve()
        for link in _links(read):
            link_target = link.resolve()
            if (
                link_target == target
                or _contains(target, link_target)
                or _contains(link_target, target)
            ):
                raise InputError(f"the input {link} is a link to {out}: name another folder")


def _contains(folder: Path, path: Path) -> bool:
    """Whether a path lies in a folder, by name or by device and inode."""
    if folder in path.parents:
        return True
    try:
        place = folder.stat()
    except OSError:
        return False
    for parent in path.parents:
        with contextlib.suppress(OSError):
            if os.path.samestat(parent.stat(), place):
                return True
    return False


def _links(folder: Path) -> Iterator[Path]:
    """The links in a folder and its subfolders; links are not followed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir():
                yield from _links(Path(entry.path))
