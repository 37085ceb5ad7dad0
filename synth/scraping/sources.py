"""The SOURCE words of the command line, and tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from synth import tables
from synth.errors import InputError
from synth.paths import path_of
from synth.scraping import addresses, services
from synth.scraping.html_text import is_image_address, one_line, remove_credentials
from synth.scraping.outcomes import Problem

Kind = Literal["page", "image", "commons", "openverse"]


@dataclass(frozen=True)
class Source:
    """Where to look.

    Args:
        kind: a page with images, an image itself, or one of the services.
        start: the first address to ask.
        word: as the user wrote it, without a user and password in an address.
        licence: of everything there, where a table of sources says so.
    """

    kind: Kind
    start: str
    word: str
    licence: str = ""


@dataclass(frozen=True)
class Endpoints:
    """Where the services answer."""

    commons: str = services.COMMONS
    openverse: str = services.OPENVERSE


def parse(words: Sequence[str], endpoints: Endpoints | None = None) -> list[Source]:
    """SOURCE words -> sources, each once, in their order.

    Raises:
        InputError: a word is none, or a table cannot be read.
    """
    ends = endpoints or Endpoints()
    found: dict[str, Source] = {}
    for word in words:
        if word.lower().endswith(".csv") and "://" not in word:
            for entry, licence in _table(path_of(word)):
                source = _one(entry, ends, licence, f" (in {word})")
                found.setdefault(source.start, source)
        else:
            source = _one(word, ends, "", "")
            found.setdefault(source.start, source)
    if not found:
        raise InputError("no source: give a page's address, commons:Category:NAME or a CSV")
    return list(found.values())


def _one(word: str, ends: Endpoints, licence: str, where: str) -> Source:
    word = word.strip()
    shown = remove_credentials(word)
    service, _, rest = word.partition(":")
    if service.lower() in ("commons", "openverse"):
        if not rest.strip():
            raise InputError(f"source '{word}'{where} names nothing after the colon")
        if service.lower() == "commons":
            return Source("commons", services.commons(rest.strip(), ends.commons), word, licence)
        return Source("openverse", services.openverse(rest.strip(), ends.openverse), word, licence)
    if "://" not in word:
        raise InputError(
            f"source '{shown}'{where} is unknown: give an http(s) address, "
            "commons:Category:NAME, openverse:WORDS or a CSV of sources"
        )
    try:
        url = addresses.clean(word)
    except Problem:
        raise InputError(f"source '{shown}'{where} is no http or https address") from None
    return Source("image" if is_image_address(url) else "page", url, shown, licence)


def _table(path: Path) -> list[tuple[str, str]]:
    table = tables.read(path, ("source",), ("licence",))
    both = zip(table.column("source"), table.column("licence"), strict=True)
    return [(source, one_line(licence)) for source, licence in both if source]
