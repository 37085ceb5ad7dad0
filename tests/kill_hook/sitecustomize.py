"""Kills the process at a chosen file operation, or counts the operations; loaded by PYTHONPATH.

KILL_IN: the folder whose file operations count. KILL_AT: number of the operation, from 1, at
which the process is killed. KILL_COUNT: file to which the number of operations is written at the
end of the process.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from pathlib import Path
from typing import Any

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
EVENTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}


def _path(argument: Any, folder: Any = -1) -> str:
    if isinstance(argument, int):
        return ""
    path = os.fsdecode(argument)
    if isinstance(folder, int) and folder >= 0:  # relative to an open folder, as rmtree does
        path = str(Path(f"/proc/self/fd/{folder}").readlink() / path)
    return path


def install(where: str, at: int, counter: str) -> None:
    main, count = os.getpid(), 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & WRITING:
                return
            path = _path(path)
        elif event in EVENTS:
            path = _path(arguments[0], arguments[-1])
        else:
            return
        if path.startswith(where) and os.getpid() == main:
            count += 1
            if count == at:
                os.kill(main, signal.SIGKILL)

    sys.addaudithook(hook)
    if counter:
        atexit.register(lambda: os.getpid() == main and Path(counter).write_text(str(count)))


if "KILL_IN" in os.environ:
    install(
        os.environ["KILL_IN"],
        int(os.environ.get("KILL_AT", "0")),
        os.environ.get("KILL_COUNT", ""),
    )
