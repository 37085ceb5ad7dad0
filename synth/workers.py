"""Pools of worker processes that return results in order and end with their parent process."""

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

NO_GUARD = 77  # exit code of a worker that runs its parent's script without a main guard
AHEAD = 4  # jobs per worker that may be submitted before their results are taken
Run = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Generator[Any, None, None]]


@contextmanager
def worker_pool(
    count: int, initialise: Callable[..., None] | None = None, *arguments: Any
) -> Iterator[Run]:
    """Starts worker processes; yields a function of (function, arguments of each job).

    That function yields the results of the jobs in order.

    Args:
        count: number of processes.
        initialise: called once in each process, before its jobs.
        arguments: arguments of ``initialise``.

    Raises:
        InputError: the calling script has no main guard.
        Interrupted: a process died.
    """
    # Not fork, which would copy threads and locks of the caller, for example of torch.
    context = multiprocessing.get_context("spawn")
    require_main_guard()
    pool = ProcessPoolExecutor(
        count, context, initializer=_initialise, initargs=(initialise, arguments)
    )
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
            process.join(5)  # the pool ends the remaining processes
        if any(process.exitcode == NO_GUARD for process in processes.values()):
            raise InputError(
                "each worker process runs the calling script again: put its calls below "
                "if __name__ == '__main__':, or pass workers=1"
            ) from None
        raise Interrupted(
            "a worker process died (out of memory?): continue with --resume and fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def local_pool(count: int) -> Iterator[Run]:
    """As :func:`worker_pool`, but a single worker is this process."""
    if count > 1:
        with worker_pool(count) as run:
            yield run
        return

    def run_here(
        function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]
    ) -> Generator[Any, None, None]:
        for job in jobs:
            yield function(*job)

    yield run_here


def require_main_guard() -> None:
    """Ends a worker process whose start runs the calls of its parent's script again.

    Each worker imports the script that starts it, so the calls in the script must be below
    ``if __name__ == "__main__":``. :func:`worker_pool` reports this in the parent process.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        os._exit(NO_GUARD)


@contextmanager
def block_sigint() -> Iterator[None]:
    """Blocks SIGINT for this process until the block ends, and for the processes that it starts."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _initialise(initialise: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    _die_with_parent()
    if initialise:
        initialise(*arguments)


def _die_with_parent() -> None:
    """In a worker: ignores SIGINT and ends the process when its parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
