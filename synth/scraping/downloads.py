"""Fetching of one address, followed by parsing of the page or inspection of the photo.

The functions run on the threads of :class:`synth.scraping.traffic.Traffic`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path

import requests

from synth.scraping import inspection, pages, politeness, services
from synth.scraping.fetcher import Fetcher, Reply
from synth.scraping.inspection import Picture
from synth.scraping.options import Options
from synth.scraping.outcomes import Outcome, Problem
from synth.scraping.pages import FoundImage, Page
from synth.scraping.sources import Kind
from synth.scraping.traffic import Redirect

_LARGE = 1_000_000  # bytes; only one page above this size is parsed at a time


class Downloads:
    """Fetches photos into files of a folder, and pages and listings into memory."""

    def __init__(self, fetcher: Fetcher, folder: Path, options: Options) -> None:
        self._fetcher = fetcher
        self._folder = folder
        self._options = options
        self._names = itertools.count()
        self._one_large = threading.Lock()

    def image(self, session: requests.Session, url: str) -> Picture | Redirect:
        """Fetches a photo into a new file of the folder and inspects it.

        Raises:
            Problem: there is no usable photo; the file is deleted.
            LocalError: the file cannot be written.
        """
        file = self._folder / f"{next(self._names)}.part"
        reply = self._fetcher.image(session, url, file, inspection.may_be_picture)
        if reply.location:
            return Redirect(reply.location)
        try:
            least, most = self._options.min_side, self._options.max_pixels
            return inspection.inspect(file, reply.sha256, reply.size, least, most)
        except BaseException:
            file.unlink(missing_ok=True)
            raise

    def page(self, session: requests.Session, url: str) -> Page | Redirect:
        """Fetches and parses a page; a picture counts as a page with itself as only image.

        Raises:
            Problem: there is no page, or its images must not be used.
        """
        reply = self._fetcher.page(session, url)
        if reply.location:
            return Redirect(reply.location)
        if politeness.forbids_use(reply.tags):
            raise Problem(Outcome.NOAI)
        if inspection.may_be_picture(reply.body[:32]):
            return Page((FoundImage(url, url),))
        page = self._read(reply)
        if page.opted_out:
            raise Problem(Outcome.NOAI)
        return page

    def service(self, kind: Kind) -> Callable[[requests.Session, str], Page | Redirect]:
        """-> a function that fetches and parses a listing of a photo service."""
        read = services.read_commons if kind == "commons" else services.read_openverse

        def work(session: requests.Session, url: str) -> Page | Redirect:
            reply: Reply = self._fetcher.page(session, url)
            return Redirect(reply.location) if reply.location else read(reply.body, url)

        return work

    def _read(self, reply: Reply) -> Page:
        """Parses a page; the time for which a large page waits does not count."""
        left = reply.deadline - time.monotonic()
        large = len(reply.body) > _LARGE
        with self._one_large if large else contextlib.nullcontext():
            until = time.monotonic() + left
            return pages.read(reply.body, reply.url, reply.charset, until)
