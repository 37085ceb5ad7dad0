"""Ctrl-C as a wish that is granted between two steps, not in the middle of one."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

PHOTO = re.compile(r"[0-9a-f]{32}\.[a-z]{3,4}")  # the name of a collected photo


@contextlib.contextmanager
def defer_sigint() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; a second one interrupts as usual.

    Between a file's renaming and its line in the manifest an interruption would part the two.
    """
    wish = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield wish
        return

    def note(number: int, frame: FrameType | None) -> None:
        if wish.is_set():
            raise KeyboardInterrupt
        wish.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield wish
    finally:
        signal.signal(signal.SIGINT, before)


def contents_line(out: Path) -> str:
    """What a folder of collected photos holds, in words, whatever state a run left it in."""
    try:
        count = sum(bool(PHOTO.fullmatch(file.name)) for file in out.iterdir())
    except OSError:
        count = 0
    return f"{count} photo{'' if count == 1 else 's'} in {out}" if count else "nothing fetched yet"
