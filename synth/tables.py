"""Reader of CSV tables from the user, as any spreadsheet program writes them.

Text is UTF-8, or UTF-16 or UTF-32 with a byte order mark. Cells are separated by commas,
semicolons, tabs or vertical bars: the delimiter by which most of the expected headings are found.
Case, spaces and underscores of headings are ignored, and ``license`` equals ``licence``. Rows are
counted from 0, lines of the file from 1.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synth import csv_text, number_kinds
from synth.csv_text import DELIMITERS
from synth.errors import InputError
from synth.number_kinds import COMMA_NUMBER, NUMBER, Number, shorten

if TYPE_CHECKING:
    import pandas as pd

LABEL = "file_name"  # the column that identifies a row in messages


@dataclass(frozen=True)
class Table:
    """The cells of a table as text, without surrounding spaces.

    Args:
        path: the file; a text if it is not on a local disk.
        delimiter: character between two cells.
        columns: the headings; an expected one in the spelling of the caller.
        rows: cells of each row, as many as there are columns.
        lines: line of the file at which each row begins, from 1.
        oddities: sentences about parts of the file that were left out.
    """

    path: Path | str
    delimiter: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    oddities: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, row: int) -> str:
        """Position of a row for messages: file, row, line and file name in the row."""
        name = self.rows[row][self.columns.index(LABEL)] if LABEL in self.columns else ""
        label = f" ({shorten(name)})" if name else ""
        return f"{self.path}, row {row}, line {self.lines[row]}{label}"

    def column(self, name: str) -> list[str]:
        """The cells of one column; empty cells if the table does not have it."""
        if name not in self.columns:
            return [""] * len(self.rows)
        at = self.columns.index(name)
        return [row[at] for row in self.rows]

    def numbers(
        self, kinds: Mapping[str, Number], advice: str = "correct it", *, signs: bool = False
    ) -> dict[str, list[float]]:
        """Numbers of the columns of ``kinds`` that the table has.

        If the delimiter is not a comma, decimal commas are allowed, but not together with decimal
        points.

        Args:
            kinds: column -> kind of its numbers.
            advice: what the user should do about a wrong cell; ends the message.
            signs: whether a percent sign may follow a number; it is removed.

        Raises:
            InputError: a cell is not a number of its kind.
        """
        kind_of_column = {name: kind for name, kind in kinds.items() if name in self.columns}
        cells = {name: self.column(name) for name in kind_of_column}
        if signs:
            cells = {
                name: [cell.removesuffix("%").rstrip() for cell in column]
                for name, column in cells.items()
            }
        comma = self.delimiter != "," and self._has_decimal_commas(cells, advice)
        return {
            name: self._parse(name, column, kind_of_column[name], comma, advice)
            for name, column in cells.items()
        }

    def note(self, numbers: Collection[str] = ()) -> str:
        """A line about an unusual format that was accepted, for the user to check; often "".

        Args:
            numbers: names of the columns with numbers.
        """
        parts = []
        if self.delimiter != ",":
            word = DELIMITERS.get(self.delimiter, f"'{self.delimiter}'")
            parts.append(f"separated by {word}, not by commas")
            if any(COMMA_NUMBER.fullmatch(cell) for name in numbers for cell in self.column(name)):
                parts.append("decimal commas are read as decimal points")
        parts += self.oddities
        return f"{self.path}: {'; '.join(parts)}" if parts else ""

    def _has_decimal_commas(self, cells: Mapping[str, list[str]], advice: str) -> bool:
        commas, points = (
            next(
                (
                    (row, name, cell)
                    for name, column in cells.items()
                    for row, cell in enumerate(column)
                    if mark in cell and pattern.fullmatch(cell)
                ),
                None,
            )
            for mark, pattern in ((",", COMMA_NUMBER), (".", NUMBER))
        )
        if commas and points:
            row, name, cell = points
            raise InputError(
                f"{self.place(row)}: {name} is '{shorten(cell)}', with a decimal point, and "
                f"{commas[1]} in line {self.lines[commas[0]]} is '{shorten(commas[2])}', with a "
                f"comma: {advice}"
            )
        return commas is not None

    def _parse(
        self, name: str, column: list[str], kind: Number, comma: bool, advice: str
    ) -> list[float]:
        values = number_kinds.parse(column, kind, comma)
        for row, (cell, value) in enumerate(zip(column, values, strict=True)):
            if kind.low <= value <= kind.high and (kind.infinite or math.isfinite(value)):
                continue
            if cell and kind.nan and cell.lower() == "nan":
                continue
            if cell or not kind.empty:
                fault = number_kinds.cell_error(cell, value, kind, advice)
                raise InputError(f"{self.place(row)}: {name} {fault}")
        return values

    def frame(
        self,
        numbers: Mapping[str, Number],
        texts: Sequence[str] = (),
        advice: str = "correct it",
    ) -> pd.DataFrame:
        """A data frame of the columns of ``numbers`` that the table has, and all of ``texts``.

        Args:
            numbers: column -> kind of its numbers.
            texts: columns of text; a missing one is empty.
            advice: see :meth:`numbers`.

        Raises:
            InputError: a cell is not a number of its kind.
        """
        import pandas as pd

        parsed = self.numbers(numbers, advice)
        names = [name for name in self.columns if name in parsed or name in texts]
        names += [name for name in texts if name not in names]
        return pd.DataFrame(
            {
                name: pd.Series(parsed[name], dtype=float)
                if name in parsed
                else pd.Series(self.column(name), dtype=object)
                for name in names
            }
        )


def read(
    path: Path,
    needed: Collection[str] = (),
    known: Collection[str] = (),
    advice: str = "save it as CSV in UTF-8",
) -> Table:
    """Reads a table.

    Args:
        path: the file.
        needed: columns that the table must have.
        known: further columns whose headings are recognised in other spellings.
        advice: what the user should do about an unreadable file; ends the message.

    Raises:
        InputError: the file does not exist or is not such a table; the message names the row.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no table at {path}: check the path") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name a CSV file") from None
    return parse(path, data, needed, known, advice)


