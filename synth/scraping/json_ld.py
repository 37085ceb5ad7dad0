"""What a page's JSON-LD says about its images and about the page as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from synth.scraping.html_text import one_line
from synth.scraping.html_tree import Node
from synth.scraping.links import Links

MOST_OBJECTS = 20_000  # of a page's JSON-LD


@dataclass(frozen=True)
class Terms:
    """What JSON-LD says about one image or the whole page."""

    title: str = ""
    author: str = ""
    licence_url: str = ""


@dataclass(frozen=True)
class Descriptions:
    """What JSON-LD says.

    Args:
        whole: about the page.
        each: about images, by their addresses.
    """

    whole: Terms = field(default_factory=Terms)
    each: dict[str, Terms] = field(default_factory=dict)


def read(tags: list[Node], links: Links, cuts: list[str]) -> Descriptions:
    """What the page's JSON-LD says; where a limit leaves a part out, ``cuts`` gets its name."""
    whole = Terms()
    each: dict[str, Terms] = {}
    objects = 0
    for tag in tags:
        if tag.script is None or objects > MOST_OBJECTS:
            continue
        try:
            data = json.loads(tag.script.getvalue())
        except RecursionError:
            cuts.append("JSON-LD nested too deep")
            continue
        except ValueError:
            continue
        for item in _items(data):
            objects += 1
            if objects > MOST_OBJECTS:
                cuts.append(f"more than {MOST_OBJECTS} objects of JSON-LD")
                break
            terms = _terms(item, links)
            kinds = item.get("@type")
            kinds = kinds if isinstance(kinds, list) else [kinds]
            if "ImageObject" in kinds or "Photograph" in kinds:
                for key in ("contentUrl", "url", "@id"):
                    if isinstance(item.get(key), str):
                        each.setdefault(links.absolute(item[key]), terms)
            elif terms.licence_url and not whole.licence_url:
                whole = terms
    return Descriptions(whole, each)


def _items(data: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The objects in parsed JSON, down to a few levels of nesting, outer ones first."""
    if depth > 6:
        return
    if isinstance(data, dict):
        yield data
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            if isinstance(item, (dict, list)):
                yield from _items(item, depth + 1)


def _terms(item: dict[str, Any], links: Links) -> Terms:
    """Title, author and licence of one object."""
    return Terms(
        one_line(_name(item.get("name")) or _name(item.get("caption"))),
        one_line(_name(item.get("creator")) or _name(item.get("author"))),
        links.absolute(_name(item.get("license"), "url") or _name(item.get("license"), "@id")),
    )


def _name(value: Any, key: str = "name") -> str:
    """The text of a property: its own, or that under ``key`` of its first object."""
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, dict):
        value = value.get(key)
    return value if isinstance(value, str) else ""
