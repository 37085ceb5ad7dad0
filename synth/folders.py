"""Write folders and files so that they are there whole or not at all, and delete only our own."""

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

UNFINISHED = ".unfinished"  # the state of a folder that stage() builds; absent once it is done
_BUILDING, _WHOLE = b"building\n", b"whole\n"
_STATES = (b"", _BUILDING, _WHOLE)  # empty: as earlier versions left it


@dataclass(frozen=True)
class Marker:
    """The file by whose content a finished folder is known to be ours.

    Args:
        name: of the file, which holds a JSON object.
        is_ours: whether an object is one that we write into such a file.
        may_contain: whether a file or folder of this name, directly in the folder, can be ours.
    """

    name: str
    is_ours: Callable[[dict[str, Any]], bool]
    may_contain: Callable[[str], bool] = lambda name: True

    def fault(self, folder: Path) -> str:
        """Why a folder is not ours; empty where it is, or holds nothing."""
        names = sorted(entry.name for entry in folder.iterdir())
        if not names:
            return ""
        try:
            ours = self.is_ours(parse_object((folder / self.name).read_bytes()))
        except FileNotFoundError:
            return f"holds no {self.name}"
        except (OSError, Damaged):
            ours = False
        if not ours:
            return f"holds a file {self.name} that this command did not write"
        for name in names:
            if name != self.name and not self.may_contain(name):
                return f"holds {name}, which this command did not write"
        return ""


@contextlib.contextmanager
def replace_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary name to write under; rename it to ``path`` when the block ends well."""
    temporary = _sibling(path, ".", ".tmp")
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
    with replace_atomically(path) as temporary:
        temporary.write_bytes(
            escape_surrogates(data).encode("utf-8") if isinstance(data, str) else data
        )


def sha256(path: Path) -> str:
    """A file -> the SHA-256 of its bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def staging_folder(out: Path) -> Path:
    """Where :func:`staged` builds ``out`` while it is unfinished."""
    return _sibling(out, "", ".partial")


def is_finished(out: Path, scratch: Iterable[str] = ()) -> bool:
    """Whether ``out`` is whole and no other run for it has begun; puts an interrupted end right.

    Raises:
        InputError: another process is writing it.
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
    """Refuse an OUT that exists already, unless ``overwrite`` and it is ours, or that is an input.

    Args:
        reads: the files and folders that the work reads. OUT must not contain one of them, nor
            lie in one, neither by name nor through links.

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
            raise InputError(f"{out} {fault}: it is not overwritten; name another folder")


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
    """Give a folder to build in; rename it to ``out`` when the block ends well.

    One process at a time builds ``out``. Whatever is killed when: ``out`` is the old folder or
    the new one, except between two renames, and the next call for ``out`` puts that right and
    deletes what was left behind.

    Args:
        out: the folder wanted.
        marker: how a finished folder of this kind is known; ``overwrite`` deletes no other.
        reads: the files and folders that the block reads; see :func:`check`.
        overwrite: replace ``out`` once the new one is whole, and drop an unfinished one.
        resume: whether to go on in an unfinished folder. None: this work cannot be
            resumed, so any failure leaves nothing behind. Otherwise an interruption keeps
            the unfinished folder, and bad input removes it, if it was not there before.
        scratch: files and folders in it that only a resumed run needs; deleted at the end.

    Raises:
        InputError: ``out`` or its unfinished folder must not be written; see :func:`check`.
    """
    reads, scratch = list(reads), list(scratch)
    named, out = out, Path(os.path.realpath(out))  # a name of its own for "." and behind links
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
                    "pass --resume to go on, --overwrite to drop it"
                )
            state = _state(staging)
            if state is None and any(staging.iterdir()):
                raise InputError(f"{staging} is in the way and not ours: move it")
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
            except InputError as error:  # it has appeared, or changed, since the run began
                raise Interrupted(str(error)) from None
        except BaseException as error:
            bad_input = isinstance(error, InputError) and not isinstance(error, Interrupted)
            if resume is None or (fresh and bad_input):
                _delete(staging, out)
            elif was_whole and bad_input:  # another run was asked for: this one stays as it was
                write(staging / UNFINISHED, _WHOLE)
                _recover(out, scratch, False)
            raise
        write(staging / UNFINISHED, _WHOLE)
        _recover(out, scratch, False)


def _recover(out: Path, scratch: Iterable[str], resume: bool) -> None:
    """Finish what a run that was killed while it ended has left, or take its last step back.

    Args:
        resume: a whole folder goes back to its unfinished name, for its run to end once more.
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
    digits = 12  # of the random number at the end of the name; they count for its length
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
    """What :func:`staged` noted in a folder; None where it did not build it."""
    try:
        with (folder / UNFINISHED).open("rb") as file:
            state = file.read(64)
    except OSError:
        return None
    return state if state in _STATES else None


def _delete(folder: Path, out: Path) -> None:
    """Delete a folder of ours, renamed first: what an interruption leaves is never taken for it."""
    trash = _sibling(out, ".", f".acuity-trash-{secrets.token_hex(6)}")
    os.replace(folder, trash)
    shutil.rmtree(trash, ignore_errors=True)


def _sibling(path: Path, prefix: str, suffix: str) -> Path:
    """A name in the same folder, cut where a disk would not take it."""
    return path.with_name(fit_name(f"{prefix}{path.name}", suffix))


def _check_separate(out: Path, read: Path, exists: bool) -> None:
    """Refuse an OUT that contains an input or lies in one, by name or through links.

    Args:
        exists: OUT holds files: links inside a folder that is read must not lead there either.
    """
    for place in (os.path.abspath, os.path.realpath):
        one, other = Path(place(out)), Path(place(read))
        if one == other or _contains(one, other):
            raise InputError(f"{out} is or holds {read}, which is read: name a folder elsewhere")
        if _contains(other, one):
            raise InputError(f"{out} lies in {read}, which is read: name a folder elsewhere")
    if exists and read.is_dir():
        target = out.resolve()
        for link in _links(read):
            found = link.resolve()
            if found == target or _contains(target, found) or _contains(found, target):
                raise InputError(f"{link} leads to {out}, and is read: name a folder elsewhere")


def _contains(folder: Path, path: Path) -> bool:
    """Whether a path lies in a folder, by name or by what the disk calls the same folder."""
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
    """The links in a folder and its subfolders; they are not followed."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield Path(entry.path)
            elif entry.is_dir():
                yield from _links(Path(entry.path))
