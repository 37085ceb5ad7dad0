"""The reader of every table that people bring: CSV as any spreadsheet program writes it.

Text is UTF-8, or UTF-16 or UTF-32 with a byte order mark. Cells are separated by commas,
semicolons, tabs or vertical bars, whichever makes most of the expected headings. Headings match
whatever their case, blanks and underscores, and in either spelling (``license``, ``licence``).
Rows are counted from 0, as everywhere in Acuity, lines of the file from 1.
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

LABEL = "file_name"  # the column that tells people which row a message is about


@dataclass(frozen=True)
class Table:
    """The cells of a table as text, without the blanks around them.

    Args:
        path: the file.
        delimiter: what separates its cells.
        columns: the headings; a known one is spelled as its reader spells it.
        rows: the cells of every row, as many as there are columns.
        lines: the line of the file on which every row begins, from 1.
        oddities: what was left out of the file, in words.
    """

    path: Path
    delimiter: str
    columns: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    oddities: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def place(self, row: int) -> str:
        """Where a row is, for messages: the file, the row, its line, the picture that it names."""
        name = self.rows[row][self.columns.index(LABEL)] if LABEL in self.columns else ""
        label = f" ({shorten(name)})" if name else ""
        return f"{self.path}, row {row}, line {self.lines[row]}{label}"

    def column(self, name: str) -> list[str]:
        """The cells of one column; empty ones where the table has no such column."""
        if name not in self.columns:
            return [""] * len(self.rows)
        at = self.columns.index(name)
        return [row[at] for row in self.rows]

    def numbers(
        self, kinds: Mapping[str, Number], advice: str = "correct it", *, signs: bool = False
    ) -> dict[str, list[float]]:
        """The columns of ``kinds`` that the table has -> their numbers.

        Where cells are not separated by commas a decimal comma is understood; a table with
        decimal commas and decimal points is refused.

        Args:
            advice: what to do about a wrong cell; ends the error's line.
            signs: whether a per cent sign may follow a number; it is dropped.

        Raises:
            InputError: a cell holds no number of its kind.
        """
        wanted = {name: kind for name, kind in kinds.items() if name in self.columns}
        cells = {name: self.column(name) for name in wanted}
        if signs:
            cells = {
                name: [cell.removesuffix("%").rstrip() for cell in column]
                for name, column in cells.items()
            }
        comma = self.delimiter != "," and self._has_decimal_commas(cells, advice)
        return {
            name: self._parse(name, column, wanted[name], comma, advice)
            for name, column in cells.items()
        }

    def note(self, numbers: Collection[str] = ()) -> str:
        """What was understood though it is not as usual, for the user to check; often empty.

        Args:
            numbers: the columns that hold numbers.
        """
        parts = []
        if self.delimiter != ",":
            word = DELIMITERS.get(self.delimiter, f"'{self.delimiter}'")
            parts.append(f"separated by {word}, not by commas")
            if any(COMMA_NUMBER.fullmatch(cell) for name in numbers for cell in self.column(name)):
                parts.append("its decimal commas are read as decimal points")
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
        """The columns of ``numbers`` that the table has, and all of ``texts``, empty or not.

        Raises:
            InputError: a cell holds no number of its kind.
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
    """A table's file -> its cells.

    Args:
        needed: columns without which it is refused.
        known: further columns whose headings are recognised in other spellings.
        advice: what to do about a file that cannot be read; ends the error's line.

    Raises:
        InputError: the file is missing or is no such table; the line names the row.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"no table at {path}: check the path") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): name a CSV file") from None
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
            few = f"{', '.join(columns[len(cells) :])} is missing, write an empty cell as well"
            many = f"quote a cell that holds a {csv_text.delimiter_name(delimiter)}"
            count = f"{len(cells)} cell" + "s" * (len(cells) > 1)
            raise InputError(
                f"{path}, row {len(rows)}, line {line}: {count}, the header has "
                f"{len(columns)}: {few if len(cells) < len(columns) else many}"
            )
        rows.append(cells)
        lines.append(line)
    first = text.lstrip().split("\n", 1)[0]
    padded = f"{delimiter} " in first or f" {delimiter}" in first
    oddities = ["blanks around its cells are left out"] if padded else []
    oddities += ["empty cells at the ends of its lines are left out"] if ends else []
    return Table(path, delimiter, columns, rows, lines, tuple(oddities))


def frame(path: Path, needed: Collection[str], known: Collection[str]) -> pd.DataFrame:
    """A table's file -> its cells as text, as :func:`read` gives them, for a million rows.

    A file without any oddity, as our own are, goes through the parser of pandas, which takes a
    third of the time and memory; its texts keep the blanks around them, which names of photos
    may have.

    Raises:
        InputError: the file is missing or is no such table; the line names the row.
    """
    import pandas as pd

    if _is_plain(path, needed, known):
        try:
            table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        except (ValueError, pd.errors.ParserError):  # then the other reader says what is wrong
            pass
        else:
            short = len(table) and table.iloc[:, -1].isna().any()
            if isinstance(table.index, pd.RangeIndex) and not short:
                return table
    general = read(path, needed, known)
    return pd.DataFrame(general.rows, columns=list(general.columns), dtype=str)


def _is_plain(path: Path, needed: Collection[str], known: Collection[str]) -> bool:
    """Whether a file is as we write them, as far as its heading and first row show."""
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
