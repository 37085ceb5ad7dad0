"""Names that people chose (methods, files), as text: for tables, drawings and file names."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import quote

LONGEST = 48  # columns of a name in a drawing
MOST_BYTES = 200  # of a file's name without its suffix: 255 bytes are the limit of file systems
UNNAMED = "(no name)"
# Control characters, marks that change the direction of text, and what UTF-8 cannot hold.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufffe\uffff\ud800-\udfff]"
)


def storable(text: str) -> str:
    r"""Any text -> text that UTF-8 and CSV can hold; bytes that are no UTF-8 become ``\xff``.

    >>> storable("a\udcffb"), storable("a\x00b"), storable("Ärmel $x$")
    ('a\\xffb', 'a\ufffdb', 'Ärmel $x$')
    """
    data = text.encode("utf-8", "surrogateescape" if _from_bytes(text) else "replace")
    return data.decode("utf-8", "backslashreplace").replace("\x00", "\ufffd")


def _from_bytes(text: str) -> bool:
    """Whether the surrogates in a text are all bytes of a file name that was no UTF-8."""
    return all("\udc80" <= each <= "\udcff" for each in text if "\ud800" <= each <= "\udfff")


def plain(text: str) -> str:
    r"""Any text -> one line that can be printed and drawn.

    >>> plain("two\n lines"), plain("\x1b[1m"), plain(" ")
    ('two lines', '\ufffd[1m', '(no name)')
    """
    return _UNPRINTABLE.sub("\ufffd", " ".join(storable(text).split())) or UNNAMED


def display_width(text: str) -> int:
    """How many columns a text takes in a font of fixed width.

    >>> display_width("ab"), display_width("中文")
    (2, 4)
    """
    return sum(
        0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
        for each in text
    )


def short(text: str, longest: int = LONGEST) -> str:
    """Any text -> one line of at most ``longest`` columns; an ellipsis stands for its middle.

    >>> short("x" * 30 + "y" * 30, 9), short("中文中文中文", 7), short("brief")
    ('xxxx…yyyy', '中…文', 'brief')
    """
    line = plain(text)
    if display_width(line) <= longest:
        return line
    room = (longest - 1) // 2
    return f"{_start(line, longest - 1 - room)}…{_start(line[::-1], room)[::-1]}"


def _start(text: str, columns: int) -> str:
    """The first characters that fit in so many columns."""
    taken, used = [], 0
    for each in text:
        used += display_width(each)
        if used > columns:
            break
        taken.append(each)
    return "".join(taken)


def file_stem(name: str) -> str:
    """A name -> that of a file without suffix: every name its own, and none is too long.

    >>> file_stem("mine:find"), file_stem("a/b"), len(file_stem("x" * 300))
    ('mine%3Afind', 'a%2Fb', 200)
    """
    quoted = quote(name, safe="", errors="surrogatepass")
    if len(quoted) <= MOST_BYTES and name.strip(". ") == name != "":
        return quoted
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{quoted[: MOST_BYTES - 17].strip('.')}-{digest}"
