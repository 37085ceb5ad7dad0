"""Parsing of CSV text: encoding, delimiter, rows and column names."""

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
_DECLARED = re.compile(
    r"sep=([^\w\s\"]|\t)(?:\r\n?|\n)"
)  # a first line by which Excel declares the delimiter
_END = "\0"  # appended last line; inside a longer cell it reveals an unclosed quote


def decode(path: Path | str, data: bytes, advice: str) -> str:
    """Decodes a file: as UTF-8, or by its byte order mark.

    Args:
        path: for the message.
        data: the bytes of the file.
        advice: what the user should do; ends the message.

    Raises:
        InputError: the bytes are not text in that encoding, or hold a NUL byte.
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
        raise InputError(f"{path}, line {line}: there is a NUL byte: {advice}")
    return text


def find_delimiter(text: str, names: Collection[str]) -> tuple[str, int, str]:
    """Text of a table -> delimiter, number of lines before the heading, text without these lines.

    The delimiter is the declared one, else the one by which most of ``names`` are headings.
    """
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
    path: Path | str, text: str, delimiter: str, skipped: int, advice: str
) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of all rows that are not empty, the heading first.

    Args:
        skipped: number of lines of the file before ``text``.

    Raises:
        InputError: a row cannot be parsed, or a quote is not closed.
    """

    def lines() -> Iterator[str]:
        last = ""
        for last in io.StringIO(text, newline=""):
            yield last
        if last and not last.endswith(("\r", "\n")):
            yield "\n"
        yield _END

    csv.field_size_limit(2**31 - 1)  # the file is already in memory, so long cells cost nothing
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
    raise InputError(f"{path} cannot be read: a quote is not closed; {advice}")


def column_names(
    path: Path | str, heading: Sequence[str], names: Collection[str]
) -> tuple[str, ...]:
    """Cells of the heading -> names of the columns, spelled as in ``names`` if they match one.

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
            raise InputError(f"{path} has {what}: remove one")
        found[name] = cell
        columns.append(name)
    return tuple(columns)


def key(name: str) -> str:
    """A heading -> the form in which headings are compared.

    >>> key(" File name") == key("file_name"), key("License")
    (True, 'licence')
    """
    words = re.sub(r"[\s_-]+", " ", name.strip().casefold()).split()
    return "".join(_SPELLINGS.get(word, word) for word in words)


def delimiter_name(delimiter: str) -> str:
    """A delimiter -> its name in the singular."""
    return DELIMITERS.get(delimiter, f"{delimiter}s").removesuffix("s")
