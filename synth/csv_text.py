"""CSV text: its encoding, its delimiter and the cells of its rows."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterator
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
    """The bytes of a table's file -> its text.

    Args:
        path: the file, for messages.
        advice: what to do about a file that cannot be read; ends the error's line.

    Raises:
        InputError: they are no text in the encoding that their byte order mark names, UTF-8
            without one, or hold a NUL byte.
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
    keys = {heading_key(name) for name in names}
    start = text[: 1 << 16]

    def fitness(delimiter: str) -> tuple[int, int]:
        for cells in csv.reader(io.StringIO(start, newline=""), delimiter=delimiter):
            if any(map(str.strip, cells)):
                return sum(heading_key(cell) in keys for cell in cells), len(cells)
        return 0, 0

    return max(DELIMITERS, key=fitness), 0, text


def records_of(
    path: Path, text: str, delimiter: str, skipped: int, advice: str
) -> Iterator[tuple[int, list[str]]]:
    """The line and the cells of all rows that are not empty, the heading first."""

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


def heading_key(name: str) -> str:
    """A heading -> what it is compared by.

    >>> heading_key(" File name") == heading_key("file_name"), heading_key("License")
    (True, 'licence')
    """
    words = re.sub(r"[\s_-]+", " ", name.strip().casefold()).split()
    return "".join(_SPELLINGS.get(word, word) for word in words)
