"""Folders on a local disk or in an object store, named by a path or URL."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

from synth.errors import InputError
from synth.paths import path_of

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_REFUSALS = (
    "ACCESS_DENIED",
    "INVALID_ACCESS_KEY_ID",
    "SIGNATURE_DOES_NOT_MATCH",
    "403",
    "Permission",
)
_LONGEST_REASON = 160  # characters of a message of a file system


def is_url(place: object) -> bool:
    """Whether a place is a URL such as ``s3://bucket/photos``, and not a local path.

    >>> is_url("s3://bucket/photos"), is_url("photos/2024"), is_url("detector.py:find")
    (True, False, False)
    """
    return isinstance(place, str) and bool(_SCHEME.match(place))


@dataclass(frozen=True)
class Storage:
    """A folder on a file system. It can be sent to other processes and machines.

    Args:
        place: path or URL as the user named it.
        filesystem: a ``pyarrow.fs.FileSystem``.
        path: path of the folder in the file system, without a slash at the end.
    """

    place: str
    filesystem: Any
    path: str

    def __str__(self) -> str:
        return self.place

    def where(self, name: str) -> str:
        """Path or URL of a file, for messages."""
        return f"{self.place.rstrip('/')}/{name}" if name else self.place

    def read_bytes(self, name: str) -> bytes:
        """Bytes of a file.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be read.
        """
        with self.filesystem.open_input_stream(self._inside(name)) as stream:
            return bytes(stream.read())

    def open(self, name: str) -> Any:
        """A file for random access, as pyarrow's readers take it.

        Raises:
            OSError: it cannot be opened.
        """
        return self.filesystem.open_input_file(self._inside(name))

    def write_bytes(self, name: str, data: Any) -> None:
        """Writes a file; other processes see the old file or all bytes of the new one.

        Raises:
            OSError: it cannot be written.
        """
        path = self._inside(name)
        if not self.is_local():
            # An object appears when its upload is complete. `data` is in memory, so that no error
            # between two parts can complete the upload of a half-written object.
            with self.filesystem.open_output_stream(path) as stream:
                stream.write(data)
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.tmp")
        temporary.write_bytes(data)
        temporary.replace(target)

    def size(self, name: str) -> int | None:
        """Size of a file in bytes; None if there is no such file.

        Raises:
            OSError: the file system does not answer.
        """
        from pyarrow import fs

        found = self.filesystem.get_file_info(self._inside(name))
        return int(found.size) if found.type == fs.FileType.File else None

    def has(self, name: str) -> bool:
        """Whether there is a file with a name.

        Raises:
            OSError: the file system does not answer.
        """
        return self.size(name) is not None

    def is_folder(self) -> bool:
        """Whether the folder exists; a prefix of an object store exists if it has objects.

        Raises:
            OSError: the file system does not answer.
        """
        from pyarrow import fs

        found = self.filesystem.get_file_info(self.path) if self.path else None
        return found is None or found.type == fs.FileType.Directory

    def files(self, below: str = "") -> Iterator[tuple[str, int]]:
        """Name and size in bytes of each file below a folder, unsorted; none if it is missing.

        Raises:
            OSError: the folder cannot be listed.
        """
        from pyarrow import fs

        root = self._inside(below)
        selector = fs.FileSelector(root, allow_not_found=True, recursive=True)
        for found in self.filesystem.get_file_info(selector):
            if found.type == fs.FileType.File:
                inside = found.path[len(self.path) :] if self.path else found.path
                yield inside.lstrip("/"), int(found.size)

    def delete(self, name: str) -> None:
        """Deletes a file, or does nothing if it is missing.

        Raises:
            OSError: it cannot be deleted.
        """
        with suppress(FileNotFoundError):
            self.filesystem.delete_file(self._inside(name))

    def is_local(self) -> bool:
        """Whether the folder is on a local disk."""
        from pyarrow import fs

        return isinstance(self.filesystem, fs.LocalFileSystem)

    def _inside(self, name: str) -> str:
        return f"{self.path}/{name}" if name else self.path


Place: TypeAlias = Path | Storage


def place_of(place: str | Place) -> Place:
    """A path or URL from the user -> the folder; a local one is a path, also for ``file://``.

    ``~`` in a path is replaced by the home folder.

    Raises:
        InputError: as :func:`storage_of`.

    >>> place_of("file:///photos/2024").as_posix()
    '/photos/2024'
    """
    if isinstance(place, Storage):
        return place
    if not is_url(place):
        return path_of(place)
    storage = storage_of(place)
    return Path(storage.path or "/") if storage.is_local() else storage


def where(place: Place, name: str) -> str:
    """Path or URL of a file in a folder, for messages."""
    return str(place / name) if isinstance(place, Path) else place.where(name)


def storage_of(place: str | Path) -> Storage:
    """A path or URL of a folder -> the folder.

    Schemes of pyarrow's file systems (``file``, ``s3``, ``gs`` ...) and of fsspec are known. The
    libraries take credentials from the environment.

    Raises:
        InputError: the scheme is unknown, its library is not installed, or the URL is invalid.
    """
    import pyarrow as pa
    from pyarrow import fs

    if not is_url(place):
        return Storage(str(place), fs.LocalFileSystem(), str(path_of(place).absolute()))
    url = str(place)
    scheme, _, rest = url.partition("://")
    address, mark, options = rest.partition("?")
    quoted = f"{scheme}://{quote(unquote(address), safe='/@:')}{mark}{options}"
    try:
        filesystem, path = fs.FileSystem.from_uri(quoted)
    except pa.ArrowInvalid:
        filesystem, path = _fsspec(scheme, url)
    except OSError as error:
        raise InputError(f"{url}: {reason_of(error)}") from None
    return Storage(url, filesystem, path.rstrip("/"))


def _fsspec(scheme: str, url: str) -> tuple[Any, str]:
    """A URL -> the file system of fsspec for its scheme, and the path in it."""
    import fsspec
    from pyarrow import fs

    if scheme not in fsspec.available_protocols():
        raise InputError(f"{url}: '{scheme}' is no known scheme: use file, s3, gs or one of fsspec")
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise InputError(f"{url}: {reason_of(error)}") from None
    except (ValueError, OSError) as error:
        raise InputError(f"{url} cannot be opened: {reason_of(error)}") from None
    return fs.PyFileSystem(fs.FSSpecHandler(filesystem)), path


@contextmanager
def explain_storage_errors(storage: Storage, action: str) -> Iterator[None]:
    """Turns errors of the file system in the block into an error with a one-line message.

    Args:
        action: what the block does, as in "cannot be listed".

    Raises:
        InputError: the file system raised an error.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"{storage} {action}: {reason_of(error)}") from None


def reason_of(error: BaseException) -> str:
    """The reason of a file system's error in one short line, with advice for common ones."""
    text = " ".join(str(error).split())
    if "NO_SUCH_BUCKET" in text or ("Bucket" in text and "not found" in text):
        return "there is no such bucket; check the name and AWS_ENDPOINT_URL"
    if any(word in text for word in _REFUSALS):
        return "permission denied; check the credentials in the environment"
    if is_unreachable(error):
        return "the server cannot be reached; check the address and the network"
    text = text.split(" (Request ID")[0]
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."


def is_unreachable(error: BaseException) -> bool:
    """Whether an error means that the server does not answer, so that no file can be read."""
    text = str(error)
    return "NETWORK_CONNECTION" in text or "resolve" in text or "connect" in text.lower()
