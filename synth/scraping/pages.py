"""What a page shows: its images, the next pages, and under which licence. No network here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from bs4 import BeautifulSoup, NavigableString, SoupStrainer, Tag

from synth.scraping import manners
from synth.scraping.words import decode, is_image_address, join, largest, licence_name, plain

MOST = 10_000  # images taken from one page
_NEAR = 60  # descendants of a tag that are looked at
_LAZY = ("data-src", "data-original", "data-lazy-src", "data-full", "data-image")
_TAGS = ["a", "area", "base", "figure", "img", "link", "meta", "picture", "script"]
_TAGS += ["source", "title"]
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
    """

    images: tuple[Found, ...] = ()
    following: tuple[str, ...] = ()
    opted_out: bool = False


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


def read(html: bytes, url: str, charset: str = "") -> Page:
    """HTML as fetched from an address -> what it shows.

    Broken markup and encodings are read as browsers do; an address that makes no sense, is
    no http(s) or is too long is left out.
    """
    text = _closed(decode(html, charset))
    soup = BeautifulSoup(text, "html.parser", parse_only=SoupStrainer(_TAGS))
    tags = [t for t in soup.find_all(_TAGS) if isinstance(t, Tag)]
    robots = [
        _text(tag, "content")
        for tag in tags
        if tag.name == "meta" and _text(tag, "name").lower() in ("robots", manners.AGENT)
    ]
    base = url
    for tag in tags:
        if tag.name == "base" and _text(tag, "href"):
            base = join(url, _text(tag, "href")) or url
            break
    if manners.opted_out(robots):
        return Page(opted_out=True)
    described = _described(tags, base)
    name, licence_url = _page_licence(tags, base)
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
    for image, tag in _images(tags, base):
        if image in found or len(found) >= MOST:
            continue
        found[image] = _about(replace(whole, url=image), tag, described.each.get(image), base)
    nofollow = any("nofollow" in each.lower() or "none" in each.lower() for each in robots)
    return Page(tuple(found.values()), () if nofollow else _following(tags, base, url))


def _images(tags: list[Tag], base: str) -> Iterator[tuple[str, Tag]]:
    for tag in tags:
        address = ""
        if tag.name == "img":
            address = _of_img(tag, base)
        elif tag.name == "meta":
            wanted = ("og:image", "og:image:url", "og:image:secure_url")
            if (_text(tag, "property") or _text(tag, "name")).lower() in wanted:
                address = join(base, _text(tag, "content"))
        elif tag.name in ("a", "area"):
            target = join(base, _text(tag, "href"))
            address = target if is_image_address(target) else ""
        elif tag.name == "link" and "image_src" in _rel(tag):
            address = join(base, _text(tag, "href"))
        if address:
            yield address, tag


def _of_img(tag: Tag, base: str) -> str:
    """The best address of one img: what it links to, else its largest, else itself."""
    sets = [_text(tag, "srcset"), _text(tag, "data-srcset")]
    for parent in islice(tag.parents, 6):
        if parent.name == "a":
            target = join(base, _text(parent, "href"))
            if is_image_address(target):
                return target
        elif parent.name == "picture":
            for source in _inside(parent, "source"):
                kind = _text(source, "type").lower()
                if not kind or (kind.startswith("image/") and "svg" not in kind):
                    sets += [_text(source, "srcset"), _text(source, "data-srcset")]
    if joined := ", ".join(each.strip().rstrip(",") for each in sets if each.strip()):
        address = join(base, largest(joined))
        if address:
            return address
    for name in (*_LAZY, "src"):
        if address := join(base, _text(tag, name)):
            return address
    return ""


def _following(tags: list[Tag], base: str, url: str) -> tuple[str, ...]:
    host = urlsplit(url).hostname
    found: dict[str, None] = {}
    for tag in tags:
        if tag.name not in ("a", "link") or not _text(tag, "href"):
            continue
        if "next" not in _rel(tag):
            if tag.name == "link":
                continue
            labels = (plain(_shown(tag), 40), plain(_text(tag, "aria-label"), 40))
            classes = set(_text(tag, "class").lower().split())
            if "next" not in classes and not any(map(_NEXT.match, labels)):
                continue
        target = join(base, _text(tag, "href"))
        if target and urlsplit(target).hostname == host and not is_image_address(target):
            found.setdefault(target.partition("#")[0])
    found.pop(url, None)
    return tuple(found)[:20]


