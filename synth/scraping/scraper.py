"""A run of ``synth scrape``: collects photos from sources, in an order independent of timing.

Several addresses are fetched at a time, but their outcomes are decided one by one: one photo of
each source in turn, in the order of its pages. So the same responses give the same photos, with or
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
_AHEAD = 1000  # number of photos that are fetched before their turn and kept on disk
_PAGES_PER_DEPTH = 10  # largest number of pages of a source, per step of the depth
_MIN_IMAGES = 64  # the next page is read if fewer images of a source are queued


@dataclass(frozen=True)
class Summary:
    """Result of a run.

    Args:
        outcomes: outcome -> number of addresses, over all runs in the folder.
        rows: the photos in the folder.
        interrupted: whether Ctrl-C ended the run.
        notes: sentences about pages that were read in part.
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
    """Collects photos from sources into the folder ``out``; continues an earlier run there.

    Args:
        words: sources, as on the command line.
        out: the folder.
        options: the options; default: :class:`Options`.
        retry_failed: retry addresses that failed for a temporary reason.
        progress: called with (number of photos, number wanted).
        stop: event that ends the run; None: the first Ctrl-C ends it.

    Raises:
        InputError: bad input, or synth scrape did not write the folder.
        OSError: a file cannot be written, for example on a full disk; saved photos are kept.
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
        names = ("limit", "min_side", "depth", "keep_duplicates")
        recorded = {name: getattr(options, name) for name in names}
        collection.start([source.word for source in found], recorded, _now())
        with interrupt.defer_sigint() if stop is None else contextlib.nullcontext(stop) as event:
            _Run(collection, fetcher, traffic, options, progress).run(found, event)
        interrupted = event.is_set()
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
    """The state of one run. It is used by one thread."""

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
        self._results: dict[str, Picture | Problem | None] = {}  # by address; None: being fetched

    def run(self, found: Sequence[Source], stop: threading.Event) -> None:
        """Runs until the limit is reached, all sources are exhausted, or ``stop`` is set."""
        self._streams = list(open_streams(found))
        while not stop.is_set():
            self._read_pages()
            moved = self._decide()
            if self._collection.photo_count() >= self._options.limit or not self._streams:
                return
            self._fetch_ahead()
            for key, result in self._traffic.wait(0.0 if moved else 0.5):
                self._handle_result(key, result)

    def _decide(self) -> bool:
        """Decides the outcomes of fetched images in order; returns whether there were any."""
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
                self._store(found, result)
            moved = True
            stream.images.popleft()
            stream.submitted = max(0, stream.submitted - 1)
            self._turn = (self._turn + 1) % len(self._streams)
            if len(stream.images) < _MIN_IMAGES:
                self._read_page(stream)
        return moved

    def _store(self, found: FoundImage, result: Picture | Problem | None) -> None:
        if isinstance(result, Picture):
            outcome = self._collection.keep(found, result, _now())
            if outcome is Outcome.SAVED and self._progress is not None:
                self._progress(self._collection.photo_count(), self._options.limit)
        elif isinstance(result, Problem):
            self._collection.note(found.url, result.outcome)

    def _fetch_ahead(self) -> None:
        """Submits images in the order of their turns, at most as many as are still wanted."""
        room = min(_AHEAD, self._options.limit - self._collection.photo_count()) - len(
            self._results
        )
        streams = self._streams[self._turn :] + self._streams[: self._turn]
        head = streams[0]
        if head.images and not head.submitted:
            room = max(room, 1)  # always the next image in turn, as the others wait for it
        while room > 0:
            pending = [s for s in streams if s.submitted < len(s.images)]
            if not pending:
                return
            for stream in pending:
                if room <= 0:
                    return
                room -= self._submit(stream)

    def _submit(self, stream: Stream) -> int:
        """Submits the next image of a stream; returns the number of started fetches, 0 or 1."""
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
                self._add_page(stream, known, url, depth)
                continue
            stream.reading = url
            stream.pages.appendleft((url, depth))
            fetch = self._downloads
            work = fetch.page if stream.kind == "page" else fetch.service(stream.kind)
            service = stream.kind != "page"
            self._traffic.submit(Request(f"page {id(stream)}", url, work, service))

    def _handle_result(self, key: str, result: Any) -> None:
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
        self._add_page(stream, page, url, depth)

    def _add_page(self, stream: Stream, page: Page | Outcome, url: str, depth: int) -> None:
        """Adds images and next pages of a page to its stream."""
        if isinstance(page, Outcome):
            return
        for image in page.images:
            if not image.licence and not image.licence_url:
                image = replace(image, licence=stream.licence)
            stream.images.append(image)
        # The pages of a service are one list, which is bounded by the limit, not by the depth.
        deeper = depth + (stream.kind == "page")
        most = 1 + _PAGES_PER_DEPTH * self._options.depth if stream.kind == "page" else math.inf
        for following in page.following if deeper <= self._options.depth else ():
            if len(stream.seen) >= most:
                self._collection.note_limit(
                    f"{url}: read in part, more than {most} pages of a source"
                )
                break
            if following not in stream.seen:
                stream.seen.add(following)
                stream.pages.append((following, deeper))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
