"""The folder of collected photos: files, append-only manifest and table.

The manifest has one JSON object per line: ``run`` (start of a run), ``page`` (links of a page),
``url`` (outcome of an image's address) or ``end`` (a run has completed). A file is renamed to its
final name before its line is written. So after a kill every saved line has its file, and the next
run deletes a file without a line.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import IO, Any

from synth import folders
from synth.csv_cells import escape
from synth.errors import InputError
from synth.near_duplicates import Signature, SignatureIndex, decode_detail
from synth.scraping.html_text import join_url, one_line
from synth.scraping.inspection import Picture
from synth.scraping.interrupt import PHOTO
from synth.scraping.outcomes import TEMPORARY, Outcome
from synth.scraping.pages import FoundImage, Page

NAME = "manifest.jsonl"
TABLE = "photos.csv"
INCOMING = ".incoming"


@dataclass(frozen=True)
class Row:
    """A row of ``photos.csv``: width and height in px, size in bytes, time in UTC.

    Title, author and licence are printable text of one line with at most 300 characters.
    Addresses have no user and password, and special characters are percent-encoded.
    """

    file_name: str
    sha256: str
    dhash: str
    width: int
    height: int
    bytes: int
    source_url: str
    page_url: str
    title: str
    author: str
    licence: str
    licence_url: str
    fetched_at: str


class Collection:
    """A folder of collected photos with the outcomes of all addresses.

    Args:
        out: the folder; created if it does not exist.
        retry_failed: forget addresses that failed for a temporary reason.
        keep_duplicates: also keep near-duplicates.

    Raises:
        InputError: synth scrape did not write the folder, or another run uses it.
    """

    def __init__(
        self, out: Path, retry_failed: bool = False, keep_duplicates: bool = False
    ) -> None:
        self.out = out
        self._keep_duplicates = keep_duplicates
        self.rows: list[Row] = []
        self.pages: dict[str, Page | Outcome] = {}
        self.notes: list[str] = []  # sentences about pages that were read in part
        self._counts: Counter[Outcome] = Counter()
        self._page_counts: Counter[Outcome] = Counter()
        self._outcomes: dict[bytes, Outcome] = {}
        self._known = SignatureIndex()
        self._sha256: set[str] = set()
        path = out / NAME
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file: name a folder")
        if out.is_dir() and not path.exists() and any(out.iterdir()):
            raise InputError(
                f"{out} has no {NAME}: name a new folder, or one that synth scrape wrote"
            )
        out.mkdir(parents=True, exist_ok=True)
        self._log: IO[bytes] = path.open("a+b")
        try:
            _lock(self._log, out)
            self._load(retry_failed)
        except BaseException:
            self._log.close()
            raise
        shutil.rmtree(out / INCOMING, ignore_errors=True)
        (out / INCOMING).mkdir()
        stems = {digest[:32] for digest in self._sha256}
        for file in out.iterdir():
            if PHOTO.fullmatch(file.name) and file.stem not in stems:
                file.unlink()  # the run was killed before it wrote the line

    def outcome_of(self, url: str) -> Outcome | None:
        """The outcome of an image's address, or None."""
        return self._outcomes.get(_key(url))

    def photo_count(self) -> int:
        """Number of photos."""
        return len(self.rows)

    def counts(self) -> dict[Outcome, int]:
        """Outcome -> number of image and page addresses, the most frequent first."""
        both = self._counts + self._page_counts
        return dict(sorted(both.items(), key=lambda item: (-item[1], item[0])))

    def start(self, words: list[str], options: dict[str, Any], when: str) -> None:
        """Records the start of a run."""
        self._write({"run": when, "sources": words, "options": options})

    def note_page(self, url: str, page: Page | Outcome) -> None:
        """Records the links of a page, with which a later run continues, or its failure."""
        if isinstance(page, Outcome):
            self._page_counts[page] += 1
            self._write({"page": url, "outcome": str(page)})
            return
        images = [[getattr(image, f.name) for f in fields(FoundImage)] for image in page.images]
        line = {"page": url, "images": images, "following": list(page.following)}
        self._write(line | ({"cut": page.cut} if page.cut else {}))
        self._count_page(url, page.cut)

    def _count_page(self, url: str, cut: str) -> None:
        self._page_counts[Outcome.PART if cut else Outcome.PAGE] += 1
        if cut:
            self.note_limit(f"{url}: read in part, {cut}")

    def note_limit(self, what: str) -> None:
        """Adds a sentence to the notes that are printed at the end."""
        if what not in self.notes:
            self.notes.append(what)

    def note(self, url: str, outcome: Outcome) -> None:
        """Records that an address gave no photo."""
        self._decide(url, outcome)
        self._write({"url": url, "outcome": str(outcome)})

    def keep(self, found: FoundImage, picture: Picture, when: str) -> Outcome:
        """Saves a fetched photo unless it is a duplicate; its temporary file is removed."""
        outcome = self._judge(picture)
        if outcome is not Outcome.SAVED:
            picture.file.unlink(missing_ok=True)
            self.note(found.url, outcome)
            return outcome
        name = f"{picture.sha256[:32]}{picture.suffix}"
        os.replace(picture.file, self.out / name)
        row = Row(
            name,
            picture.sha256,
            f"{picture.signature.dhash:016x}",
            picture.width,
            picture.height,
            picture.size,
            found.url,
            found.page_url,
            found.title,
            found.author,
            found.licence,
            found.licence_url,
            when,
        )
        line = {"url": found.url, "outcome": str(outcome), "row": asdict(row)}
        if picture.signature.detail:
            line["detail"] = picture.signature.encode_detail()
        self._write(line)
        self._decide(found.url, outcome)
        self._remember(row, picture.signature)
        return outcome

    def write_table(self) -> None:
        """Writes ``photos.csv``, with an apostrophe before formulas."""
        text = io.StringIO(newline="")
        table = csv.writer(text, lineterminator="\n")
        table.writerow([f.name for f in fields(Row)])
        for row in self.rows:
            cells = [getattr(row, f.name) for f in fields(Row)]
            table.writerow([escape(each) if isinstance(each, str) else each for each in cells])
        folders.write(self.out / TABLE, text.getvalue())

    def close(self, complete: str = "") -> None:
        """Writes the table and closes the manifest.

        Args:
            complete: time of the end if the run has completed, else "".
        """
        self.write_table()
        if complete:
            self._write({"end": complete})
        self._log.close()
        shutil.rmtree(self.out / INCOMING, ignore_errors=True)

    def _judge(self, picture: Picture) -> Outcome:
        if picture.sha256 in self._sha256:
            return Outcome.DUPLICATE
        if self._keep_duplicates or not self._known.contains_near(picture.signature):
            return Outcome.SAVED
        return Outcome.NEAR

    def _decide(self, url: str, outcome: Outcome) -> None:
        key = _key(url)
        if key in self._outcomes:
            self._counts[self._outcomes[key]] -= 1
        self._outcomes[key] = outcome
        self._counts[outcome] += 1

    def _remember(self, row: Row, signature: Signature) -> None:
        self._known.add(signature)
        self.rows.append(row)
        self._sha256.add(row.sha256)

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, ensure_ascii=True, separators=(",", ":"))
        self._log.write(text.encode("ascii") + b"\n")
        self._log.flush()  # to the operating system, in case the process is killed

    def _load(self, retry_failed: bool) -> None:
        self._log.seek(0)
        whole = 0
        forget: dict[str, None] = {}
        for line in self._log:
            try:
                entry = json.loads(line) if line.endswith(b"\n") else None
            except (ValueError, RecursionError):
                entry = None
            if not isinstance(entry, dict):
                break
            whole += len(line)
            with contextlib.suppress(KeyError, TypeError, ValueError):
                self._replay(entry, forget if retry_failed else None)
        self._log.seek(0, os.SEEK_END)
        if self._log.tell() > whole:
            if self._log.tell() - whole > (1 << 26) or self._more_than_a_line(whole):
                raise InputError(f"{self.out / NAME} is damaged: name another folder")
            self._log.truncate(whole)  # an incomplete line of a killed run
        for url in forget:
            outcome = self._outcomes.pop(_key(url), None)
            if outcome is not None:
                self._counts[outcome] -= 1

    def _more_than_a_line(self, start: int) -> bool:
        self._log.seek(start)
        return b"\n" in self._log.read().rstrip(b"\n")

    def _replay(self, entry: dict[str, Any], forget: dict[str, None] | None) -> None:
        if "end" in entry:
            self.pages.clear()  # a later run reads the pages again
            self._page_counts.clear()
            self.notes.clear()
        elif "page" in entry:
            if "outcome" in entry:
                outcome = Outcome(entry["outcome"])
                if forget is None or outcome not in TEMPORARY:
                    self._page_counts[outcome] += 1
                    self.pages[entry["page"]] = outcome
                return
            images = tuple(FoundImage(*image) for image in entry["images"])
            cut = str(entry.get("cut", ""))
            self.pages[entry["page"]] = Page(images, tuple(entry["following"]), cut=cut)
            self._count_page(entry["page"], cut)
        elif "url" in entry:
            outcome = Outcome(entry["outcome"])
            if outcome is Outcome.SAVED:
                row = _tidy_row(Row(**entry["row"]))
                if not (self.out / row.file_name).is_file():
                    return  # the file was deleted, so it may be fetched again
                detail = decode_detail(entry.get("detail", ""))
                self._remember(row, Signature(int(row.dhash, 16), detail))
            elif outcome is Outcome.NEAR and self._keep_duplicates:
                return  # left out by a run without --keep-duplicates
            self._decide(entry["url"], outcome)
            if forget is not None and outcome in TEMPORARY:
                forget[entry["url"]] = None


def _tidy_row(row: Row) -> Row:
    """A row of a manifest, perhaps from an earlier version, with normalised texts and addresses."""
    return replace(
        row,
        source_url=join_url("", row.source_url),
        page_url=join_url("", row.page_url),
        licence_url=join_url("", row.licence_url),
        title=one_line(row.title),
        author=one_line(row.author),
        licence=one_line(row.licence),
    )


def _key(url: str) -> bytes:
    return hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=12).digest()


def _lock(log: IO[bytes], out: Path) -> None:
    """Locks the folder until this process ends.

    Raises:
        InputError: another process holds the lock.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(f"{out} is in use by another synth scrape: wait until it ends") from None
