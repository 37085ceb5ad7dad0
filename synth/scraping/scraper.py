"""The run: sources to photos in a folder, in an order that no timing changes.

Addresses are fetched several at a time, but decided one after the other: a photo of each
source in turn, in the order of its pages. So the same answers give the same set, with or
without an interruption.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from synth.paths import path_of
from synth.scraping import interrupt, politeness, sources
from synth.scraping.downloads import Downloads
from synth.scraping.fetcher import Fetcher, LocalError
from synth.scraping.inspection import Picture
from synth.scraping.manifest import INCOMING, Collection, Row
from synth.scraping.options import Options
from synth.scraping.outcomes import Outcome, Problem
from synth.scraping.pages import FoundImage, Page
from synth.scraping.sources import Source
from synth.scraping.streams import Stream, open_streams
from synth.scraping.traffic import Request, Traffic

Progress = Callable[[int, int], None]
_AHEAD = 1000  # addresses fetched before their turn: their files wait on the disk
_PAGES_PER_DEPTH = 10  # pages of a source at most, for each step of the depth
_MIN_IMAGES = 64  # known images of a source below which its next page is read


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Args:
        outcomes: over all runs of the folder.
        rows: the photos in the folder.
        interrupted: before its end, by Ctrl-C.
        notes: what a limit left out, a sentence for each page.
    """

    outcomes: dict[Outcome, int]
    rows: list[Row]
    interrupted: bool
    notes: list[str] = field(default_factory=list)


def scrape(
    words: Sequence[str],
    out: str | Path,
    options: Options | None = None,
    *,
    retry_failed: bool = False,
    progress: Progress | None = None,
    stop: threading.Event | None = None,
) -> Summary:
    """Collect photos from sources into the folder ``out``, and go on where a run stopped.

    Args:
        words: sources, as on the command line.
        retry_failed: try addresses again that failed for a reason that may have passed.
        progress: called with photos saved and photos wanted.
        stop: ends the run when it is set; where there is none, the first Ctrl-C does.

    Raises:
        InputError: bad input, or a folder that is not ours.
        OSError: the disk is full; what was saved is kept.
    """
    options = options or Options()
    found = sources.parse(words, options.endpoints)
    collection = Collection(path_of(out), retry_failed, options.keep_duplicates)
    agent = politeness.user_agent(importlib.metadata.version("acuity"), options.contact)
    fetcher = Fetcher(agent, options.bounds, options.allow_private)
    traffic = Traffic(fetcher, options.politeness)
    interrupted = False
    end = ""
    try:
        noted = ("limit", "min_side", "depth", "keep_duplicates")
        told = {name: getattr(options, name) for name in noted}
        collection.start([source.word for source in found], told, _now())
        with interrupt.defer_sigint() if stop is None else contextlib.nullcontext(stop) as wish:
            _Run(collection, fetcher, traffic, options, progress).run(found, wish)
        interrupted = wish.is_set()
        end = "" if interrupted else _now()
    except KeyboardInterrupt:
        interrupted = True
    except LocalError as error:
        raise error.error from None
    finally:
        traffic.close()
        collection.close(end)
    return Summary(collection.counts(), collection.rows, interrupted, collection.notes)


