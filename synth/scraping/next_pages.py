"""Addresses of the next pages of a page."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from synth.scraping.html_text import is_image_address, one_line
from synth.scraping.html_tree import Node
from synth.scraping.links import Links, link_types

MOST_NEXT = 20  # number of next pages of one page
_NEXT = re.compile(r"^(next( page)?|older( posts)?|more|›|»|→|>)( ?[›»→>])?$", re.IGNORECASE)


def find(tags: list[Node], links: Links, url: str) -> dict[str, None]:
    """Addresses of next pages on the same host, in order, at most ``MOST_NEXT + 1``."""
    host = urlsplit(url).hostname
    found: dict[str, None] = {}
    for tag in tags:
        if tag.name not in ("a", "link") or not tag.get("href"):
            continue
        if "next" not in link_types(tag):
            if tag.name == "link":
                continue
            labels = (one_line(tag.text(), 40), one_line(tag.get("aria-label"), 40))
            classes = set(tag.get("class").lower().split())
            if "next" not in classes and not any(map(_NEXT.match, labels)):
                continue
        target = links.absolute(tag.get("href"))
        if target and target != url and urlsplit(target).hostname == host:
            if not is_image_address(target):
                found.setdefault(target)
            if len(found) > MOST_NEXT:
                break
    return found
