"""Functions on texts, addresses and bytes of web pages. All are pure."""

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
_ODD = re.compile(r"[\s\"<>\\^`{|}]")  # characters that are encoded in an address
_CC = re.compile(r"creativecommons\.org/(licenses|publicdomain)/([a-z+-]+)(?:/([\d.]+))?", re.I)


def licence_name(url: str) -> str:
    """Address of a Creative Commons licence -> its short name; "" for another address.

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
    """Any value -> one line of printable characters, at most ``longest``.

    >>> one_line("  a" + chr(10) + "b ")
    'a b'
    """
    words = " ".join(str(text if text is not None else "").split())
    shown = "".join(c for c in words if c.isprintable())[:longest].strip()
    return shown.encode("utf-8", "replace").decode("utf-8")


def largest_candidate(srcset: str) -> tuple[str, float]:
    """Address and size of the largest candidate in a srcset, the first of equal ones.

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
    # A comma inside an address is not a separator, only one at the end of a word.
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
    """Whether the path of an address has the suffix of a picture.

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
    wiki = ":" in name or "%3a" in name.lower()  # a wiki page File:X.jpg about a picture
    return bool(dot) and not wiki and f".{suffix.lower()}" in SUFFIXES


def normalise_url(url: str) -> str:
    """An absolute http(s) address in the form in which it is requested and recorded.

    Fragment, user and password are removed. Spaces, quotes, angle brackets and unprintable
    characters are percent-encoded, as HTTP clients do.

    Raises:
        ValueError: the text is not such an address, or is too long.

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
    """Joins two addresses and normalises the result; "" if it is not a valid http(s) address.

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
    """An address from the user -> the same address without user and password.

    >>> remove_credentials("https://me:word@h/a"), remove_credentials("https://me:wo/rd@h"), remove_credentials("http://h/a@2x")
    ('https://h/a', 'https://h', 'http://h/a@2x')
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # Not a valid address: remove everything up to the last @.
        return re.sub(r"(?<=://)\S*@", "", text)
    if "@" not in parts.netloc:
        return text
    return text.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)


_CODECS = re.compile(
    r"utf-8(-sig)?|utf-16(-le|-be)?|ascii|(iso8859-|cp125)\d+|cp(866|874|932|949|950)|koi8-[ru]|"
    r"gb(2312|k|18030)|big5(hkscs)?|euc_(jp|kr)|shift_jis|iso2022_jp|mac-(roman|cyrillic)|tis-620"
)  # Python's names of common charsets; other codecs are not text, or take quadratic time


def _codec(name: str) -> str:
    """Python's name of a common charset; "" for another one."""
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        return ""
    return found if _CODECS.fullmatch(found) else ""


def decode(html: bytes, charset: str) -> str:
    """Decodes a page by byte order mark, header, declaration in the page, or as UTF-8."""
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    marked = next((name for mark, name in marks.items() if html.startswith(mark)), "")
    declared = EncodingDetector.find_declared_encoding(html[:4096], is_html=True) or ""
    for name in (marked, charset, declared, "utf-8"):
        if codec := _codec(name):
            with contextlib.suppress(UnicodeError):
                return html.decode(codec)
    return html.decode("windows-1252", "replace")
