"""Options of a run of ``synth scrape``."""

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
    """Options of a run.

    Args:
        limit: number of photos in the folder after which to stop.
        min_side: least width and height in px.
        max_pixels: largest number of pixels.
        keep_duplicates: also keep near-duplicates; identical files are kept once.
        depth: number of next pages that are followed from the first page of a source.
        contact: e-mail or web address for site owners.
        allow_private: also connect to private IP addresses.
        bounds: limits of one exchange.
        politeness: delays and numbers of connections and retries.
        endpoints: addresses of the services.

    Raises:
        InputError: a number is out of range, or the contact is missing or invalid.
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
                "no contact for site owners: pass --contact you@example.org "
                "(or a web address), or set ACUITY_CONTACT"
            )
        if not self.contact.isascii() or not self.contact.isprintable():
            raise InputError("--contact is not printable ASCII: give an e-mail or web address")
