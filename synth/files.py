"""Files that are read by name: of a folder of photos or of a dataset."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from synth import limits, storage
from synth.decoding import TooLarge
from synth.errors import Interrupted, Skipped
from synth.storage import Place, Storage


class Files(Protocol):
    """Files that are read by name. They can be sent to other processes."""

    @property
    def place(self) -> Place:
        """The folder that holds them."""
        ...

    def read_bytes(self, name: str) -> bytes:
        """Bytes of a file.

        Raises:
            Skipped: it is missing, too large or cannot be read.
            Interrupted: the server cannot be reached.
        """
        ...

    def has(self, name: str) -> bool:
        """Whether there is a file with a name."""
        ...


@dataclass(frozen=True)
class FolderFiles:
    """The files in a folder, on a local disk or at a URL."""

    place: Place

    def read_bytes(self, name: str) -> bytes:
        """Bytes of a file; see :class:`Files`."""
        try:
            if isinstance(self.place, Path):
                return _read_local(self.place / name)
            return _read_remote(self.place, name)
        except Skipped:
            raise
        except FileNotFoundError:
            raise Skipped("its file is missing") from None
        except ValueError:
            raise Skipped("its name is not a valid file name") from None
        except OSError as error:
            raise read_error(error, storage.where(self.place, name)) from None

    def has(self, name: str) -> bool:
        """Whether there is a file with a name."""
        if isinstance(self.place, Path):
            return (self.place / name).is_file()
        with storage.explain_storage_errors(self.place, "cannot be read"):
            return self.place.has(name)


def files_of(source: Place | Files) -> Files:
    """A folder -> its files; files are returned unchanged."""
    return FolderFiles(source) if isinstance(source, (Path, Storage)) else source


def where(files: Files, name: str) -> str:
    """Path or URL of a file, for messages."""
    return storage.where(files.place, name)


def read_error(error: OSError, place: str) -> Skipped | Interrupted:
    """The error of a file system -> the error to raise: of one file, or of the whole run."""
    if storage.is_unreachable(error):
        advice = "then run the command again, with --resume if it has that option"
        return Interrupted(f"{place}: {storage.reason_of(error)}, {advice}")
    return Skipped(f"its file cannot be read: {error.strerror or storage.reason_of(error)}")


def _read_local(path: Path) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe might block
        raise Skipped("not a file")
    _check_size(status.st_size)
    return path.read_bytes()


def _read_remote(folder: Storage, name: str) -> bytes:
    with folder.open(name) as file:  # one request for the size and one for the bytes
        _check_size(file.size())
        return bytes(file.read())


def _check_size(size: int) -> None:
    if size > limits.BYTES:
        raise TooLarge(limits.too_many_bytes(size))
