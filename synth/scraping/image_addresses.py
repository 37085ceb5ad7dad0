"""Addresses of the images of a page, in the largest size that the page offers."""

from __future__ import annotations

from collections.abc import Iterator

from synth.scraping import html_tree
from synth.scraping.html_text import largest_candidate
from synth.scraping.html_tree import Node
from synth.scraping.links import Links, image_target, link_types


def find(tags: list[Node], links: Links) -> Iterator[tuple[str, Node]]:
    """Yields the address of each image and its tag, in the order of the page."""
    best: dict[Node, tuple[str, float]] = {}  # largest candidate of picture and source tags
    for tag in tags:
        address = ""
        if tag.name == "img":
            address = _of_img(tag, links, best)
        elif tag.name == "meta":
            wanted = ("og:image", "og:image:url", "og:image:secure_url")
            if (tag.get("property") or tag.get("name")).lower() in wanted:
                address = links.absolute(tag.get("content"))
        elif tag.name in ("a", "area"):
            address = image_target(tag, links)
        elif tag.name == "link" and "image_src" in link_types(tag):
            address = links.absolute(tag.get("href"))
        if address:
            yield address, tag


def _of_img(tag: Node, links: Links, best: dict[Node, tuple[str, float]]) -> str:
    """Address of an img tag: the linked image, else the largest candidate, else its own.

    ``best`` caches the candidates of picture and source tags.
    """
    found = _candidate(tag)
    for parent in tag.parents(6):
        if parent.name == "a":
            if target := image_target(parent, links):
                return target
        elif parent.name == "picture":
            if parent not in best:
                inner = [each for each in parent.inside("source") if _is_photo(each)]
                best |= {each: _candidate(each) for each in inner if each not in best}
                best[parent] = max([best[each] for each in inner], key=_size, default=("", 0.0))
            found = max(found, best[parent], key=_size)
    if address := links.absolute(found[0]):
        return address
    for name in (*html_tree.LAZY, "src"):
        if address := links.absolute(tag.get(name)):
            return address
    return ""


def _candidate(tag: Node) -> tuple[str, float]:
    """Address and size of the largest candidate in a tag's srcset."""
    return max(
        largest_candidate(tag.get("srcset")), largest_candidate(tag.get("data-srcset")), key=_size
    )


def _size(candidate: tuple[str, float]) -> float:
    return candidate[1]


def _is_photo(source: Node) -> bool:
    """Whether a source tag can be a photo by its type."""
    kind = source.get("type").lower()
    return not kind or (kind.startswith("image/") and "svg" not in kind)
