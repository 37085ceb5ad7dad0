"""Answers on disk while a run goes on, so that a run that is stopped can go on."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from synth.record_log import RecordLog


class Journal:
    """Answers in order, in JSON types.

    Args:
        path: the file; started where there is none.
        request: what the run was asked for, in JSON types; a run that goes on must ask the same.

    Raises:
        InputError: the file was begun with another request, or is damaged from its beginning.
    """

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        self._log = RecordLog(path, request)
        self._known = self._log.read(self._log.count)

    def take(self, count: int) -> list[Any]:
        """Up to ``count`` of the answers that an earlier run left, in order."""
        return list(islice(self._known, count))

    def add(self, answer: Any) -> None:
        """Write an answer down; it is in the file when this returns."""
        self._log.append(answer)

    def close(self) -> None:
        self._log.close()
