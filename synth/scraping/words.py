"""Words and addresses found in pages, as pure functions."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin, urlsplit

from bs4.dammit import EncodingDetector

from synth.photos import SUFFIXES

LONGEST = 4096  # characters of an address
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


def plain(text: Any, longest: int = 300) -> str:
    """Any text from outside -> one line without control characters.

    >>> plain("  a" + chr(10) + "b ")
    'a b'
    """
    words = " ".join(str(text if text is not None else "").split())
    shown = "".join(c for c in words if c.isprintable())[:longest].strip()
    return shown.encode("utf-8", "replace").decode("utf-8")


def largest(srcset: str) -> str:
    """The address of a srcset's largest candidate; the first of equals.

    >>> largest("a.jpg 1x, b.jpg 2x"), largest("s.jpg 320w, l,1.jpg 1280w, m.jpg 640w")
    ('b.jpg', 'l,1.jpg')
    """
    best, most = "", -1.0
    # A comma inside an address is no separator: only one at the end of a word is.
    for match in re.finditer(
        r"([^\s,]\S*[^\s,]|[^\s,])(?:\s+([\d.]+)([wx]))?\s*(?:,|\s|$)", srcset
    ):
        try:
            size = float(match[2] or 1)
        except ValueError:
            size = 1.0
        if size > most:
            best, most = match[1], size
    return best


def is_image_address(url: str) -> bool:
    """Whether an address's path ends like a picture's: a hint, never a proof.

    >>> is_image_address("https://h/a/B.JPG?x=1"), is_image_address("https://h/a.html")
    (True, False)
    """
    try:
        path = urlsplit(url).path
    except ValueError:
        return False
    name, dot, suffix = path.rpartition("/")[2].rpartition(".")
    wiki = ":" in name or "%3a" in name.lower()  # the page File:X.jpg about a picture
    return bool(dot) and not wiki and f".{suffix.lower()}" in SUFFIXES


def join(base: str, address: str) -> str:
    """An absolute http(s) address without fragment, or nothing."""
    if not address or len(address) > LONGEST:
        return ""
    try:
        joined = urljoin(base, address).partition("#")[0]
        parts = urlsplit(joined)
        return joined if parts.scheme in ("http", "https") and parts.hostname else ""
    except ValueError:
        return ""


def decode(html: bytes, charset: str) -> str:
    """A page's bytes -> text: by the header, the byte order mark, the page itself, else UTF-8."""
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    marked = next((name for mark, name in marks.items() if html.startswith(mark)), "")
    declared = EncodingDetector.find_declared_encoding(html[:4096], is_html=True) or ""
    for name in (marked, charset, declared, "utf-8"):
        try:
            return html.decode(name or "utf-8")
        except (LookupError, UnicodeError, ValueError):
            continue
    return html.decode("windows-1252", "replace")
