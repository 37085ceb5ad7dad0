"""What a page shows: its images, the next pages, and under which licence. No network here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlsplit

from synth.scraping import html_tree, manners
from synth.scraping.html_tree import Node
from synth.scraping.words import decode, is_image_address, join, largest, licence_name, plain

MOST = 10_000  # images taken from one page
MOST_NEXT = 20  # next pages taken from one page
MOST_TEXT = 5_000_000  # characters of what is noted of a page's images
MOST_WORK = 32_000_000  # characters of addresses that are made absolute, and of their base
MOST_OBJECTS = 20_000  # of a page's JSON-LD
_NEXT = re.compile(r"^(next( page)?|older( posts)?|more|›|»|→|>)( ?[›»→>])?$", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """The address of an image, with what its page or service says about it."""

    url: str
    page_url: str = ""
    title: str = ""
    author: str = ""
    licence: str = ""
    licence_url: str = ""


@dataclass(frozen=True)
class Page:
    """What was found.

    Args:
        images: in the order of the page, each address once.
        following: addresses of the next pages.
        opted_out: a robots meta tag forbids to take the images.
        cut: which limits left a part of the page unread, in words; nothing where it is whole.
    """

    images: tuple[Found, ...] = ()
    following: tuple[str, ...] = ()
    opted_out: bool = False
    cut: str = ""


@dataclass(frozen=True)
class _Terms:
    """What JSON-LD says about one image or the whole page."""

    title: str = ""
    author: str = ""
    licence_url: str = ""


@dataclass(frozen=True)
class _Described:
    whole: _Terms = field(default_factory=_Terms)
    each: dict[str, _Terms] = field(default_factory=dict)


class _Links:
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
            html_tree.check(self._until)
            # Each costs time in proportion to both: with the longest base, 0.3 ms.
            self._room -= len(self._base) + len(address)
            if self._room < 0:
                return ""
            known = self._known[address] = join(self._base, address)
        return known


def read(html: bytes, url: str, charset: str = "", until: float = math.inf) -> Page:
    """HTML as fetched from an address -> what it shows.

    Broken markup and encodings are read as browsers do; an address that makes no sense, is
    no http(s) or is too long is left out.

    Args:
        until: on the monotonic clock, when to give up.

    Raises:
        Problem: it is not read by then.
    """
    tags, cut = html_tree.read(decode(html, charset), until)
    cuts = [cut] if cut else []
    robots = [
        tag.get("content")
        for tag in tags
        if tag.name == "meta" and tag.get("name").lower() in ("robots", manners.AGENT)
    ]
    if manners.opted_out(robots):
        return Page(opted_out=True)
    base = next((tag.get("href") for tag in tags if tag.name == "base" and tag.get("href")), "")
    links = _Links(join(url, base) or url, until)
    described = _described(tags, links, cuts)
    name, licence_url = _page_licence(tags, links)
    whole = Found(
        "",
        url,
        described.whole.title or _title(tags),
        described.whole.author or _meta(tags, "author"),
        "",
        described.whole.licence_url or licence_url,
    )
    if whole.licence_url:
        whole = replace(whole, licence=licence_name(whole.licence_url) or name)
    found: dict[str, Found] = {}
    room = MOST_TEXT
    figures: dict[Node, tuple[str, str]] = {}
    for image, tag in _images(tags, links):
        html_tree.check(until)
        if image in found:
            continue
        if len(found) >= MOST:
            cuts.append(f"more than {MOST} images")
            break
        about = replace(whole, url=image)
        about = _about(about, tag, described.each.get(image), links, figures)
        room -= sum(len(getattr(about, each.name)) for each in fields(Found))
        if room < 0:
            cuts.append(f"more than {MOST_TEXT} characters about its images")
            break
        found[image] = about
    nofollow = any("nofollow" in each.lower() or "none" in each.lower() for each in robots)
    following = [] if nofollow else list(_following(tags, links, url))
    if len(following) > MOST_NEXT:
        cuts.append(f"more than {MOST_NEXT} next pages")
    if links.cut:
        cuts.append(links.cut)
    return Page(tuple(found.values()), tuple(following[:MOST_NEXT]), cut="; ".join(cuts))


def _images(tags: list[Node], links: _Links) -> Iterator[tuple[str, Node]]:
    best: dict[Node, tuple[str, float]] = {}  # candidate of each picture and source
    for tag in tags:
        address = ""
        if tag.name == "img":
            address = _of_img(tag, links, best)
        elif tag.name == "meta":
            wanted = ("og:image", "og:image:url", "og:image:secure_url")
            if (tag.get("property") or tag.get("name")).lower() in wanted:
                address = links.absolute(tag.get("content"))
        elif tag.name in ("a", "area"):
            address = _target(tag, links)
        elif tag.name == "link" and "image_src" in _rel(tag):
            address = links.absolute(tag.get("href"))
        if address:
            yield address, tag


def _target(tag: Node, links: _Links) -> str:
    """The address that a link leads to, where it is an image's."""
    href = tag.get("href")
    return links.absolute(href) if is_image_address(href) else ""


