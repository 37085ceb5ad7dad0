"""Escapes for characters that a terminal, table or file cannot show."""

from __future__ import annotations

import unicodedata

# Control characters, format characters (among them those that reverse the writing direction),
# surrogates, line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  # needed by Persian, Hindi and joined emoji


def escape_unprintable(text: object) -> str:
    """A value -> one line of text, with escapes for control and format characters.

    A byte of a file name that is not UTF-8 becomes ``\\xNN``.

    >>> print(escape_unprintable("a\\nb\\x1b[31m.png"))
    a\\nb\\x1b[31m.png
    >>> print(escape_unprintable(b"stra\\xdfe.png".decode("utf-8", "surrogateescape")))
    stra\\xdfe.png
    """
    whole = str(text)
    return whole if whole.isprintable() else "".join(map(_visible, whole))


def escape_surrogates(text: str) -> str:
    """Text -> the same text with escapes for surrogates, so that it can be encoded in UTF-8.

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
    hidden |= character in "\ufffe\uffff"  # not allowed in XML, hence in SVG
    return _escape(character) if hidden else character


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # Python's surrogate for a byte that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")
