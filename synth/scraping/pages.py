"""Parsing of a page: its images with metadata, and its next pages. No network is used."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from synth.scraping import (
    html_tree,
    image_addresses,
    json_ld,
    licence_links,
    next_pages,
    politeness,
)
from synth.scraping.html_text import decode, join_url, licence_name, one_line
from synth.scraping.html_tree import Node
from synth.scraping.json_ld import Terms
from synth.scraping.links import Links
from synth.scraping.next_pages import MOST_NEXT

MOST = 10_000  # number of images of one page
MOST_TEXT = 5_000_000  # characters of the metadata of a page's images


@dataclass(frozen=True)
class FoundImage:
    """The address of an image with metadata from its page or service."""

    url: str
    page_url: str = ""
    title: str = ""
    author: str = ""
    licence: str = ""
    licence_url: str = ""


@dataclass(frozen=True)
class Page:
    """The result of parsing a page.

    Args:
        images: images in the order of the page, each address once.
        following: addresses of the next pages.
        opted_out: whether a robots meta tag forbids the use of the images.
        cut: the limits that left a part of the page unread, in words, or "".
    """

    images: tuple[FoundImage, ...] = ()
    following: tuple[str, ...] = ()
    opted_out: bool = False
    cut: str = ""


def read(html: bytes, url: str, charset: str = "", until: float = math.inf) -> Page:
    """Parses an HTML page.

    Broken markup and encodings are handled as browsers do. Addresses that are invalid, too long
    or not http(s) are left out.

    Args:
        html: the bytes of the page.
        url: its address.
        charset: charset in the HTTP header, or "".
        until: deadline on the monotonic clock.

    Raises:
        Problem: the deadline has passed.
    """
    tags, cut = html_tree.read(decode(html, charset), until)
    cuts = [cut] if cut else []
    robots = [
        tag.get("content")
        for tag in tags
        if tag.name == "meta" and tag.get("name").lower() in ("robots", politeness.AGENT)
    ]
    if politeness.forbids_use(robots):
        return Page(opted_out=True)
    base = next((tag.get("href") for tag in tags if tag.name == "base" and tag.get("href")), "")
    links = Links(join_url(url, base) or url, until)
    described = json_ld.read(tags, links, cuts)
    name, licence_url = licence_links.page_licence(tags, links)
    whole = FoundImage(
        "",
        url,
        described.whole.title or _title(tags),
        described.whole.author or _meta(tags, "author"),
        "",
        described.whole.licence_url or licence_url,
    )
    if whole.licence_url:
        whole = replace(whole, licence=licence_name(whole.licence_url) or name)
    found: dict[str, FoundImage] = {}
    room = MOST_TEXT
    figures: dict[Node, tuple[str, str]] = {}
    for image, tag in image_addresses.find(tags, links):
        html_tree.check_deadline(until)
        if image in found:
            continue
        if len(found) >= MOST:
            cuts.append(f"more than {MOST} images")
            break
        about = replace(whole, url=image)
        about = _about(about, tag, described.each.get(image), links, figures)
        room -= sum(len(getattr(about, each.name)) for each in fields(FoundImage))
        if room < 0:
            cuts.append(f"more than {MOST_TEXT} characters of metadata of its images")
            break
        found[image] = about
    nofollow = any("nofollow" in each.lower() or "none" in each.lower() for each in robots)
    following = [] if nofollow else list(next_pages.find(tags, links, url))
    if len(following) > MOST_NEXT:
        cuts.append(f"more than {MOST_NEXT} next pages")
    if links.cut:
        cuts.append(links.cut)
    return Page(tuple(found.values()), tuple(following[:MOST_NEXT]), cut="; ".join(cuts))


def _about(
    image: FoundImage,
    tag: Node,
    terms: Terms | None,
    links: Links,
    figures: dict[Node, tuple[str, str]],
) -> FoundImage:
    """Adds metadata from JSON-LD, the figure and the alternative text to an image.

    ``figures`` caches the licences of figures.
    """
    figure = next((each for each in tag.parents(8) if each.name == "figure"), None)
    if figure is not None:
        if figure not in figures:
            figures[figure] = licence_links.figure_licence(figure, links)
        name, address = figures[figure]
        if address:
            image = replace(image, licence=name, licence_url=address)
    label = tag.get("alt") or tag.get("title")
    if tag.name == "a" and not label:
        label = next((inner.get("alt") for inner in tag.inside("img")), "")
    if label:
        image = replace(image, title=one_line(label))
    if terms is None:
        return image
    image = replace(image, title=terms.title or image.title, author=terms.author or image.author)
    if terms.licence_url:
        licence = licence_name(terms.licence_url)
        image = replace(image, licence=licence, licence_url=terms.licence_url)
    return image


def _title(tags: list[Node]) -> str:
    title = _meta(tags, "og:title")
    return title or next((one_line(tag.text()) for tag in tags if tag.name == "title"), "")


def _meta(tags: list[Node], name: str) -> str:
    for tag in tags:
        if tag.name == "meta" and name in (tag.get("property"), tag.get("name").lower()):
            return one_line(tag.get("content"))
    return ""
