"""The links of a page: addresses made absolute, and the link types of its tags."""

from __future__ import annotations

from synth.scraping import html_tree
from synth.scraping.html_text import is_image_address, join_url
from synth.scraping.html_tree import Node

MOST_WORK = 32_000_000  # characters of addresses that are made absolute, and of their base


class Links:
    """The addresses that a page gives, made absolute: each once, however often it is given."""

    def __init__(self, base: str, until: float) -> None:
        self._base = base
        self._until = until
        self._known: dict[str, str] = {}
        self._room = MOST_WORK

    @property
    def cut(self) -> str:
        """Which limit left addresses out, in words; nothing where none did."""
        return f"more than {MOST_WORK} characters of addresses" if self._room < 0 else ""

    def absolute(self, address: str) -> str:
        """An absolute http(s) address, or nothing.

        Raises:
            Problem: it is late.
        """
        if not address:
            return ""
        known = self._known.get(address)
        if known is None:
            html_tree.check_deadline(self._until)
            # Each costs time in proportion to both: with the longest base, 0.3 ms.
            self._room -= len(self._base) + len(address)
            if self._room < 0:
                return ""
            known = self._known[address] = join_url(self._base, address)
        return known


def image_target(tag: Node, links: Links) -> str:
    """The address that a link leads to, where it is an image's; else nothing."""
    href = tag.get("href")
    return links.absolute(href) if is_image_address(href) else ""


def link_types(tag: Node) -> set[str]:
    """The words of a tag's rel attribute, in lower case."""
    return set(tag.get("rel").lower().split())
