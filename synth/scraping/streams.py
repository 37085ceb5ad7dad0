"""The queues of pages and images of each source during a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from synth.scraping.pages import FoundImage
from synth.scraping.sources import Kind, Source


@dataclass(eq=False)
class Stream:
    """The queues of one source.

    Args:
        kind: kind of the source.
        licence: licence of images without a licence of their own.
        pages: pages to read, each with address and depth.
        seen: addresses of all pages that were read or are in ``pages``.
        images: images without an outcome, in the order of the pages.
        submitted: number of images at the front that are being fetched or have been fetched.
        reading: address of the page that is being fetched, or "".
    """

    kind: Kind
    licence: str
    pages: deque[tuple[str, int]] = field(default_factory=deque)
    seen: set[str] = field(default_factory=set)
    images: deque[FoundImage] = field(default_factory=deque)
    submitted: int = 0
    reading: str = ""

    def is_exhausted(self) -> bool:
        """Whether the source has no more pages and images."""
        return not (self.images or self.pages or self.reading)


def open_streams(found: Sequence[Source]) -> Iterator[Stream]:
    """Yields a stream for each source, and one for all addresses of images."""
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
