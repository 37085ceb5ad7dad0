"""Matching of file names in tables with files on disk."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path


def parts_of(name: str) -> tuple[str, ...]:
    r"""A path in a table -> its parts in Unicode normal form C.

    >>> parts_of(r"./photos\a.jpg")
    ('photos', 'a.jpg')
    """
    flat = unicodedata.normalize("NFC", name.strip()).replace("\\", "/")
    return tuple(part for part in flat.split("/") if part not in ("", "."))


class FileNames:
    """An index of the files below a folder, for names as tables write them.

    A name matches in any Unicode normal form, with slashes or backslashes, with a leading ``./``
    and after the name or path of the folder.

    Args:
        names: paths of the files relative to the folder, with slashes.
        folder: the folder, or its URL.
    """

    def __init__(self, names: Iterable[str], folder: Path | str) -> None:
        self._exact = set(names)
        self._by_parts: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for name in self._exact:
            self._by_parts[parts_of(name)].add(name)
        self._above = parts_of(str(folder.resolve() if isinstance(folder, Path) else folder))

    def find(self, name: str) -> str | None:
        """The file with a name; None if there is none or more than one."""
        if name in self._exact:
            return name
        parts = parts_of(name)
        for cut in range(len(parts)):
            if cut == 0 or parts[:cut] == self._above[-cut:]:
                found = self._by_parts.get(parts[cut:], ())
                if len(found) == 1:
                    return next(iter(found))
        return None
