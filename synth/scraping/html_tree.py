"""The tags of a page that matter here, read in linear time and bounded memory. No network here.

lxml reads the page in pieces and reports its tags one after the other; only the wanted ones are
kept, each with the wanted tag that it lies in. So neither the size of a tree nor its depth costs
memory, and a limit or the deadline ends the reading between two pieces.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from synth.scraping.html_text import LONGEST
from synth.scraping.outcomes import Outcome, Problem

TAGS = 300_000  # of one page, wanted or not
DEPTH = 1_000  # an end tag costs time in proportion to it
ATTRIBUTES = 1_000  # of one tag
NEAR = 60  # children of a tag, and descendants looked at
_LABEL = 400  # characters of one text kept
_PIECE = 1 << 16  # characters read between two looks at the clock
LAZY = ("data-src", "data-original", "data-lazy-src", "data-full", "data-image")
_LISTS = frozenset({"srcset", "data-srcset"})  # of addresses, as long as they are
_NAMES = _LISTS.union(
    ("alt", "aria-label", "class", "content", "href", "name", "property", "rel", "src", "title"),
    ("type", *LAZY),
)
_VOID = frozenset({"area", "base", "img", "link", "meta", "source"})  # tags without content
_WANTED = _VOID | {"a", "figure", "picture", "script", "title"}


@dataclass(eq=False, slots=True)
class Node:
    """A wanted tag.

    Args:
        name: in lower case.
        attributes: the values of those that matter, without blanks around them, and cut behind
            the longest address that is taken.
        parent: the wanted tag that it lies in.
        children: the first wanted tags and texts within it.
        script: the text of a script, whole.
    """

    name: str
    attributes: dict[str, str]
    parent: Node | None
    children: list[Node | str] = field(default_factory=list)
    script: io.StringIO | None = None

    def get(self, name: str) -> str:
        """An attribute's value; nothing where there is none."""
        return self.attributes.get(name, "")

    def parents(self, most: int) -> Iterator[Node]:
        """The wanted tags around it, the nearest first."""
        at = self.parent
        while at is not None and most > 0:
            yield at
            at = at.parent
            most -= 1

    def near(self) -> Iterator[Node | str]:
        """The first few tags and texts within it: without that bound nesting costs its square."""
        stack = self.children[::-1]
        for _ in range(NEAR):
            if not stack:
                return
            each = stack.pop()
            yield each
            if isinstance(each, Node):
                stack += each.children[::-1]

    def inside(self, *names: str) -> list[Node]:
        """The tags of these names among the nearest things within it."""
        return [each for each in self.near() if isinstance(each, Node) and each.name in names]

    def text(self) -> str:
        """The text within it, as far as it is kept."""
        return " ".join(each for each in self.near() if isinstance(each, str))


class _Cut(Exception):
    """Which limit ends the reading."""


class _Collector:
    """What lxml reports a page to."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._open: list[Node] = []
        self._tags = 0
        self._depth = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """A tag begins."""
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
        """A tag ends; lxml closes what a page leaves open, so that starts and ends are paired."""
        self._depth -= 1
        if self._open and name not in _VOID:
            if self._open[-1].name == name:
                self._open.pop()
            else:
                _separate_words(self._open[-1])

    def data(self, text: str) -> None:
        """Text, in pieces as they come."""
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
        """The page ends."""


def _separate_words(node: Node) -> None:
    """Keep the words before and after another tag apart."""
    if node.children and isinstance(last := node.children[-1], str) and not last.endswith(" "):
        node.children[-1] = last + " "


def read(text: str, until: float) -> tuple[list[Node], str]:
    """HTML -> its wanted tags in their order, and the limit that cut it short, in words.

    Args:
        until: on the monotonic clock, when to give up.

    Raises:
        Problem: it is not read by then.
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
    except etree.LxmlError:  # nothing in it is a tag
        pass
    return collector.nodes, ""


def check_deadline(until: float) -> None:
    """Give up where it is late.

    Raises:
        Problem: it is.
    """
    if time.monotonic() > until:
        raise Problem(Outcome.TIMED_OUT)


class _Text:
    """What lxml reports a piece of HTML to whose text alone counts."""

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
    """The text of a piece of HTML, without its tags.

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
