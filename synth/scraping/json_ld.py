"""Title, author and licence in the JSON-LD of a page, for images and the whole page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from synth.scraping.html_text import one_line
from synth.scraping.html_tree import Node
from synth.scraping.links import Links

MOST_OBJECTS = 20_000  # number of objects in the JSON-LD of a page


@dataclass(frozen=True)
class Terms:
    """Metadata of one image or of the whole page."""

    title: str = ""
    author: str = ""
    licence_url: str = ""


@dataclass(frozen=True)
class Descriptions:
    """Metadata in JSON-LD.

    Args:
        whole: of the page.
        each: address of an image -> metadata of the image.
    """

    whole: Terms = field(default_factory=Terms)
    each: dict[str, Terms] = field(default_factory=dict)


def read(tags: list[Node], links: Links, cuts: list[str]) -> Descriptions:
    """Reads the JSON-LD of a page; appends to ``cuts`` the limits that left a part out."""
    whole = Terms()
    each: dict[str, Terms] = {}
    objects = 0
    for tag in tags:
        if tag.script is None or objects > MOST_OBJECTS:
            continue
        try:
            data = json.loads(tag.script.getvalue())
        except RecursionError:
            cuts.append("JSON-LD nested too deeply")
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
    """Yields the objects in parsed JSON down to 6 levels of nesting, outer ones first."""
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
    """The text of a property: its value, or the value of ``key`` in its first object."""
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, dict):
        value = value.get(key)
    return value if isinstance(value, str) else ""
