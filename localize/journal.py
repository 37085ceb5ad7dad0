"""Answers on disk while a run goes on, a line each, so that one that is stopped can go on."""

from __future__ import annotations

import json
import os
from collections import deque
from pathlib import Path
from typing import Any

from synth import folders
from synth.errors import InputError


class Journal:
    """Lines of JSON, in order; the first says what was asked for.

    Args:
        path: the file; started where there is none.
        request: what the run was asked for, in JSON types; a run that goes on must ask the same.

    Raises:
        InputError: the file was begun with another request.
    """

    def __init__(self, path: Path, request: dict[str, Any]) -> None:
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        if lines and not lines[-1].endswith(b"\n"):  # cut short by an interruption
            lines.pop()
        request = json.loads(json.dumps(request))
        if not lines:
            folders.write(path, json.dumps(request) + "\n")
        else:
            earlier = json.loads(lines[0])
            differ = [name for name, value in request.items() if earlier.get(name) != value]
            if differ:
                raise InputError(
                    f"{path.parent} was begun with other {', '.join(differ)}: "
                    "resume with the same, or pass --overwrite"
                )
            os.truncate(path, sum(map(len, lines)))
        self._known = deque(lines[1:])
        self._file = path.open("a", encoding="utf-8")

    def take(self, count: int) -> list[Any]:
        """Up to ``count`` of the lines that an earlier run left, in order."""
        some = [self._known.popleft() for _ in range(min(count, len(self._known)))]
        return [json.loads(line) for line in some]

    def add(self, line: Any) -> None:
        """Write a line down; it is in the file when this returns."""
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
