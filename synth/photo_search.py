"""Search for photos below a folder, by suffix or content, also through links."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

from synth import decoding
from synth.errors import InputError
from synth.storage import Place, Storage, explain_storage_errors, is_unreachable, reason_of

_SUFFIXES = ".jpg .jpeg .jpe .jfif .mpo .png .webp .avif .tif .tiff .bmp .gif .ppm .pgm"
SUFFIXES = frozenset(_SUFFIXES.split())
# Raw files that begin like TIFF; the TIFF image in them is only a preview.
_RAW_SUFFIXES = ".dng .nef .nrw .cr2 .arw .sr2 .srf .srw .pef .3fr .dcr .kdc .iiq .erf .mef"
_RAW = frozenset(_RAW_SUFFIXES.split())
OURS = frozenset(
    {"photos.csv", "manifest.jsonl"}
)  # written by synth scrape; not reported as passed over


@dataclass(frozen=True)
class SearchResult:
    """Result of a search below a folder.

    Args:
        names: paths of the photos relative to the folder, with forward slashes, sorted.
        passed_over: name -> reason, sorted, for files and folders that are not photos or cannot
            be read, except hidden files and the tables of ``synth scrape``.
    """

    names: list[str]
    passed_over: dict[str, str]

    def summary(self) -> str:
        """One line that counts what was passed over; "" if there was nothing."""
        return summarise(self.passed_over.values())


def summarise(reasons: Iterable[str]) -> str:
    """Reasons -> one line with their counts, the most frequent first.

    >>> summarise(["not a picture", "a broken link", "not a picture"])
    '3 files or folders passed over: 2 x not a picture, 1 x a broken link'
    """
    counts = Counter(reasons).most_common()
    parts = [f"{n} x {reason}" for reason, n in counts[:4]]
    if len(counts) > 4:
        parts.append(f"{sum(n for _, n in counts[4:])} x other reasons")
    total = sum(n for _, n in counts)
    noun = "file or folder" if total == 1 else "files or folders"
    return f"{total} {noun} passed over: {', '.join(parts)}" if counts else ""


def search(folder: Place) -> SearchResult:
    """Finds all photos below a folder.

    A file with the suffix of a photo is taken as a photo without opening it. Any other file is a
    photo if its first bytes are those of a supported format. Links to folders are followed. Each
    folder is searched once, under its real name if that is below ``folder``.

    Raises:
        InputError: the folder does not exist or cannot be read.
    """
    if isinstance(folder, Storage):
        return _search_storage(folder)
    check_folder(folder)
    search = _Search(folder)
    search.run()
    return SearchResult(sorted(search.names), dict(sorted(search.passed_over.items())))


def file_sizes(folder: Place, names: Sequence[str]) -> Iterator[int]:
    """The size of each file in bytes; -1 for one that is missing at a URL.

    Raises:
        InputError: the URL cannot be listed.
    """
    if isinstance(folder, Path):
        yield from ((folder / name).stat().st_size for name in names)
        return
    with explain_storage_errors(folder, "cannot be listed"):
        sizes = dict(folder.files())
    yield from (sizes.get(name, -1) for name in names)


def _search_storage(folder: Storage) -> SearchResult:
    """Finds all photos below a URL; an object store has no links and no other kinds of files."""
    check_folder(folder)
    names: list[str] = []
    passed_over: dict[str, str] = {}
    with explain_storage_errors(folder, "cannot be listed"):
        listed = [name for name, _ in folder.files() if not _is_hidden(name)]
    for name in sorted(listed):
        suffix = PurePath(name).suffix.lower()
        reason = ""
        if suffix not in SUFFIXES:
            try:
                reason = _no_photo(suffix, partial(_remote_head, folder, name))
            except OSError as error:
                reason = f"cannot be read: {reason_of(error)}"
                if is_unreachable(error):
                    raise InputError(f"{folder.where(name)} {reason}") from None
        if not reason:
            names.append(name)
        elif name not in OURS:
            passed_over[name] = reason
    return SearchResult(names, passed_over)


def check_folder(folder: Place) -> None:
    """Raises InputError if there is no folder of photos."""
    if isinstance(folder, Storage):
        with explain_storage_errors(folder, "cannot be read"):
            if folder.is_folder():
                return
        raise InputError(f"no folder of photos at {folder}: check the URL and the bucket's name")
    if not folder.is_dir():
        raise InputError(f"no folder of photos at {folder}: check the path")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or "/." in name


def _remote_head(folder: Storage, name: str) -> bytes:
    with folder.open(name) as file:
        return bytes(file.read(decoding.HEAD))


class _Search:
    """The state of one search."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []
        self.passed_over: dict[str, str] = {}
        self._entered: dict[tuple[int, int], str] = {}  # by device and inode
        self._links: list[str] = []  # links to folders, followed after all real folders
        self._above = {_identity(parent) for parent in folder.resolve().parents}

    def run(self) -> None:
        self._walk("")
        while self._links:
            links, self._links = sorted(self._links), []
            for name in links:
                self._walk(name + "/")

    def _walk(self, start: str) -> None:
        """Searches a folder and all real folders below it; names end in a slash or are empty."""
        waiting = [start]
        while waiting:
            below = waiting.pop()
            try:
                reason = self._reason_not_to_enter(_identity(self.folder / below), below)
                if reason:
                    self.passed_over[below] = reason
                    continue
                with os.scandir(self.folder / below) as entries:
                    for entry in entries:
                        if not entry.name.startswith("."):
                            self._look(below + entry.name, entry, waiting)
            except OSError as error:
                reason = f"folder cannot be read: {error.strerror}"
                if not below:
                    raise InputError(f"{self.folder}: {reason}; check its permissions") from None
                self.passed_over[below] = reason

    def _reason_not_to_enter(self, identity: tuple[int, int], below: str) -> str:
        """Why a folder is not searched; "" if it is new."""
        if identity in self._above:
            return "a link to a folder that contains this one"
        known = self._entered.setdefault(identity, below)
        if known == below:
            return ""
        return f"a link to a folder that is also read as {known.rstrip('/') or 'the folder itself'}"

    def _look(self, name: str, entry: os.DirEntry[str], waiting: list[str]) -> None:
        try:
            if entry.is_dir():
                (self._links if entry.is_symlink() else waiting).append(
                    name if entry.is_symlink() else name + "/"
                )
                return
            reason = "" if entry.is_file() else _no_file(entry)
            suffix = PurePath(entry.name).suffix.lower()
            if not reason and suffix not in SUFFIXES:
                reason = _no_photo(suffix, lambda: _local_head(entry))
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        if not reason:
            self.names.append(name)
        elif name not in OURS:
            self.passed_over[name] = reason


def _identity(folder: Path) -> tuple[int, int]:
    """Device and inode, which are equal for all names of a folder."""
    found = folder.stat()
    return found.st_dev, found.st_ino


def _no_file(entry: os.DirEntry[str]) -> str:
    """What an entry is that is neither folder nor file; opening it might block."""
    try:
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "a broken link"
    kinds = {stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
    return next((words for test, words in kinds.items() if test(mode)), "a device")


def _local_head(entry: os.DirEntry[str]) -> bytes:
    with Path(entry.path).open("rb", buffering=0) as file:
        return file.read(decoding.HEAD)


def _no_photo(suffix: str, head_of: Callable[[], bytes]) -> str:
    """Why a file is not a photo, by suffix or first bytes; "" if it is one."""
    if suffix in _RAW:
        return "a camera raw file: convert it to JPEG or TIFF"
    head = head_of()
    if decoding.image_format(head):
        return ""
    what = decoding.unsupported_format(head)
    return f"{what}: convert it to PNG or JPEG" if what else "not a picture"