def _of_img(tag: Node, links: _Links, best: dict[Node, tuple[str, float]]) -> str:
    """The best address of one img: what it links to, else its largest, else itself.

    ``best`` holds what is known of the pictures around the images, and is added to.
    """
    found = _candidate(tag)
    for parent in tag.parents(6):
        if parent.name == "a":
            if target := _target(parent, links):
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
    """The largest candidate of a tag's srcset, the first of equals: its address and size."""
    return max(largest(tag.get("srcset")), largest(tag.get("data-srcset")), key=_size)


def _size(candidate: tuple[str, float]) -> float:
    return candidate[1]


def _is_photo(source: Node) -> bool:
    kind = source.get("type").lower()
    return not kind or (kind.startswith("image/") and "svg" not in kind)


def _following(tags: list[Node], links: _Links, url: str) -> dict[str, None]:
    """The addresses of the next pages on the same host; one more than are taken, where so."""
    host = urlsplit(url).hostname
    found: dict[str, None] = {}
    for tag in tags:
        if tag.name not in ("a", "link") or not tag.get("href"):
            continue
        if "next" not in _rel(tag):
            if tag.name == "link":
                continue
            labels = (plain(tag.shown(), 40), plain(tag.get("aria-label"), 40))
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


def _about(
    image: Found,
    tag: Node,
    terms: _Terms | None,
    links: _Links,
    figures: dict[Node, tuple[str, str]],
) -> Found:
    """Add what JSON-LD, the image's own figure and its alternative text say.

    ``figures`` holds the licences of the figures that are known, and is added to.
    """
    figure = next((each for each in tag.parents(8) if each.name == "figure"), None)
    if figure is not None:
        if figure not in figures:
            figures[figure] = _figure_licence(figure, links)
        name, address = figures[figure]
        if address:
            image = replace(image, licence=name, licence_url=address)
    label = tag.get("alt") or tag.get("title")
    if tag.name == "a" and not label:
        label = next((inner.get("alt") for inner in tag.inside("img")), "")
    if label:
        image = replace(image, title=plain(label))
    if terms is None:
        return image
    image = replace(image, title=terms.title or image.title, author=terms.author or image.author)
    if terms.licence_url:
        licence = licence_name(terms.licence_url)
        image = replace(image, licence=licence, licence_url=terms.licence_url)
    return image


def _figure_licence(figure: Node, links: _Links) -> tuple[str, str]:
    """Name and address of the licence that a figure links to, the last of several."""
    found = ("", "")
    for link in figure.inside("a", "link"):
        if "license" in _rel(link) and (target := links.absolute(link.get("href"))):
            found = (licence_name(target) or plain(link.shown(), 80), target)
    return found


def _page_licence(tags: list[Node], links: _Links) -> tuple[str, str]:
    """The licence link of the whole page; none where several could be meant."""
    found: dict[str, str] = {}
    for tag in tags:
        if tag.name in ("a", "link") and "license" in _rel(tag):
            if any(parent.name == "figure" for parent in tag.parents(8)):
                continue
            if target := links.absolute(tag.get("href")):
                found[target] = plain(tag.shown(), 80)
                if len(found) > 1:
                    break
    return (next(iter(found.values())), next(iter(found))) if len(found) == 1 else ("", "")


def _described(tags: list[Node], links: _Links, cuts: list[str]) -> _Described:
    """What the page's JSON-LD says; where a limit leaves a part out, ``cuts`` gets its name."""
    whole = _Terms()
    each: dict[str, _Terms] = {}
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
    return _Described(whole, each)


def _items(data: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    if depth > 6:
        return
    if isinstance(data, dict):
        yield data
        data = list(data.values())
    if isinstance(data, list):
        for item in data:
            if isinstance(item, (dict, list)):
                yield from _items(item, depth + 1)


def _terms(item: dict[str, Any], links: _Links) -> _Terms:
    return _Terms(
        plain(_name(item.get("name")) or _name(item.get("caption"))),
        plain(_name(item.get("creator")) or _name(item.get("author"))),
        links.absolute(_name(item.get("license"), "url") or _name(item.get("license"), "@id")),
    )


def _name(value: Any, key: str = "name") -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, dict):
        value = value.get(key)
    return value if isinstance(value, str) else ""


def _title(tags: list[Node]) -> str:
    told = _meta(tags, "og:title")
    return told or next((plain(tag.shown()) for tag in tags if tag.name == "title"), "")


def _meta(tags: list[Node], name: str) -> str:
    for tag in tags:
        if tag.name == "meta" and name in (tag.get("property"), tag.get("name").lower()):
            return plain(tag.get("content"))
    return ""


def _rel(tag: Node) -> set[str]:
    return set(tag.get("rel").lower().split())
