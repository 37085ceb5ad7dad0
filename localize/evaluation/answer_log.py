"""A log of answers on disk, from which an interrupted run continues."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from synth.record_log import RecordLog


class AnswerLog:
    """Reads the answers of an interrupted run in order, then appends new ones.

    Args:
        path: the log file; created if it does not exist.
        request: what the run computes, in JSON types. A resumed run must have the same request.

    Raises:
        InputError: the file belongs to another request, or its first line is damaged.
    """

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self._log = RecordLog(path, request)
        self._earlier = self._log.read(self._log.count)

    def take(self, count: int) -> list[Any]:
        """The next answers of the earlier run, at most ``count``."""
        return list(islice(self._earlier, count))

    def add(self, answer: Any) -> None:
        """Append an answer of JSON types; it is in the file when this returns."""
        self._log.append(answer)

    def close(self) -> None:
        self._log.close()
