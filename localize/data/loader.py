"""Batches from worker processes, which pass errors on unchanged and leave Ctrl-C to the parent."""

from __future__ import annotations

import multiprocessing.connection
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
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
class WorkerMessage:
    """A message from a worker process to its parent.

    Args:
        content: a batch, or the error that its dataset raised.
        skipped: photos found unusable since the last message, by name, with the reasons.
    """

    content: Any
    skipped: dict[str, str] = field(default_factory=dict)


class ErrorReturningDataset(Dataset[Any]):
    """A dataset that returns an error as an item instead of raising it.

    torch would put the traceback of the worker into the message of the error. Errors other than
    InputError, MemoryError and OSError are bugs and keep their traceback.

    Args:
        stack: makes a batch of items.
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        source: Source,
        stack: Callable[[list[Any]], Any] = default_collate,
    ) -> None:
        self._dataset, self.source, self._stack = dataset, source, stack
        self._sent = len(source.skipped)

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._dataset[key]
        except (InputError, MemoryError, OSError) as error:
            return error

    def to_message(self, item: Any) -> WorkerMessage:
        """A batch or an error -> the message that carries it."""
        skipped = dict(islice(self.source.skipped.items(), self._sent, None))
        self._sent += len(skipped)
        return WorkerMessage(item, skipped)

    def collate(self, items: Sequence[Any]) -> WorkerMessage:
        """Items -> the message that carries a batch of them, or the first error among them."""
        errors = (item for item in items if isinstance(item, Exception))
        return self.to_message(next(errors, None) or self._stack(list(items)))


class Loader(DataLoader[Any]):
    """A DataLoader over an :class:`ErrorReturningDataset` that raises the errors in its messages.

    ``collate_fn`` is the dataset's ``collate``, or ``to_message`` where its items are batches.

    The constructor is that of DataLoader, because Lightning makes copies with other samplers.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        with block_sigint():
            messages = super().__iter__()
        assert isinstance(self.dataset, ErrorReturningDataset)
        skipped = self.dataset.source.skipped
        for message in messages:
            skipped.update(message.skipped)
            if isinstance(message.content, Exception):
                raise message.content
            yield message.content


def set_up_worker(number: int) -> None:
    """Set up a worker: Ctrl-C is left to the parent, and no temporary files are made.

    The sockets through which workers pass shared memory are files by default, and these files stay
    when all processes are killed. On Linux, sockets without files are used instead.
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
    """The exception hook of a worker: it ignores that the parent closed the connection."""
    if not issubclass(kind, ConnectionError):
        sys.__excepthook__(kind, error, trace)


def batch_loader(
    dataset: ErrorReturningDataset, order: Iterable[Any], batch: int, workers: int
) -> Loader:
    """A loader of batches that the dataset makes of its items, in an order.

    Args:
        order: the keys of the items.
        batch: items in a batch.
        workers: number of worker processes; 0: this process.
    """
    return Loader(
        dataset,
        batch_size=batch,
        collate_fn=dataset.collate,
        sampler=order,
        num_workers=workers,
        persistent_workers=workers > 0,
        worker_init_fn=set_up_worker,
    )


@contextmanager
def explain_worker_death() -> Iterator[None]:
    """Turn torch's error about a dead worker process into an error with a one-line message.

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