def _about(image: Found, tag: Tag, terms: _Terms | None, base: str) -> Found:
    """Add what JSON-LD, the image's own figure and its alternative text say."""
    figure = next((p for p in islice(tag.parents, 8) if p.name == "figure"), None)
    if figure is not None:
        for link in _inside(figure, "a", "link"):
            if "license" in _rel(link) and (target := join(base, _text(link, "href"))):
                name = licence_name(target) or plain(_shown(link), 80)
                image = replace(image, licence=name, licence_url=target)
    label = _text(tag, "alt") or _text(tag, "title")
    if tag.name == "a" and not label:
        label = next((_text(inner, "alt") for inner in _inside(tag, "img")), "")
    if label:
        image = replace(image, title=plain(label))
    if terms is None:
        return image
    image = replace(image, title=terms.title or image.title, author=terms.author or image.author)
    if terms.licence_url:
        licence = licence_name(terms.licence_url)
        image = replace(image, licence=licence, licence_url=terms.licence_url)
    return image


def _page_licence(tags: list[Tag], base: str) -> tuple[str, str]:
    """The licence link of the whole page; none where several could be meant."""
    found: dict[str, str] = {}
    for tag in tags:
        if tag.name in ("a", "link") and "license" in _rel(tag):
            if any(parent.name == "figure" for parent in islice(tag.parents, 8)):
                continue
            if target := join(base, _text(tag, "href")):
                found[target] = plain(_shown(tag), 80)
    return (next(iter(found.values())), next(iter(found))) if len(found) == 1 else ("", "")


def _described(tags: list[Tag], base: str) -> _Described:
    whole = _Terms()
    each: dict[str, _Terms] = {}
    for tag in tags:
        if tag.name != "script" or "ld+json" not in _text(tag, "type").lower():
            continue
        try:
            data = json.loads(tag.string or "")
        except (ValueError, RecursionError):
            continue
        for item in _items(data):
            terms = _terms(item, base)
            kinds = item.get("@type")
            kinds = kinds if isinstance(kinds, list) else [kinds]
            if "ImageObject" in kinds or "Photograph" in kinds:
                for key in ("contentUrl", "url", "@id"):
                    if isinstance(item.get(key), str) and (target := join(base, item[key])):
                        each.setdefault(target, terms)
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
        for item in data[:MOST]:
            if isinstance(item, (dict, list)):
                yield from _items(item, depth + 1)


def _terms(item: dict[str, Any], base: str) -> _Terms:
    return _Terms(
        plain(_name(item.get("name")) or _name(item.get("caption"))),
        plain(_name(item.get("creator")) or _name(item.get("author"))),
        join(base, _name(item.get("license"), "url") or _name(item.get("license"), "@id")),
    )


def _name(value: Any, key: str = "name") -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    if isinstance(value, dict):
        value = value.get(key)
    return value if isinstance(value, str) else ""


def _title(tags: list[Tag]) -> str:
    told = _meta(tags, "og:title")
    return told or next((plain(_shown(t)) for t in tags if t.name == "title"), "")


def _meta(tags: list[Tag], name: str) -> str:
    for tag in tags:
        if tag.name == "meta" and name in (_text(tag, "property"), _text(tag, "name").lower()):
            return plain(_text(tag, "content"))
    return ""


def _near(tag: Tag) -> Iterator[Any]:
    """The first few things within a tag: without that bound nesting would cost its square."""
    stack = list(reversed(tag.contents[:_NEAR]))
    for _ in range(_NEAR):
        if not stack:
            return
        each = stack.pop()
        yield each
        if isinstance(each, Tag):
            stack += reversed(each.contents[:_NEAR])


def _inside(tag: Tag, *names: str) -> list[Tag]:
    return [each for each in _near(tag) if isinstance(each, Tag) and each.name in names]


def _shown(tag: Tag) -> str:
    return " ".join(each for each in _near(tag) if isinstance(each, NavigableString))


def _closed(html: str) -> str:
    """Without what is opened at the end and never closed, where the parser takes its square."""
    html = html[: html.rfind(">") + 1]
    for opening, closing in (("<!--", "-->"), ("<![", "]")):
        end = html.rfind(closing) + 1
        html = html[:end] + html[end:].replace(opening, "")
    return html


def _text(tag: Any, name: str) -> str:
    value = tag.get(name)
    return (" ".join(value) if isinstance(value, list) else str(value or "")).strip()


def _rel(tag: Tag) -> set[str]:
    return set(_text(tag, "rel").lower().split())
