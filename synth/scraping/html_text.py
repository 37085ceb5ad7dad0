"""Words and addresses found in pages, as pure functions."""

from __future__ import annotations

import codecs
import contextlib
import re
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from bs4.dammit import EncodingDetector

from synth.photos import SUFFIXES

LONGEST = 4096  # characters of an address
_HOST = re.compile(r"[^\s@%<>\"\\^`{|}]+(%[\w.-]+)?")  # with the zone of an IPv6 address
_ODD = re.compile(r"[\s\"<>\\^`{|}]")  # in an address
_CC = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)(?:/([\d.]+))?", re.I)


def licence_name(url: str) -> str:
    """The short name of a Creative Commons licence; nothing for another one.

    >>> licence_name("https://creativecommons.org/licenses/by-sa/4.0/")
    'CC BY-SA 4.0'
    >>> licence_name("https://creativecommons.org/publicdomain/zero/1.0/")
    'CC0 1.0'
    """
    match = _CC.search(url)
    if match is None:
        return ""
    kind, code, version = match[1].lower(), match[2].lower(), match[3] or ""
    names = {"zero": "CC0", "mark": "Public Domain Mark"}
    name = names.get(code, "Public Domain") if kind == "publicdomain" else f"CC {code.upper()}"
    return f"{name} {version}".strip()


def one_line(text: Any, longest: int = 300) -> str:
    """Any text from outside -> one line without control characters.

    >>> one_line("  a" + chr(10) + "b ")
    'a b'
    """
    words = " ".join(str(text if text is not None else "").split())
    shown = "".join(c for c in words if c.isprintable())[:longest].strip()
    return shown.encode("utf-8", "replace").decode("utf-8")


def largest_candidate(srcset: str) -> tuple[str, float]:
    """The address and size of a srcset's largest candidate, the first of equals.

    >>> largest_candidate("a.jpg 1x, b.jpg 2x")
    ('b.jpg', 2.0)
    >>> largest_candidate("s.jpg 320w, l,1.jpg 1280w, m.jpg 640w")
    ('l,1.jpg', 1280.0)
    >>> largest_candidate("")
    ('', 0.0)
    """
    best, most = "", 0.0
    if not srcset:
        return best, most
    # A comma inside an address is no separator: only one at the end of a word is.
    for match in re.finditer(
        r"([^\s,]\S*[^\s,]|[^\s,])(?:\s+([\d.]{1,16})([wx]))?\s*(?:,|\s|$)", srcset
    ):
        try:
            size = float(match[2] or 1)
        except ValueError:
            size = 1.0
        if size > most:
            best, most = match[1], size
    return best, most


def is_image_address(url: str) -> bool:
    """Whether an address's path ends like a picture's: a hint, never a proof.

    >>> is_image_address("https://h/a/B.JPG?x=1"), is_image_address("https://h/a.html")
    (True, False)
    """
    if len(url) > LONGEST:
        return False
    try:
        path = urlsplit(url).path
    except ValueError:
        return False
    name, dot, suffix = path.rpartition("/")[2].rpartition(".")
    wiki = ":" in name or "%3a" in name.lower()  # the page File:X.jpg about a picture
    return bool(dot) and not wiki and f".{suffix.lower()}" in SUFFIXES


def normalise_url(url: str) -> str:
    """An absolute http(s) address as it is asked and noted.

    Left out are the fragment and the user and password; percent-encoded are blanks, quotes,
    angle brackets and characters that are not printed (control characters, those that turn the
    direction of writing), as a client sends them anyway.

    Raises:
        ValueError: it is none, or too long.

    >>> normalise_url("HTTP://me:word@Host.example:81/a b?c#d")
    'http://host.example:81/a%20b?c'
    """
    if len(url) > LONGEST:
        raise ValueError("too long")
    parts = urlsplit(url.strip())
    host, port = parts.hostname or "", parts.port
    known = parts.scheme in ("http", "https")
    if not (known and _HOST.fullmatch(host) and host.isprintable()):
        raise ValueError("no http(s) address")
    netloc = f"[{host}]" if ":" in host else host
    if port is not None:
        netloc += f":{port}"
    made = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
    if _ODD.search(made) or not made.isprintable():
        made = "".join(
            _percent_encode(c) if _ODD.match(c) or not c.isprintable() else c for c in made
        )
    if len(made) > LONGEST:
        raise ValueError("too long")
    return made


def _percent_encode(character: str) -> str:
    return quote(character, safe="", errors="replace")


def join_url(base: str, address: str) -> str:
    """An absolute http(s) address as :func:`tidy` makes it, or nothing.

    >>> join_url("https://h/a/b", "../c#d"), join_url("https://h/", "javascript:x")
    ('https://h/c', '')
    """
    if not address or len(address) > LONGEST:
        return ""
    try:
        return normalise_url(urljoin(base, address))
    except ValueError:
        return ""


def remove_credentials(text: str) -> str:
    """An address that a user wrote, without the user and password that it may hold.

    >>> remove_credentials("https://me:word@h/a"), remove_credentials("https://me:wo/rd@h"), remove_credentials("http://h/a@2x")
    ('https://h/a', 'https://h', 'http://h/a@2x')
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # Not an address, so that nobody can say where a password ends: at the last sign.
        return re.sub(r"(?<=://)\S*@", "", text)
    if "@" not in parts.netloc:
        return text
    return text.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)


_CODECS = re.compile(
    r"utf-8(-sig)?|utf-16(-le|-be)?|ascii|(iso8859-|cp125)\d+|cp(866|874|932|949|950)|koi8-[ru]|"
    r"gb(2312|k|18030)|big5(hkscs)?|euc_(jp|kr)|shift_jis|iso2022_jp|mac-(roman|cyrillic)|tis-620"
)  # Python's names of what pages use; the others are no text, or take the square of its length


def _codec(name: str) -> str:
    """Python's name of a charset that pages use; nothing for another."""
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        return ""
    return found if _CODECS.fullmatch(found) else ""


def decode(html: bytes, charset: str) -> str:
    """A page's bytes -> text: by the header, the byte order mark, the page itself, else UTF-8."""
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    marked = next((name for mark, name in marks.items() if html.startswith(mark)), "")
    declared = EncodingDetector.find_declared_encoding(html[:4096], is_html=True) or ""
    for name in (marked, charset, declared, "utf-8"):
        if codec := _codec(name):
            with contextlib.suppress(UnicodeError):
                return html.decode(codec)
    return html.decode("windows-1252", "replace")
