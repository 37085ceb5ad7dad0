"""One process at a time writes a folder, on one machine or on a disk that several share."""

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

BEAT = 10.0  # s between two renewals of a lock file's time
STALE = 60.0  # s without a renewal after which the lock of another machine is taken over
_UNSUPPORTED = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_held: set[Path] = set()  # by this process: the system's locks do not tell its threads apart
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
    """Hold the lock file ``path`` of a folder while the block runs.

    The system's own file lock decides: it ends with its process, however that ends. Where a
    disk has no such locks, or another machine left the file, the process number and the time
    of the last renewal decide: a lock whose process is gone is taken over.

    Raises:
        InputError: another process, or another thread of this one, holds it.
    """
    with _guard:
        if path in _held:
            raise InputError(f"{folder} is being written by this program already: wait for its end")
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
    """Open the lock file, lock it and write this process into it."""
    while True:
        file = path.open("a+b")
        try:
            exclusive = _lock_file(file)
            if exclusive is False:
                raise _refusal(folder, _owner(file))
            if not _is_current(file, path):  # its holder deleted it in between
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
    """Whether this process has the system's lock now; None where the disk has no locks."""
    try:
        import fcntl
    except ImportError:  # Windows has none
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
    """Whether the path still leads to the file that is open."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _owner(file: IO[bytes]) -> Owner | None:
    """Who wrote an open lock file; None where it is empty or damaged."""
    file.seek(0)
    try:
        fields = parse_object(file.read(4096))
        return Owner(str(fields["host"]), int(fields["pid"]), str(fields["since"]))
    except (Damaged, KeyError, TypeError, ValueError):
        return None


def _check_owner(folder: Path, path: Path, owner: Owner | None, exclusive: bool) -> None:
    """Refuse a lock whose process may be alive; say so where another machine's is taken over."""
    if owner is None:
        return
    if owner.host == platform.node():
        if not exclusive and owner.pid != os.getpid() and _is_alive(owner.pid):
            raise _refusal(folder, owner)
        return
    age = _age(path)
    if age < STALE:
        raise InputError(
            f"{folder} is being written by {owner}, seen {age:.0f} s ago: wait for its end; "
            f"where that process is gone, run again in {STALE:.0f} s"
        )
    print(f"{folder}: taken over from {owner}, not seen for {age:.0f} s", file=sys.stderr)


def _refusal(folder: Path, owner: Owner | None) -> InputError:
    who = owner or "another process"
    return InputError(f"{folder} is being written by {who}: wait for its end")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _age(path: Path) -> float:
    """Seconds since a file's last renewal, by the clock of the disk that it is on."""
    with tempfile.NamedTemporaryFile(prefix=f"{path.name[:200]}.", dir=path.parent) as now:
        return max(0.0, Path(now.name).stat().st_mtime - path.stat().st_mtime)


def _renew(path: Path, ended: threading.Event) -> None:
    """Renew a lock file's time until the lock is given up."""
    while not ended.wait(BEAT):
        with contextlib.suppress(OSError):
            os.utime(path)