def parse(
    path: Path | str,
    data: bytes,
    needed: Collection[str] = (),
    known: Collection[str] = (),
    advice: str = "save it as CSV in UTF-8",
) -> Table:
    """The bytes of a file -> its table; see :func:`read`.

    Args:
        path: path or URL of the file, for messages.
        data: its bytes.

    Raises:
        InputError: the bytes are not such a table; the message names the row.
    """
    text = csv_text.decode(path, data, advice)
    names = dict.fromkeys((*needed, *known))
    delimiter, skipped, text = csv_text.find_delimiter(text, names)
    records = csv_text.read_rows(path, text, delimiter, skipped, advice)
    try:
        _, heading = next(records)
    except StopIteration:
        absent = f", it lacks the column {', '.join(needed)}" if needed else ""
        raise InputError(f"{path} cannot be read{absent}: it is empty") from None
    columns = csv_text.column_names(path, heading, names)
    ends = len(heading) > len(columns)
    if lacking := [name for name in needed if name not in columns]:
        there = ", ".join(name for name in columns if name)
        hint = "; separate its cells by commas" if len(columns) == 1 else ""
        raise InputError(f"{path} lacks the column {', '.join(lacking)}: it has {there}{hint}")
    rows: list[list[str]] = []
    lines: list[int] = []
    for line, cells in records:
        while len(cells) > len(columns) and not cells[-1]:
            cells.pop()  # a delimiter at the end of the line
            ends = True
        if len(cells) != len(columns):
            few = f"{', '.join(columns[len(cells) :])} is missing, write empty cells too"
            many = f"quote a cell that contains a {csv_text.delimiter_name(delimiter)}"
            count = f"{len(cells)} cell" + "s" * (len(cells) > 1)
            raise InputError(
                f"{path}, row {len(rows)}, line {line}: {count}, the header has "
                f"{len(columns)}: {few if len(cells) < len(columns) else many}"
            )
        rows.append(cells)
        lines.append(line)
    first = text.lstrip().split("\n", 1)[0]
    padded = f"{delimiter} " in first or f" {delimiter}" in first
    oddities = ["spaces around cells are left out"] if padded else []
    oddities += ["empty cells at the ends of lines are left out"] if ends else []
    return Table(path, delimiter, columns, rows, lines, tuple(oddities))


def frame(path: Path, needed: Collection[str], known: Collection[str]) -> pd.DataFrame:
    """Reads a table of up to millions of rows into a data frame of texts; see :func:`read`.

    A file in the format of Acuity's own tables is parsed by pandas, which needs a third of the
    time and memory. It keeps spaces around texts, which names of photos may have.

    Raises:
        InputError: the file does not exist or is not such a table; the message names the row.
    """
    import pandas as pd

    if _is_plain(path, needed, known):
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        except (ValueError, pd.errors.ParserError):  # read() below reports the fault
            pass
        else:
            short = len(table) and table.iloc[:, -1].isna().any()
            if isinstance(table.index, pd.RangeIndex) and not short:
                return table
    general = read(path, needed, known)
    return pd.DataFrame(general.rows, columns=list(general.columns), dtype=str)


def _is_plain(path: Path, needed: Collection[str], known: Collection[str]) -> bool:
    """Whether heading and first row of a file have the format of Acuity's own tables."""
    try:
        with path.open("rb") as file:
            start = file.read(1 << 16)
            chunk = start
            while chunk:
                if b"\0" in chunk:
                    return False
                chunk = file.read(1 << 20)
    except OSError:
        return False
    try:
        first = start[: start.rfind(b"\n") + 1].decode("utf-8")
        lines = csv.reader(io.StringIO(first, newline=""))
        heading, row = next(lines), next(lines, [])
    except (UnicodeDecodeError, csv.Error, StopIteration):
        return False
    keys = {csv_text.key(name) for name in known}
    return (
        set(needed) <= set(heading)
        and len(set(heading)) == len(heading)
        and all(name and name == name.strip() for name in heading)
        and all(name in known or csv_text.key(name) not in keys for name in heading)
        and not any(cell != cell.strip() and NUMBER.fullmatch(cell.strip()) for cell in row)
    )
