"""Makes names of methods and files safe for tables, figures and file names."""

from __future__ import annotations

import hashlib
import unicodedata
from urllib.parse import quote

from synth.text_escapes import escape_unprintable

LONGEST = 48  # columns of a name in a figure
MAX_BYTES = 200  # of a file name without suffix; file systems allow 255
UNNAMED = "(no name)"


def plain(text: str) -> str:
    r"""Any text -> one printable line, with escapes for invisible characters.

    >>> print(plain("two\n lines"), plain("\x1b[1m"), plain(" "))
    two lines \x1b[1m (no name)
    """
    return escape_unprintable(" ".join(text.split())) or UNNAMED


def display_width(text: str) -> int:
    """The number of columns of a text in a monospaced font.

    >>> display_width("ab"), display_width("中文")
    (2, 4)
    """
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )


def short(text: str, longest: int = LONGEST) -> str:
    """Any text -> one line of at most ``longest`` columns; an ellipsis replaces its middle.

    >>> short("x" * 30 + "y" * 30, 9), short("中文中文中文", 7), short("brief")
    ('xxxx…yyyy', '中…文', 'brief')
    """
    line = plain(text)
    if display_width(line) <= longest:
        return line
    room = (longest - 1) // 2
    return f"{_start(line, longest - 1 - room)}…{_start(line[::-1], room)[::-1]}"


def _start(text: str, columns: int) -> str:
    """The beginning of a text that fits into ``columns``."""
    characters, width = [], 0
    for each in text:
        width += display_width(each)
        if width > columns:
            break
        characters.append(each)
    return "".join(characters)


def file_stem(name: str) -> str:
    """A name -> a file name without suffix, different for different names and never too long.

    >>> file_stem("mine:find"), file_stem("a/b"), len(file_stem("x" * 300))
    ('mine%3Afind', 'a%2Fb', 200)
    """
    quoted = quote(name, safe="", errors="surrogatepass")
    if len(quoted) <= MAX_BYTES and name.strip(". ") == name != "":
        return quoted
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{quoted[: MAX_BYTES - 17].strip('.')}-{digest}"
