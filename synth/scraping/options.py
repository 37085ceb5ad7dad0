"""The options of a run: what to take from the web, and how."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from synth import limits
from synth.errors import InputError
from synth.scraping.fetcher import Bounds
from synth.scraping.sources import Endpoints
from synth.scraping.traffic import Politeness

_CONTACT = re.compile(r"\S+@\S+\.\S+|https?://\S+")


@dataclass(frozen=True)
class Options:
    """What to take and how.

    Args:
        limit: photos in the folder at which to stop.
        min_side: smallest side in px.
        max_pixels: most pixels, by the header.
        keep_duplicates: keep near-duplicates too; files of the same bytes are kept once.
        depth: next pages followed from a source's first.
        contact: e-mail or web address that site owners can write to.
        allow_private: connect to private addresses too.
        bounds: of one exchange.
        politeness: towards hosts.
        endpoints: of the services.
    """

    limit: int = 100
    min_side: int = 256
    max_pixels: int = limits.WEB_PIXELS
    keep_duplicates: bool = False
    depth: int = 10
    contact: str = ""
    allow_private: bool = False
    bounds: Bounds = field(default_factory=Bounds)
    politeness: Politeness = field(default_factory=Politeness)
    endpoints: Endpoints = field(default_factory=Endpoints)

    def __post_init__(self) -> None:
        numbers = {
            "limit": self.limit,
            "min-side": self.min_side,
            "per-host": self.politeness.per_host,
            "threads": self.politeness.threads,
        }
        for name, number in numbers.items():
            if number < 1:
                raise InputError(f"--{name} is {number}: give at least 1")
        for name, least in {"depth": self.depth, "delay": self.politeness.delay}.items():
            if not least >= 0:
                raise InputError(f"--{name} is {least}: give 0 or more")
        if not self.allow_private and not _CONTACT.fullmatch(self.contact):
            raise InputError(
                "sites want to know whom to write to: pass --contact you@example.org "
                "(or a web address), or set ACUITY_CONTACT"
            )
        if not self.contact.isascii() or not self.contact.isprintable():
            raise InputError("--contact holds odd characters: give an e-mail or web address")
