"""Our side of an external process: start it, exchange messages within a time limit, end it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from localize.external import worker
from localize.external.worker import Message
from synth.errors import InputError, Skipped

START_LIMIT = 300.0  # seconds for imports and loading, until the process is ready
EXIT_LIMIT = 3.0  # seconds in which it may end by itself
# Variables that would make a Python of another environment import modules of ours.
OUR_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")

Report = Callable[[int, int], None]  # called with progress: done, total


class Failure(Skipped):
    """A process gave no answer to one message; the next message may be answered."""


class Peer:
    """A process that runs a job (see ``worker``). It starts with the first message.

    After it died, the next message starts it again. A forked or pickled copy of this object starts
    a process of its own.

    Args:
        python: the interpreter.
        job: the job's file, and its arguments.
        foreign: whether the interpreter belongs to another environment than ours.
        log: file for the output of the process; None: our stderr.
        start_limit: seconds after which it must be ready.
    """

    def __init__(
        self,
        python: str,
        job: Sequence[str | Path],
        *,
        foreign: bool = False,
        log: Path | None = None,
        start_limit: float | None = START_LIMIT,
    ) -> None:
        self.command = [python, worker.__file__, *map(str, job)]
        self.foreign, self.log, self.start_limit = foreign, log, start_limit
        self._running: _Running | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_running": None}

    def start(self, report: Report | None = None) -> None:
        """Start it, unless it runs.

        Raises:
            InputError: it did not become ready; the line says why.
        """
        if self._running is not None and self._running.is_mine():
            return
        try:
            self._running = _Running(self._spawn())
        except OSError as error:
            raise InputError(f"{self.command[0]} cannot be run: {error.strerror}") from None
        try:
            reply = self._running.exchange(None, self.start_limit, report)
        except Failure as error:
            self.close()
            raise InputError(f"it did not start: {error}") from None
        except BaseException:
            self.close()
            raise
        if "error" in reply:
            self.close()
            raise InputError(reply["error"])

    def _spawn(self) -> subprocess.Popen[bytes]:
        environment = {
            name: value
            for name, value in os.environ.items()
            if not (self.foreign and name in OUR_VARIABLES)
        }
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(self.log.open("ab")) if self.log else None
            return subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env=environment, start_new_session=True,
            )  # fmt: skip

    def ask(self, message: Message, limit: float | None, report: Report | None = None) -> Message:
        """Send a message -> the answer.

        Args:
            limit: seconds after which the process is killed; None: no limit.
            report: called with the progress that the process reports.

        Raises:
            Failure: the process took too long, died, or answered with an error.
        """
        try:
            self.start()
        except InputError as error:
            raise Failure(str(error)) from None
        assert self._running is not None
        try:
            reply = self._running.exchange(message, limit, report)
        except BaseException:
            self.close()
            raise
        if "error" in reply:
            raise Failure(reply["error"])
        return reply

    def close(self) -> None:
        """End the process, if it runs."""
        if self._running is not None:
            self._running.end()
            self._running = None


class _Running:
    """A running process. It ends when this object is deleted or our process exits."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process, self.owner = process, os.getpid()
        self.end = weakref.finalize(self, _end, process, self.owner)

    def is_mine(self) -> bool:
        """Whether this process started it, and it still runs."""
        return self.owner == os.getpid() and self.process.poll() is None

    def exchange(
        self, message: Message | None, limit: float | None, report: Report | None
    ) -> Message:
        """Send a message, if there is one, and receive the answer.

        Raises:
            Failure: the process took too long or died.
        """
        late = threading.Event()

        def stop() -> None:
            late.set()
            _kill(self.process)

        timer = threading.Timer(limit, stop) if limit is not None else None
        if timer:
            timer.daemon = True
            timer.start()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        reply: Message | None = None
        try:
            if message is not None:
                worker.write(self.process.stdin, message)
            while (reply := worker.read(self.process.stdout)) is not None and "done" in reply:
                if report:
                    report(reply["done"], reply["total"])
        except (OSError, EOFError, ValueError):
            reply = None
        finally:
            if timer:
                timer.cancel()
        if late.is_set():
            raise Failure(f"no answer within {limit:g} s: killed")
        if reply is None:
            raise Failure(f"its process ended ({_exit_text(self.process)})")
        return reply


def _exit_text(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, as text."""
    try:
        code = process.wait(EXIT_LIMIT)
    except subprocess.TimeoutExpired:
        return "it closed its streams"
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all processes that it started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a process that this process started: close its input, and kill it if it still runs."""
    if os.getpid() != owner:
        return
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(EXIT_LIMIT)
    _kill(process)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
