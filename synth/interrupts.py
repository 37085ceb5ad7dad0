"""Handling of Ctrl-C (SIGINT) and SIGTERM in the commands, from their first import to their end.

This module and the entry points import as little as possible, so that the handler is installed
before numpy or torch is loaded.
"""

from __future__ import annotations

import os
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, Literal, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
RETRY = 0.05  # s until a signal that arrived during an import is delivered again
BEGINNING = "stopped before the work began: run the command again"


class Interrupts:
    """The handler of both signals in the process of a command.

    While the command is loaded, a signal ends the process at once, as there is nothing to clean
    up. While the command works, a signal raises KeyboardInterrupt. After its work is done, a
    signal does not change the exit code.

    Args:
        name: name of the command, printed before the message.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.phase: Literal["loading", "working", "done"] = "loading"
        self.code = 0
        self.received: int | None = None  # the signal that stopped the work
        self.has_begun: Callable[[], bool] = lambda: True  # whether there may be results to keep

    def install(self) -> None:
        """Handles both signals unless the caller ignores them (``nohup``, ``&`` in a script)."""
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self)
        sys.unraisablehook = self._deliver_dropped_interrupt

    def work(self, has_begun: Callable[[], bool]) -> None:
        """From now on a signal raises KeyboardInterrupt."""
        self.has_begun = has_begun
        self.phase = "working"

    def finish(self, code: int) -> None:
        """From now on a signal ends the process with this exit code."""
        self.phase, self.code = "done", code

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.phase == "done":
            os._exit(self.code)
        if self.phase == "loading":
            self._stop(number)
        if self.received is None and _in_import(frame):
            # Extension modules convert an exception in their initialisation into other errors.
            if not self.has_begun():
                self._stop(number)
            self._deliver_again(number)
            return
        self.received = number
        raise KeyboardInterrupt

    def _stop(self, number: int) -> NoReturn:
        """Prints a message and ends the process at once."""
        os.write(2, f"{self.name}: {BEGINNING}\n".encode(errors="backslashreplace"))
        os._exit(128 + number)

    def _deliver_again(self, number: int) -> None:
        import threading

        timer = threading.Timer(RETRY, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()

    def _deliver_dropped_interrupt(self, unraisable: Any) -> None:
        """The hook for exceptions that Python drops, such as those in a destructor."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt) and self.phase == "working":
            number, self.received = self.received or signal.SIGINT, None
            self._deliver_again(number)
        else:
            sys.__unraisablehook__(unraisable)


def _in_import(frame: FrameType | None) -> bool:
    """Whether a frame, or one of its callers, imports a module or is a destructor."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename == "<frozen importlib._bootstrap>" or code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


def current_handler() -> Interrupts | None:
    """The installed :class:`Interrupts` handler of this process, or None."""
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if isinstance(handler, Interrupts):
            return handler
    return None


def start(name: str, module: str) -> NoReturn:
    """Imports ``module``, runs its Typer ``app`` as the command ``name`` and exits."""
    interrupts = Interrupts(name)
    interrupts.install()
    import atexit
    import importlib

    # Registered first, so called last: Python resets handlers at shutdown, and a signal would
    # then kill a process that has finished its work.
    atexit.register(_ignore_signals)
    app = importlib.import_module(module).app
    code = 1
    try:
        code = importlib.import_module("synth.console").run(app, name)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        interrupts.finish(code)
    raise SystemExit(code)


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
