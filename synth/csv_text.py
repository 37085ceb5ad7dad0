"""The text of a CSV file: its encoding, its delimiter, its rows and the names of its columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from synth.errors import InputError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_SPELLINGS = {"license": "licence"}
_DECLARED = re.compile(r"sep=([^\w\s\"]|\t)(?:\r\n?|\n)")  # Excel's own first line
_END = "\0"  # a last line of our own; in a longer cell it shows that a quote was never closed


def decode(path: Path, data: bytes, advice: str) -> str:
    """A file's bytes -> its text, UTF-8 unless a byte order mark says otherwise.

    Raises:
        InputError: they are no such text; the line ends with ``advice``.
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        where = f" (line {line})" if encoding.startswith("utf-8") else ""
        name = encoding.removesuffix("-sig").upper()
        raise InputError(f"{path} cannot be read as text in {name}{where}: {advice}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}, line {line}: holds a NUL byte: {advice}")
    return text


def find_delimiter(text: str, names: Collection[str]) -> tuple[str, int, str]:
    """A table's text -> its delimiter, the lines before its heading, the text without them."""
    if declared := _DECLARED.match(text):
        return declared[1], 1, text[declared.end() :]
    keys = {key(name) for name in names}
    start = text[: 1 << 16]

    def fitness(delimiter: str) -> tuple[int, int]:
        for cells in csv.reader(io.StringIO(start, newline=""), delimiter=delimiter):
            if any(map(str.strip, cells)):
                return sum(key(cell) in keys for cell in cells), len(cells)
        return 0, 0

    return max(DELIMITERS, key=fitness), 0, text


def read_rows(
    path: Path, text: str, delimiter: str, skipped: int, advice: str
) -> Iterator[tuple[int, list[str]]]:
    """The line and the cells of all rows that are not empty, the heading first.

    Args:
        skipped: how many lines of the file stand before the text.

    Raises:
        InputError: the parser refuses a row, or a quote is never closed.
    """

    def lines() -> Iterator[str]:
        last = ""
        for last in io.StringIO(text, newline=""):
            yield last
        if last and not last.endswith(("\r", "\n")):
            yield "\n"
        yield _END

    csv.field_size_limit(2**31 - 1)  # the file is in memory already, whatever its cells
    reader = csv.reader(lines(), delimiter=delimiter, skipinitialspace=True)
    line, cells = 1 + skipped, [""]
    try:
        for cells in reader:
            if cells == [_END]:
                return
            if any(cell.strip() for cell in cells) and not cells[-1].endswith(_END):
                yield line, [cell.strip() for cell in cells]
            line = reader.line_num + 1 + skipped
    except csv.Error as error:
        raise InputError(f"{path}, line {line}: {error}: {advice}") from None
    raise InputError(f"{path} cannot be read: a quote is opened and never closed; {advice}")


def column_names(path: Path, heading: Sequence[str], names: Collection[str]) -> tuple[str, ...]:
    """The cells of the heading -> the columns' names; those of ``names`` as they stand there.

    Raises:
        InputError: two columns have the same name.
    """
    by_key = {key(name): name for name in names if name not in heading}
    shown = list(heading)
    while len(shown) > 1 and not shown[-1]:
        shown.pop()  # a delimiter at the end of the line
    found: dict[str, str] = {}
    columns = []
    for cell in shown:
        name = by_key.get(key(cell), cell) if cell else ""
        if name and name in found:
            other = found[name]
            what = f"the column {cell} twice" if other == cell else f"columns {other} and {cell}"
            raise InputError(f"{path} has {what}: leave one out")
        found[name] = cell
        columns.append(name)
    return tuple(columns)


def key(name: str) -> str:
    """A heading -> what it is compared by.

    >>> key(" File name") == key("file_name"), key("License")
    (True, 'licence')
    """
    words = re.sub(r"[\s_-]+", " ", name.strip().casefold()).split()
    return "".join(_SPELLINGS.get(word, word) for word in words)


def delimiter_name(delimiter: str) -> str:
    """The word for one delimiter."""
    return DELIMITERS.get(delimiter, f"{delimiter}s").removesuffix("s")
