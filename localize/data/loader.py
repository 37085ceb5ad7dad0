"""Batches from worker processes, which pass errors on unchanged and leave Ctrl-C to the parent."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from types import TracebackType
from typing import Any

from torch.utils.data import DataLoader, Dataset, default_collate

from localize.localizer import Source
from synth.errors import InputError, Interrupted
from synth.workers import block_sigint


@dataclass(frozen=True)
class Delivery:
    """A message of a worker.

    Args:
        content: a batch, or the error that its dataset raised.
        skipped: photos that turned out unusable since the last message, with the reasons.
    """

    content: Any
    skipped: dict[str, str] = field(default_factory=dict)


class Guarded(Dataset[Any]):
    """A dataset that returns an error as an item instead of raising it.

    torch would put the traceback of the worker into the message of the error. Errors other than
    those of input, memory and files are faults of the program and keep their traceback.
    """

    def __init__(self, dataset: Dataset[Any], source: Source) -> None:
        self._dataset, self.source = dataset, source
        self._sent = len(source.skipped)

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._dataset[key]
        except (InputError, MemoryError, OSError) as error:
            return error

    def deliver(self, item: Any) -> Delivery:
        """A batch -> the message with it."""
        skipped = dict(islice(self.source.skipped.items(), self._sent, None))
        self._sent += len(skipped)
        return Delivery(item, skipped)

    def collate(self, items: Sequence[Any]) -> Delivery:
        """Items -> the message with a batch of them, or with the first error."""
        errors = (item for item in items if isinstance(item, Exception))
        return self.deliver(next(errors, None) or default_collate(list(items)))


class Loader(DataLoader[Any]):
    """A DataLoader of :class:`Guarded` datasets, with ``collate_fn`` one of their two methods.

    Its parameters are DataLoader's own: Lightning makes copies of it with other samplers.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        with block_sigint():
            deliveries = super().__iter__()
        assert isinstance(self.dataset, Guarded)
        skipped = self.dataset.source.skipped
        for delivery in deliveries:
            skipped.update(delivery.skipped)
            if isinstance(delivery.content, Exception):
                raise delivery.content
            yield delivery.content


def begin_worker(number: int) -> None:
    """Set up a worker: Ctrl-C is left to the parent, and no temporary files are made.

    The sockets through which workers pass shared memory would be files, which stay when all
    processes are killed. Linux has sockets without files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _print_unless_disconnected
    if sys.platform == "linux":
        numbers = count()
        connections: Any = multiprocessing.connection
        connections.arbitrary_address = lambda family: f"\0acuity-{os.getpid()}-{next(numbers)}"


def _print_unless_disconnected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The exception hook of a worker: a parent that takes no more batches is no error."""
    if not issubclass(kind, ConnectionError):
        sys.__excepthook__(kind, error, trace)


@contextmanager
def worker_faults() -> Iterator[None]:
    """Turn torch's error about a dead worker into one line.

    Raises:
        Interrupted: a worker died.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise Interrupted(
            "a worker process of the training died (out of memory?): free some memory, "
            "then continue with --resume"
        ) from None
