"""The files of a run folder: its description and the SHA-256 of each file that loading needs.

``model.json`` holds the digests of the files, under ``files``, and one of its own content, so that
a file that has changed is refused instead of giving other answers. It is written last. Run folders
of earlier versions have no digests and are loaded without this check.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from synth import folders
from synth.errors import InputError
from synth.json_files import Damaged, parse_object

RUN_FILE = "model.json"  # in every run folder: the method and the options that loading needs
RUN = folders.Marker(
    RUN_FILE,
    lambda about: (
        isinstance(about.get("method"), str)
        and (about.keys() >= {"options", "torch"} or about.keys() >= {"settings", "trained"})
    ),
)
FILES = "files"  # its entry with the digests of the other files, by name
CONTENT = "content_sha256"  # its entry with the digest of all other entries
SHIPPED = Path(__file__).parent / "weights"  # run folders that are part of the package
_HEADER = b"acuity sealed 1 "  # the first bytes of a file with a checksum


def read_run(run: Path) -> dict[str, Any]:
    """The description in a run folder.

    Raises:
        InputError: it is no run folder, or its description is damaged.
    """
    path = run / RUN_FILE
    if not path.is_file():
        raise InputError(f"{run} is no run folder (no {RUN_FILE}): name one that train wrote")
    try:
        about = parse_object(path.read_bytes())
    except Damaged as error:
        raise InputError(f"{path} is damaged ({error}): {_advice(run)}") from None
    if not isinstance(about.get("method"), str):
        raise InputError(f"{path} is damaged (it names no method): {_advice(run)}")
    digests = about.keys() & {CONTENT, FILES}
    if digests and (len(digests) < 2 or about[CONTENT] != _content_digest(about)):
        raise _damage_error(path)
    return about


def read_run_of(run: Path, method: str) -> dict[str, Any]:
    """The description in a run folder of a method.

    Raises:
        InputError: as of :func:`read_run`, or the folder belongs to another method.
    """
    about = read_run(run)
    if about["method"] != method:
        raise InputError(f"{run} holds '{about['method']}', not {method}")
    return about


def write_run(run: Path, about: dict[str, Any], names: Iterable[str] = ()) -> None:
    """Write the description of a run, with its own digest and those of files in the folder.

    Args:
        about: the description in JSON types; digests that it holds already are kept.
        names: further files whose digests are recorded.
    """
    about = json.loads(json.dumps(about))
    about[FILES] = about.get(FILES, {}) | {name: folders.sha256(run / name) for name in names}
    about[CONTENT] = _content_digest(about)
    folders.write(run / RUN_FILE, json.dumps(about, indent=2) + "\n")


def read_file(run: Path, name: str) -> bytes:
    """The bytes of a file of a run folder, after a check of its digest.

    During training and in runs of earlier versions there is no digest to compare with.

    Raises:
        InputError: the file is missing, or differs from what training wrote.
    """
    path = run / name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {_advice(run)}") from None
    _check_digest(run, name, hashlib.sha256(data).hexdigest())
    return data


def check_file(run: Path, name: str) -> Path:
    """The path of a file of a run folder, after a check of its digest; for large files.

    Raises:
        InputError: as :func:`read_file`.
    """
    path = run / name
    if not path.is_file():
        raise InputError(f"{path} is missing: {_advice(run)}")
    _check_digest(run, name, folders.sha256(path))
    return path


def _check_digest(run: Path, name: str, digest: str) -> None:
    """Raise InputError if the description of a run has another digest for a file."""
    if not (run / RUN_FILE).is_file():
        return
    about = read_run(run)
    expected = about.get(FILES)
    if expected is None:  # earlier versions had digests for patchcore and anomalib only
        earlier = about.get("sha256")
        expected = earlier if isinstance(earlier, dict) else {name: earlier or digest}
    if expected.get(name) != digest:
        raise _damage_error(run / name)


def _damage_error(path: Path) -> InputError:
    """The error about a file with another digest than the recorded one."""
    return InputError(
        f"{path} is damaged: {_advice(path.parent)} "
        "(its SHA-256 is not that of the file that training wrote)"
    )


def _advice(run: Path) -> str:
    """The advice in messages about a damaged run folder."""
    if run.parent == SHIPPED:
        return "install acuity again"
    return "train again, or restore it from a copy"


def _content_digest(about: dict[str, Any]) -> str:
    """The SHA-256 of all entries except CONTENT, independent of their order and layout."""
    entries = {name: value for name, value in about.items() if name != CONTENT}
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def write_with_checksum(
    path: Path, data: bytes | memoryview, use: str = "", earlier: Path | None = None
) -> None:
    """Write a file of an unfinished run, with a checksum for :func:`read_with_checksum`.

    Args:
        use: the purpose of the file; reading it with another ``use`` fails.
        earlier: new path of the file that is replaced.
    """
    with folders.replace_atomically(path) as temporary:
        with temporary.open("wb") as file:
            file.write(_checksum_line(data, use))
            file.write(data)
        if earlier is not None and path.is_file():
            path.replace(earlier)


def read_with_checksum(path: Path, use: str = "") -> memoryview:
    """The data that :func:`write_with_checksum` wrote for the same use.

    Raises:
        Damaged: the file is incomplete, or its content or use is a different one.
        OSError: it cannot be read.
    """
    content = memoryview(path.read_bytes())
    length = len(_checksum_line(b"", ""))
    line, data = content[:length], content[length:]
    if line != _checksum_line(data, use):
        raise Damaged("is damaged")
    return data


def _checksum_line(data: bytes | memoryview, use: str) -> bytes:
    """The line with the checksum of data and use that stands before the data."""
    digest = hashlib.sha256(use.encode())
    digest.update(b"\0")
    digest.update(data)
    return _HEADER + digest.hexdigest().encode() + b"\n"