class _Run:
    """The state of one run; used by one thread."""

    def __init__(
        self,
        collection: Collection,
        fetcher: Fetcher,
        traffic: Traffic,
        options: Options,
        progress: Progress | None,
    ) -> None:
        self._collection = collection
        self._downloads = Downloads(fetcher, collection.out / INCOMING, options)
        self._traffic = traffic
        self._options = options
        self._progress = progress
        self._streams: list[Stream] = []
        self._turn = 0
        self._results: dict[str, Picture | Problem | None] = {}  # by address; None: on its way

    def run(self, found: Sequence[Source], stop: threading.Event) -> None:
        """Until the limit, until every source is exhausted, or until told to stop."""
        self._streams = list(open_streams(found))
        while not stop.is_set():
            self._read_pages()
            moved = self._decide()
            if self._collection.photo_count() >= self._options.limit or not self._streams:
                return
            self._fetch_ahead()
            for key, result in self._traffic.wait(0.0 if moved else 0.5):
                self._arrive(key, result)

    def _decide(self) -> bool:
        """Decide what is due and known; whether anything was."""
        collection, moved = self._collection, False
        while self._streams and collection.photo_count() < self._options.limit:
            stream = self._streams[self._turn]
            if stream.is_exhausted():
                del self._streams[self._turn]
                self._turn = self._turn % len(self._streams) if self._streams else 0
                continue
            if not stream.images:
                return moved
            found = stream.images[0]
            if collection.outcome_of(found.url) is None:
                if self._results.get(found.url) is None:
                    return moved
                result = self._results.pop(found.url)
                self._settle(found, result)
            moved = True
            stream.images.popleft()
            stream.submitted = max(0, stream.submitted - 1)
            self._turn = (self._turn + 1) % len(self._streams)
            if len(stream.images) < _MIN_IMAGES:
                self._read_page(stream)
        return moved

    def _settle(self, found: FoundImage, result: Picture | Problem | None) -> None:
        if isinstance(result, Picture):
            outcome = self._collection.keep(found, result, _now())
            if outcome is Outcome.SAVED and self._progress is not None:
                self._progress(self._collection.photo_count(), self._options.limit)
        elif isinstance(result, Problem):
            self._collection.note(found.url, result.outcome)

    def _fetch_ahead(self) -> None:
        """Submit images in the order of their turns, never more than are still wanted."""
        room = min(_AHEAD, self._options.limit - self._collection.photo_count()) - len(
            self._results
        )
        streams = self._streams[self._turn :] + self._streams[: self._turn]
        head = streams[0]
        if head.images and not head.submitted:
            room = max(room, 1)  # the next in turn always: the others wait for it
        while room > 0:
            open_ = [s for s in streams if s.submitted < len(s.images)]
            if not open_:
                return
            for stream in open_:
                if room <= 0:
                    return
                room -= self._submit(stream)

    def _submit(self, stream: Stream) -> int:
        """Submit a stream's next image; 1 if that starts a fetch, 0 if nothing is needed."""
        found = stream.images[stream.submitted]
        stream.submitted += 1
        if found.url in self._results or self._collection.outcome_of(found.url) is not None:
            return 0
        self._results[found.url] = None
        self._traffic.submit(Request(f"image {found.url}", found.url, self._downloads.image))
        return 1

    def _read_pages(self) -> None:
        for stream in list(self._streams):
            if len(stream.images) < _MIN_IMAGES:
                self._read_page(stream)

    def _read_page(self, stream: Stream) -> None:
        while stream.pages and not stream.reading:
            url, depth = stream.pages.popleft()
            known = self._collection.pages.pop(url, None)
            if known is not None:
                self._open(stream, known, url, depth)
                continue
            stream.reading = url
            stream.pages.appendleft((url, depth))
            fetch = self._downloads
            work = fetch.page if stream.kind == "page" else fetch.service(stream.kind)
            service = stream.kind != "page"
            self._traffic.submit(Request(f"page {id(stream)}", url, work, service))

    def _arrive(self, key: str, result: Any) -> None:
        what, _, name = key.partition(" ")
        if what == "image":
            if name in self._results:
                self._results[name] = result
            return
        stream = next(s for s in self._streams if id(s) == int(name))
        stream.reading = ""
        url, depth = stream.pages.popleft()
        page = result.outcome if isinstance(result, Problem) else result
        self._collection.note_page(url, page)
        self._open(stream, page, url, depth)

    def _open(self, stream: Stream, page: Page | Outcome, url: str, depth: int) -> None:
        """Add what a page showed to its stream."""
        if isinstance(page, Outcome):
            return
        for image in page.images:
            if not image.licence and not image.licence_url:
                image = replace(image, licence=stream.licence)
            stream.images.append(image)
        # A service's listing is one list cut into pieces; its depth is bounded by the limit.
        deeper = depth + (stream.kind == "page")
        most = 1 + _PAGES_PER_DEPTH * self._options.depth if stream.kind == "page" else math.inf
        for following in page.following if deeper <= self._options.depth else ():
            if len(stream.seen) >= most:
                self._collection.note_limit(f"{url}: read no further than {most} pages of a source")
                break
            if following not in stream.seen:
                stream.seen.add(following)
                stream.pages.append((following, deeper))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
