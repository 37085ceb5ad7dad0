"""The file that a name in a table means."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path


def parts_of(name: str) -> tuple[str, ...]:
    r"""A path in a table -> its parts, in Unicode normal form C.

    >>> parts_of(r"./photos\a.jpg")
    ('photos', 'a.jpg')
    """
    flat = unicodedata.normalize("NFC", name.strip()).replace("\\", "/")
    return tuple(part for part in flat.split("/") if part not in ("", "."))


class FileNames:
    """The names of the files below a folder, to look up what a table calls them.

    A name is found whatever its Unicode normal form, with slashes or backslashes, with a leading
    ``./``, and behind the folder's own name or path.

    Args:
        names: relative to the folder, with slashes.
        folder: where the files are.
    """

    def __init__(self, names: Iterable[str], folder: Path) -> None:
        self._exact = set(names)
        self._by_parts: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for name in self._exact:
            self._by_parts[parts_of(name)].add(name)
        self._above = parts_of(str(folder.resolve()))

    def find(self, name: str) -> str | None:
        """The file that a name means; None where there is none, or more than one."""
        if name in self._exact:
            return name
        parts = parts_of(name)
        for cut in range(len(parts)):
            if cut == 0 or parts[:cut] == self._above[-cut:]:
                found = self._by_parts.get(parts[cut:], ())
                if len(found) == 1:
                    return next(iter(found))
        return None
