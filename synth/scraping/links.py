"""Links of a page: absolute addresses and link types."""

from __future__ import annotations

from synth.scraping import html_tree
from synth.scraping.html_text import is_image_address, join_url
from synth.scraping.html_tree import Node

MOST_WORK = 32_000_000  # characters of addresses and bases that are joined


class Links:
    """Makes the addresses of a page absolute; repeated addresses are cached."""

    def __init__(self, base: str, until: float) -> None:
        self._base = base
        self._until = until
        self._known: dict[str, str] = {}
        self._room = MOST_WORK

    @property
    def cut(self) -> str:
        """The limit that left addresses out, in words, or ""."""
        return f"more than {MOST_WORK} characters of addresses" if self._room < 0 else ""

    def absolute(self, address: str) -> str:
        """The absolute http(s) address of an address in the page, or "".

        Raises:
            Problem: the deadline has passed.
        """
        if not address:
            return ""
        known = self._known.get(address)
        if known is None:
            html_tree.check_deadline(self._until)
            # The time of a join is proportional to both lengths.
            self._room -= len(self._base) + len(address)
            if self._room < 0:
                return ""
            known = self._known[address] = join_url(self._base, address)
        return known


def image_target(tag: Node, links: Links) -> str:
    """The target of a link if it is the address of an image, else ""."""
    href = tag.get("href")
    return links.absolute(href) if is_image_address(href) else ""


def link_types(tag: Node) -> set[str]:
    """The words of a tag's rel attribute, in lower case."""
    return set(tag.get("rel").lower().split())
