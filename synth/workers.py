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

from synth.errors import Interrupted

AHEAD = 4  # jobs a worker that may wait or be done, beyond those whose results were taken
Run = Callable[[Callable[..., Any], Iterable[tuple[Any, ...]]], Generator[Any, None, None]]


@contextmanager
def crew(count: int, begin: Callable[..., None] | None = None, *given: Any) -> Iterator[Run]:
    """Give a function of (function, arguments of each job) that yields the results in order.

    Args:
        count: how many processes.
        begin: called first in each of them, with ``given``.

    Raises:
        Interrupted: one of them died.
    """
    # Not fork: the caller may hold threads and locks (torch), which a fork would copy.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, initializer=_begin, initargs=(begin, given))

    def run(
        function: Callable[..., Any], jobs: Iterable[tuple[Any, ...]]
    ) -> Generator[Any, None, None]:
        waiting: deque[Future[Any]] = deque()
        for job in jobs:
            waiting.append(pool.submit(function, *job))
            if len(waiting) > AHEAD * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    try:
        yield run
    except BrokenProcessPool:
        raise Interrupted(
            "a worker process died (out of memory?): go on with --resume and fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


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
