"""Lock files: only one process at a time writes a folder, also on a disk shared by machines."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import platform
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from synth.errors import InputError
from synth.json_files import Damaged, parse_object

BEAT = 10.0  # s between two updates of the modification time of a lock file
STALE = 60.0  # s without an update after which the lock of another machine is taken over
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_held: set[Path] = set()  # by this process, because system locks do not distinguish threads
_guard = threading.Lock()


@dataclass(frozen=True)
class Owner:
    """The process that wrote a lock file."""

    host: str
    pid: int
    since: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} (started {self.since})"


@contextlib.contextmanager
def lock(folder: Path, path: Path) -> Iterator[None]:
    """Holds the lock file ``path`` of a folder while the block runs.

    A file lock of the operating system is used, which ends with its process. On a disk without
    such locks, or if another machine wrote the file, the process number and the time of the last
    update decide: the lock of an ended process is taken over.

    Raises:
        InputError: another process or another thread holds the lock.
    """
    with _guard:
        if path in _held:
            raise InputError(
                f"{folder} is being written by this program already: wait until it ends"
            )
        _held.add(path)
    try:
        file = _acquire(folder, path)
        ended = threading.Event()
        renewal = threading.Thread(target=_renew, args=(path, ended), daemon=True)
        try:
            renewal.start()
            yield
        finally:
            ended.set()
            if renewal.ident is not None:  # it did start
                renewal.join()
            with contextlib.suppress(OSError):
                path.unlink()
            file.close()
    finally:
        with _guard:
            _held.discard(path)


def _acquire(folder: Path, path: Path) -> IO[bytes]:
    """Opens and locks the lock file and writes the owner into it."""
    while True:
        file = path.open("a+b")
        try:
            exclusive = _lock_file(file)
            if exclusive is False:
                raise _refusal(folder, _owner(file))
            if not _is_current(file, path):  # its owner deleted it in the meantime
                file.close()
                continue
            _check_owner(folder, path, _owner(file), exclusive is True)
            me = Owner(platform.node(), os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S"))
            file.truncate(0)
            file.write(json.dumps(asdict(me)).encode())
            file.flush()
            return file
        except BaseException:
            file.close()
            raise


def _lock_file(file: IO[bytes]) -> bool | None:
    """Tries to get the system's lock: whether it succeeded; None if the disk has no locks."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return None
    try:
        # Record locks, not flock(): a forked child does not inherit them.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _is_current(file: IO[bytes], path: Path) -> bool:
    """Whether the path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _owner(file: IO[bytes]) -> Owner | None:
    """The process that wrote an open lock file; None if the file is empty or damaged."""
    file.seek(0)
    try:
        fields = parse_object(file.read(4096))
        return Owner(str(fields["host"]), int(fields["pid"]), str(fields["since"]))
    except (Damaged, KeyError, TypeError, ValueError):
        return None


def _check_owner(folder: Path, path: Path, owner: Owner | None, exclusive: bool) -> None:
    """Rejects a lock whose process may be alive; prints a line if another machine's is taken over.

    Raises:
        InputError: the lock is held.
    """
    if owner is None:
        return
    if owner.host == platform.node():
        if not exclusive and owner.pid != os.getpid() and _is_alive(owner.pid):
            raise _refusal(folder, owner)
        return
    age = _age(path)
    if age < STALE:
        raise InputError(
            f"{folder} is being written by {owner}, active {age:.0f} s ago: wait until it ends; "
            f"if it no longer runs, run the command again in {STALE:.0f} s"
        )
    print(f"{folder}: taken over from {owner}, inactive for {age:.0f} s", file=sys.stderr)


def _refusal(folder: Path, owner: Owner | None) -> InputError:
    who = owner or "another process"
    return InputError(f"{folder} is being written by {who}: wait until it ends")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _age(path: Path) -> float:
    """Seconds since the last update of a file, by the clock of its disk."""
    with tempfile.NamedTemporaryFile(prefix=f"{path.name[:200]}.", dir=path.parent) as new_file:
        return max(0.0, Path(new_file.name).stat().st_mtime - path.stat().st_mtime)


def _renew(path: Path, ended: threading.Event) -> None:
    """Updates the modification time of a lock file until the lock is released."""
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(path)
