"""Escaping of untrusted text in CSV cells, so that a spreadsheet does not run it as a formula."""

from __future__ import annotations

import re

# Text that spreadsheets take for a formula, also after blanks or with full-width characters.
_FORMULA = re.compile(r"'*\s*[=+\-@\t\r＝＋－＠]")


def escape(text: str) -> str:
    """Text -> CSV cell: an apostrophe is put before text that a spreadsheet takes for a formula.

    A text that begins with apostrophes and a formula sign gets one more apostrophe, so that
    :func:`unescape` restores every text.

    >>> escape("=1+1"), escape("CC BY 4.0"), escape("'-x")
    ("'=1+1", 'CC BY 4.0', "''-x")
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unescape(cell: str) -> str:
    """CSV cell -> the text from which :func:`escape` made it.

    >>> unescape("'=1+1"), unescape("'tis"), unescape("''-x")
    ('=1+1', "'tis", "'-x")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
