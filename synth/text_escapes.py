"""Names and messages as text that a terminal, a table or a file can show."""

from __future__ import annotations

import unicodedata

# Control characters, formatting characters (among them those that reverse the direction of
# writing), halves of surrogate pairs, line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # Persian, Hindi and joined emoji are misspelt without them


def escape_unprintable(text: object) -> str:
    """A name or message -> one line of text, with escapes for what cannot be seen.

    No control character reaches the terminal. A byte of a file name that is no UTF-8 is
    written as ``\\xNN``.

    >>> print(escape_unprintable("a\\nb\\x1b[31m.png"))
    a\\nb\\x1b[31m.png
    >>> print(escape_unprintable(b"stra\\xdfe.png".decode("utf-8", "surrogateescape")))
    stra\\xdfe.png
    """
    whole = str(text)
    return whole if whole.isprintable() else "".join(map(_visible, whole))


def escape_surrogates(text: str) -> str:
    """Text -> the same with ``\\xNN`` for what UTF-8 has no bytes for; it can be encoded.

    >>> print(escape_surrogates(b"stra\\xdfe\\n".decode("utf-8", "surrogateescape")), end="")
    stra\\xdfe
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "".join(_escape(each) if "\ud800" <= each <= "\udfff" else each for each in text)
    return text


def _visible(character: str) -> str:
    hidden = unicodedata.category(character) in _HIDDEN and character not in _JOINERS
    hidden |= character in "\ufffe\uffff"  # which XML, so SVG, has no place for
    return _escape(character) if hidden else character


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # how Python reads a byte that is no UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
