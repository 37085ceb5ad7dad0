"""Parsing of the relevant tags of a page in linear time and bounded memory.

lxml parses the page in pieces and reports its tags one by one. Only relevant tags are kept, each
with the relevant tag around it. So memory does not grow with the size or depth of the page, and a
limit or the deadline can end the parsing between two pieces.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from synth.scraping.html_text import LONGEST
from synth.scraping.outcomes import Outcome, Problem

TAGS = 300_000  # number of tags of one page
DEPTH = 1_000  # nesting depth; the time for an end tag is proportional to it
ATTRIBUTES = 1_000  # number of attributes of one tag
NEAR = 60  # number of children that are kept, and of descendants that are searched
_LABEL = 400  # characters of one text that are kept
_PIECE = 1 << 16  # characters parsed between two checks of the deadline
LAZY = ("data-src", "data-original", "data-lazy-src", "data-full", "data-image")
_LISTS = frozenset({"srcset", "data-srcset"})  # lists of addresses, which are not cut
_NAMES = _LISTS.union(
    ("alt", "aria-label", "class", "content", "href", "name", "property", "rel", "src", "title"),
    ("type", *LAZY),
)
_VOID = frozenset({"area", "base", "img", "link", "meta", "source"})  # tags without content
_WANTED = _VOID | {"a", "figure", "picture", "script", "title"}


@dataclass(eq=False, slots=True)
class Node:
    """A relevant tag.

    Args:
        name: name in lower case.
        attributes: relevant attributes without surrounding spaces, cut after the length of the
            longest valid address.
        parent: the relevant tag around it.
        children: the first relevant tags and texts inside it.
        script: the whole text of a script.
    """

    name: str
    attributes: dict[str, str]
    parent: Node | None
    children: list[Node | str] = field(default_factory=list)
    script: io.StringIO | None = None

    def get(self, name: str) -> str:
        """The value of an attribute, or ""."""
        return self.attributes.get(name, "")

    def parents(self, most: int) -> Iterator[Node]:
        """Yields at most ``most`` relevant tags around this one, the nearest first."""
        at = self.parent
        while at is not None and most > 0:
            yield at
            at = at.parent
            most -= 1

    def near(self) -> Iterator[Node | str]:
        """Yields the first :data:`NEAR` tags and texts inside this tag, to keep the time linear."""
        stack = self.children[::-1]
        for _ in range(NEAR):
            if not stack:
                return
            each = stack.pop()
            yield each
            if isinstance(each, Node):
                stack += each.children[::-1]

    def inside(self, *names: str) -> list[Node]:
        """The tags with these names in :meth:`near`."""
        return [each for each in self.near() if isinstance(each, Node) and each.name in names]

    def text(self) -> str:
        """The texts in :meth:`near`."""
        return " ".join(each for each in self.near() if isinstance(each, str))


class _Cut(Exception):
    """A limit ended the parsing; the message names it."""


class _Collector:
    """The parser target of lxml that collects relevant tags."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._open: list[Node] = []
        self._tags = 0
        self._depth = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Called at a start tag."""
        self._tags += 1
        self._depth += 1
        if self._tags > TAGS:
            raise _Cut(f"more than {TAGS} tags")
        if self._depth > DEPTH:
            raise _Cut(f"tags nested deeper than {DEPTH}")
        if len(attributes) > ATTRIBUTES:
            raise _Cut(f"a tag with more than {ATTRIBUTES} attributes")
        parent = self._open[-1] if self._open else None
        if name not in _WANTED:
            if parent is not None:
                _separate_words(parent)
            return
        values = {
            key: value.strip() if key in _LISTS else value.strip()[: LONGEST + 1]
            for key, value in attributes.items()
            if key in _NAMES
        }
        node = Node(name, values, parent)
        if name == "script":
            if "ld+json" not in node.get("type").lower():
                return
            node.script = io.StringIO()
        if parent is not None and len(parent.children) < NEAR:
            parent.children.append(node)
        self.nodes.append(node)
        if name not in _VOID:
            self._open.append(node)

    def end(self, name: str) -> None:
        """Called at an end tag; lxml adds missing end tags."""
        self._depth -= 1
        if self._open and name not in _VOID:
            if self._open[-1].name == name:
                self._open.pop()
            else:
                _separate_words(self._open[-1])

    def data(self, text: str) -> None:
        """Called with a piece of text."""
        if not self._open:
            return
        node = self._open[-1]
        if node.script is not None:
            node.script.write(text)
            return
        children = node.children
        if children and isinstance(last := children[-1], str):
            if len(last) < _LABEL:
                children[-1] = last + text[:_LABEL]
        elif len(children) < NEAR and (text := text.lstrip()):
            children.append(text[:_LABEL])

    def close(self) -> None:
        """Called at the end of the page."""


def _separate_words(node: Node) -> None:
    """Adds a space, so that words before and after another tag stay separate."""
    if node.children and isinstance(last := node.children[-1], str) and not last.endswith(" "):
        node.children[-1] = last + " "


def read(text: str, until: float) -> tuple[list[Node], str]:
    """HTML -> its relevant tags in order, and the limit that ended the parsing, or "".

    Args:
        text: the HTML.
        until: deadline on the monotonic clock.

    Raises:
        Problem: the deadline has passed.
    """
    collector = _Collector()
    parser = etree.HTMLParser(target=collector, encoding="utf-8")
    try:
        for start in range(0, len(text), _PIECE):
            parser.feed(text[start : start + _PIECE].encode("utf-8", "replace"))
            check_deadline(until)
        parser.close()
    except _Cut as cut:
        return collector.nodes, str(cut)
    except etree.LxmlError:  # there is no tag
        pass
    return collector.nodes, ""


def check_deadline(until: float) -> None:
    """Raises Problem if the deadline, on the monotonic clock, has passed."""
    if time.monotonic() > until:
        raise Problem(Outcome.TIMED_OUT)


class _Text:
    """The parser target of lxml that collects text only."""

    def __init__(self) -> None:
        self.text = io.StringIO()

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.text.write(" ")

    def end(self, name: str) -> None:
        self.text.write(" ")

    def data(self, text: str) -> None:
        self.text.write(text)

    def close(self) -> None: ...


def text_of(html: str) -> str:
    """HTML -> its text without tags.

    >>> text_of("<a href='x'>Ann &amp; Bob</a>").strip()
    'Ann & Bob'
    """
    reporter = _Text()
    parser = etree.HTMLParser(target=reporter, encoding="utf-8")
    try:
        parser.feed(html.encode("utf-8", "replace"))
        parser.close()
    except etree.LxmlError:
        pass
    return reporter.text.getvalue()
