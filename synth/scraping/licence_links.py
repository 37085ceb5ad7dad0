"""Licences from links with rel="license", of a page and of its figures."""

from __future__ import annotations

from synth.scraping.html_text import licence_name, one_line
from synth.scraping.html_tree import Node
from synth.scraping.links import Links, link_types


def page_licence(tags: list[Node], links: Links) -> tuple[str, str]:
    """Name and address of the licence of the page; "" and "" unless it links to exactly one."""
    found: dict[str, str] = {}
    for tag in tags:
        if tag.name in ("a", "link") and "license" in link_types(tag):
            if any(parent.name == "figure" for parent in tag.parents(8)):
                continue
            if target := links.absolute(tag.get("href")):
                found[target] = one_line(tag.text(), 80)
                if len(found) > 1:
                    break
    return (next(iter(found.values())), next(iter(found))) if len(found) == 1 else ("", "")


def figure_licence(figure: Node, links: Links) -> tuple[str, str]:
    """Name and address of the last licence that a figure links to; "" and "" without one."""
    found = ("", "")
    for link in figure.inside("a", "link"):
        if "license" in link_types(link) and (target := links.absolute(link.get("href"))):
            found = (licence_name(target) or one_line(link.text(), 80), target)
    return found
