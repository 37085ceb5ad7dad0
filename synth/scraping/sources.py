"""Sources of photos, as named on the command line or in tables."""

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
    """A source of photos.

    Args:
        kind: a page with images, an image, or a service.
        start: the first address to fetch.
        word: the source as the user wrote it, without user and password.
        licence: licence of its photos in a table of sources, or "".
    """

    kind: Kind
    start: str
    word: str
    licence: str = ""


@dataclass(frozen=True)
class Endpoints:
    """Addresses of the services."""

    commons: str = services.COMMONS
    openverse: str = services.OPENVERSE


def parse(words: Sequence[str], endpoints: Endpoints | None = None) -> list[Source]:
    """Words of the command line -> different sources in order.

    Raises:
        InputError: a word is not a source, or a table cannot be read.
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
        raise InputError(
            "no source: give the address of a page, commons:Category:NAME or a CSV file"
        )
    return list(found.values())


def _one(word: str, ends: Endpoints, licence: str, where: str) -> Source:
    word = word.strip()
    shown = remove_credentials(word)
    service, _, rest = word.partition(":")
    if service.lower() in ("commons", "openverse"):
        if not rest.strip():
            raise InputError(f"source '{word}'{where} has nothing after the colon")
        if service.lower() == "commons":
            return Source("commons", services.commons(rest.strip(), ends.commons), word, licence)
        return Source("openverse", services.openverse(rest.strip(), ends.openverse), word, licence)
    if "://" not in word:
        raise InputError(
            f"source '{shown}'{where} is unknown: give an http(s) address, "
            "commons:Category:NAME, openverse:WORDS or a CSV file of sources"
        )
    try:
        url = addresses.clean(word)
    except Problem:
        raise InputError(f"source '{shown}'{where} is not a valid http or https address") from None
    return Source("image" if is_image_address(url) else "page", url, shown, licence)


def _table(path: Path) -> list[tuple[str, str]]:
    table = tables.read(path, ("source",), ("licence",))
    both = zip(table.column("source"), table.column("licence"), strict=True)
    return [(source, one_line(licence)) for source, licence in both if source]
