"""Text from outside in the cells of a CSV, so that no spreadsheet takes it for a formula."""

from __future__ import annotations

import re

# What spreadsheets compute, in ASCII and in full width; a blank before it does not stop them.
_FORMULA = re.compile(r"'*\s*[=+\-@\t\r＝＋－＠]")


def escape(text: str) -> str:
    """A text -> the cell that shows it: an apostrophe before what would be a formula.

    Texts that begin with apostrophes and such a sign get one more, so that :func:`unescape`
    gives back every text as it was.

    >>> escape("=1+1"), escape("CC BY 4.0"), escape("'-x")
    ("'=1+1", 'CC BY 4.0', "''-x")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unescape(cell: str) -> str:
    """A cell -> the text that :func:`escape` was given.

    >>> unescape("'=1+1"), unescape("'tis"), unescape("''-x")
    ('=1+1', "'tis", "'-x")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
