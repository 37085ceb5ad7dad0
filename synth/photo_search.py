"""Look for the photos below a folder: by suffix, else by content, through links too."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from synth import decoding
from synth.errors import InputError

_SUFFIXES = ".jpg .jpeg .jpe .jfif .mpo .png .webp .avif .tif .tiff .bmp .gif .ppm .pgm"
SUFFIXES = frozenset(_SUFFIXES.split())
# TIFF by their first bytes, but what stands there is a preview, not the photo.
_RAW_SUFFIXES = ".dng .nef .nrw .cr2 .arw .sr2 .srf .srw .pef .3fr .dcr .kdc .iiq .erf .mef"
_RAW = frozenset(_RAW_SUFFIXES.split())
OURS = frozenset({"photos.csv", "manifest.jsonl"})  # of synth scrape: no need to name them


@dataclass(frozen=True)
class SearchResult:
    """What lies below a folder.

    Args:
        names: of the photos, relative to the folder, with forward slashes, sorted.
        passed_over: reason by name, sorted, of what is no photo or cannot be read. Hidden
            files and what ``synth scrape`` writes beside its photos are not among them.
    """

    names: list[str]
    passed_over: dict[str, str]

    def summary(self) -> str:
        """What was passed over, in one line; empty where nothing was."""
        return summarise(self.passed_over.values())


def summarise(reasons: Iterable[str]) -> str:
    """Reasons -> one line that counts them, the most frequent first.

    >>> summarise(["not a picture", "a link to nowhere", "not a picture"])
    '3 files or folders passed over: 2 x not a picture, 1 x a link to nowhere'
    """
    counts = Counter(reasons).most_common()
    parts = [f"{n} x {reason}" for reason, n in counts[:4]]
    if len(counts) > 4:
        parts.append(f"{sum(n for _, n in counts[4:])} x other reasons")
    total = sum(n for _, n in counts)
    noun = "file or folder" if total == 1 else "files or folders"
    return f"{total} {noun} passed over: {', '.join(parts)}" if counts else ""


def search(folder: Path) -> SearchResult:
    """All photos below a folder, and what is passed over.

    A file with a suffix of photos counts as one and is not opened. Any other file counts
    when its first bytes are those of a picture. Links to folders are followed; each folder
    is entered once, under its own name where it lies below ``folder`` too.

    Raises:
        InputError: the folder is missing or cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"no folder of photos at {folder}: check the path")
    search = _Search(folder)
    search.run()
    return SearchResult(sorted(search.names), dict(sorted(search.passed_over.items())))


class _Search:
    """A walk under way."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []
        self.passed_over: dict[str, str] = {}
        self._entered: dict[tuple[int, int], str] = {}  # by device and inode
        self._links: list[str] = []  # to folders; followed when all real folders are known
        self._above = {_identity(parent) for parent in folder.resolve().parents}

    def run(self) -> None:
        self._walk("")
        while self._links:
            links, self._links = sorted(self._links), []
            for name in links:
                self._walk(name + "/")

    def _walk(self, start: str) -> None:
        """Enter a folder and all real folders below it; names end in a slash, or are empty."""
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
                    raise InputError(f"{self.folder}: {reason}; check its rights") from None
                self.passed_over[below] = reason

    def _reason_not_to_enter(self, identity: tuple[int, int], below: str) -> str:
        """Why a folder is not entered again; empty where it is new."""
        if identity in self._above:
            return "a link to a folder that holds this one"
        known = self._entered.setdefault(identity, below)
        if known == below:
            return ""
        return f"a link to a folder that is read as {known.rstrip('/') or 'the folder itself'}"

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
                reason = _no_photo(entry, suffix)
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        if not reason:
            self.names.append(name)
        elif name not in OURS:
            self.passed_over[name] = reason


def _identity(folder: Path) -> tuple[int, int]:
    """Device and inode, alike for all names of one folder."""
    found = folder.stat()
    return found.st_dev, found.st_ino


def _no_file(entry: os.DirEntry[str]) -> str:
    """Why an entry is neither folder nor file; opening it might wait for ever."""
    try:
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "a link to nowhere"
    kinds = {stat.S_ISFIFO: "a named pipe", stat.S_ISSOCK: "a socket"}
    return next((words for test, words in kinds.items() if test(mode)), "a device")


def _no_photo(entry: os.DirEntry[str], suffix: str) -> str:
    """Why a file is no photo, by its suffix or content; empty where it is one."""
    if suffix in _RAW:
        return "a camera's raw file: develop it to JPEG or TIFF first"
    with Path(entry.path).open("rb", buffering=0) as file:
        head = file.read(decoding.HEAD)
    if decoding.image_format(head):
        return ""
    what = decoding.unsupported_format(head)
    return f"{what}: convert it to PNG or JPEG" if what else "not a picture"
