"""Batches from worker processes: errors arrive as they were raised, Ctrl-C stays outside."""

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
    """What a worker sends.

    Args:
        content: a batch, or the error that its dataset raised.
        skipped: photos that were found unusable since the last delivery, with the reasons.
    """

    content: Any
    skipped: dict[str, str] = field(default_factory=dict)


class Guarded(Dataset[Any]):
    """A dataset that gives an error as an item instead of raising it.

    torch would put the worker's traceback into the error's message. Other errors than those of
    input, memory and files are faults of the program and keep their traceback.
    """

    def __init__(self, dataset: Dataset[Any], source: Source) -> None:
        self._dataset, self.source = dataset, source
        self._sent = len(skipped_of(source))

    def __len__(self) -> int:
        return len(self._dataset)  # type: ignore[arg-type]

    def __getitem__(self, key: Any) -> Any:
        try:
            return self._dataset[key]
        except (InputError, MemoryError, OSError) as error:
            return error

    def deliver(self, item: Any) -> Delivery:
        """One item, which is a batch."""
        skipped = dict(islice(skipped_of(self.source).items(), self._sent, None))
        self._sent += len(skipped)
        return Delivery(item, skipped)

    def collate(self, items: Sequence[Any]) -> Delivery:
        """Items -> a batch."""
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
        skipped = skipped_of(self.dataset.source)
        for delivery in deliveries:
            skipped.update(delivery.skipped)
            if isinstance(delivery.content, Exception):
                raise delivery.content
            yield delivery.content


def skipped_of(source: Source) -> dict[str, str]:
    """The photos that a source has found unusable, with the reasons; of a dataset none."""
    found = getattr(source, "skipped", None)
    return found if isinstance(found, dict) else {}


def begin_worker(number: int) -> None:
    """In a worker: leave Ctrl-C to the parent, and make no files in the folder for temporary ones.

    The sockets over which workers hand over shared memory would lie there, and stay there when
    all are killed. Linux has sockets without files.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _print_unless_abandoned
    if sys.platform == "linux":
        numbers = count()
        connections: Any = multiprocessing.connection
        connections.arbitrary_address = lambda family: f"\0acuity-{os.getpid()}-{next(numbers)}"


def _print_unless_abandoned(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """The hook of a worker's threads: a parent that takes no more pictures is no error."""
    if not issubclass(kind, ConnectionError):
        sys.__excepthook__(kind, error, trace)


@contextmanager
def worker_faults() -> Iterator[None]:
    """Say in one line that a worker died.

    Raises:
        Interrupted: it did.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise Interrupted(
            "a worker process of the training died (out of memory?): free some memory, "
            "then go on with --resume"
        ) from None
