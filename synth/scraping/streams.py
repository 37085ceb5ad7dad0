"""Sources under way: what remains to be read and fetched of each."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from synth.scraping.pages import FoundImage
from synth.scraping.sources import Kind, Source


@dataclass(eq=False)
class Stream:
    """A source under way: pages to read, then images in the order found.

    Args:
        kind: of the source.
        licence: of its images, where they give none.
        pages: addresses of the pages to read, each with its depth.
        seen: addresses of all pages that were read or are in ``pages``.
        images: that are not decided yet.
        submitted: how many of the first images are on their way or known.
        reading: the address of the page on its way; empty where none is.
    """

    kind: Kind
    licence: str
    pages: deque[tuple[str, int]] = field(default_factory=deque)
    seen: set[str] = field(default_factory=set)
    images: deque[FoundImage] = field(default_factory=deque)
    submitted: int = 0
    reading: str = ""

    def is_exhausted(self) -> bool:
        """Whether nothing of the source remains to be done."""
        return not (self.images or self.pages or self.reading)


def open_streams(found: Sequence[Source]) -> Iterator[Stream]:
    """A stream for each source; addresses of images share one."""
    images: dict[str, Stream] = {}
    for source in found:
        if source.kind != "image":
            stream = Stream(source.kind, source.licence, deque([(source.start, 0)]))
            stream.seen.add(source.start)
            yield stream
            continue
        image = FoundImage(source.start, licence=source.licence)
        if "images" not in images:
            images["images"] = Stream("image", "")
        images["images"].images.append(image)
    yield from images.values()
