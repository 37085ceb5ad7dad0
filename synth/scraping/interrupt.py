"""Ctrl-C handling of ``synth scrape``, which stops between two steps only."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

PHOTO = re.compile(r"[0-9a-f]{32}\.[a-z]{3,4}")  # file name of a collected photo


@contextlib.contextmanager
def defer_sigint() -> Iterator[threading.Event]:
    """Yields an event that the first Ctrl-C sets; the second one raises KeyboardInterrupt.

    So an interruption does not come between the renaming of a file and its line in the manifest.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


def contents_line(out: Path) -> str:
    """A text with the number of photos in a folder, for example after an interrupted run."""
    try:
        count = sum(bool(PHOTO.fullmatch(file.name)) for file in out.iterdir())
    except OSError:
        count = 0
    return f"{count} photo{'' if count == 1 else 's'} in {out}" if count else "no photo saved yet"
