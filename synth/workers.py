"""Worker processes: results in order, a few ahead of what is taken; none outlives its parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

from synth.errors import InputError, Interrupted

NO_GUARD = 77  # exit code of a worker that ran its parent's script once more
AHEAD = 4  # jobs a worker that may wait or be done, beyond those whose results were taken
Run = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Generator[Any, None, None]]


@contextmanager
def worker_pool(count: int, begin: Callable[..., None] | None = None, *given: Any) -> Iterator[Run]:
    """Give a function of (function, arguments of each job) that yields the results in order.

    Args:
        count: how many processes.
        begin: called first in each of them, with ``given``.

    Raises:
        Interrupted: one of them died.
    """
    # Not fork: the caller may hold threads and locks (torch), which a fork would copy.
    context = multiprocessing.get_context("spawn")
    require_main_guard()
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(begin, given))
    processes: dict[int, Any] = {}

    def run(
        function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]
    ) -> Generator[Any, None, None]:
        waiting: deque[Future[Any]] = deque()
        for job in jobs:
            try:
                with block_sigint():
                    waiting.append(pool.submit(function, *job))
            finally:
                processes.update(getattr(pool, "_processes", None) or {})
            if len(waiting) > AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        yield run
    except BrokenProcessPool:
        for process in processes.values():
            process.join(5)  # the pool ends those that are left
        if any(process.exitcode == NO_GUARD for process in processes.values()):
            raise InputError(
                "several workers run the script that starts them once more: put its calls below "
                "if __name__ == '__main__':, or pass workers=1"
            ) from None
        raise Interrupted(
            "a worker process died (out of memory?): go on with --resume and fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def require_main_guard() -> None:
    """End a worker process that, starting, runs its parent's script and arrives here again.

    A script that starts workers is imported by each of them. Its calls must then not run, so
    they stand below ``if __name__ == "__main__":``; :func:`worker_pool` says so in the parent.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(NO_GUARD)


@contextmanager
def block_sigint() -> Iterator[None]:
    """Hold Ctrl-C back from this process, until the block ends, and from those that it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(begin: Callable[..., None] | None, given: tuple[Any, ...]) -> None:
    _die_with_parent()
    if begin:
        begin(*given)


def _die_with_parent() -> None:
    """In a worker: end when the parent is gone, however it went, and leave Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
