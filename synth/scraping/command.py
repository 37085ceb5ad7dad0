"""The command ``synth scrape``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from synth import console, limits
from synth.scraping.outcomes import Outcome

# The flag that would have let them in.
_HINTS = {
    Outcome.NEAR: " (--keep-duplicates keeps them)",
    Outcome.SMALL: " (--min-side)",
    Outcome.PIXELS: " (--max-pixels)",
    Outcome.BYTES: " (--max-bytes)",
}

if TYPE_CHECKING:
    from synth.scraping.scraper import Summary

_NOTES = 5  # limits that are told of one by one


def scrape(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Gallery page, image address, commons:Category:NAME, openverse:WORDS, or a CSV "
            "with a column source.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the photos; an unfinished one goes on.")],
    limit: Annotated[int, typer.Option(help="Photos wanted in OUT.")] = 100,
    min_side: Annotated[int, typer.Option(help="Smallest side, px.")] = 256,
    max_pixels: Annotated[int, typer.Option(help="Most pixels of a photo.")] = limits.WEB_PIXELS,
    max_bytes: Annotated[
        int, typer.Option(help="Most bytes of a photo, received and decompressed.")
    ] = limits.WEB_BYTES,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Keep near-duplicates too.")
    ] = False,
    depth: Annotated[int, typer.Option(help="Next pages followed from a page.")] = 10,
    contact: Annotated[
        str, typer.Option(envvar="ACUITY_CONTACT", help="E-mail or web address for site owners.")
    ] = "",
    delay: Annotated[float, typer.Option(help="Seconds between requests to a host.")] = 1.0,
    per_host: Annotated[int, typer.Option(help="Connections to a host.")] = 1,
    threads: Annotated[int, typer.Option(help="Requests at a time, all hosts together.")] = 8,
    retries: Annotated[int, typer.Option(help="Tries of an address after the first.")] = 4,
    timeout: Annotated[
        float, typer.Option(help="Seconds for one answer in all, reading a page included.")
    ] = 120.0,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try again what failed for a passing reason.")
    ] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Connect to private addresses too.")
    ] = False,
) -> None:
    """Collect photos from the web, politely and safely, with source and licence.

    Obeys robots.txt and noai tags, keeps the original bytes, leaves out near-duplicates.
    Started again it goes on where it stopped. Of a page it reads up to 8 MB, 300,000 tags and
    10,000 images; where a limit cuts a page short, the end of the run says so. In photos.csv an
    apostrophe stands before text that a spreadsheet would take for a formula. Exit code 1 if the
    folder holds no photo at the end.

    Example: `synth scrape commons:Category:Landscapes --out photos --limit 200 --contact
    you@example.org`
    """
    from synth.scraping import interrupt

    try:
        # From here on, also while the libraries are loaded, Ctrl-C is a wish.
        with interrupt.defer_sigint() as stop:
            from synth.scraping import scraper
            from synth.scraping.fetcher import Bounds
            from synth.scraping.options import Options
            from synth.scraping.traffic import Politeness

            options = Options(
                limit=limit,
                min_side=min_side,
                max_pixels=max_pixels,
                keep_duplicates=keep_duplicates,
                depth=depth,
                contact=contact,
                allow_private=allow_private,
                bounds=Bounds(
                    connect=min(10.0, timeout),
                    read=min(20.0, timeout),
                    total=timeout,
                    image_bytes=max_bytes,
                ),
                politeness=Politeness(
                    delay=delay, per_host=per_host, threads=threads, retries=retries
                ),
            )
            with console.progress("photos") as progress:
                summary = scraper.scrape(
                    sources, out, options, retry_failed=retry_failed, progress=progress, stop=stop
                )
            if not summary.interrupted:
                _report(summary, out)
    except KeyboardInterrupt:  # the second Ctrl-C
        _stop(out)
    if summary.interrupted:
        _stop(out)
    if not summary.rows:
        raise typer.Exit(1)


def _report(summary: Summary, out: Path) -> None:
    """Print what a run came to."""
    for outcome, count in summary.outcomes.items():
        print(f"{count:8d}  {outcome}{_HINTS.get(outcome, '')}")
    for note in summary.notes[:_NOTES]:
        print(note)
    if len(summary.notes) > _NOTES:
        print(
            f"{len(summary.notes) - _NOTES} more pages read in part, see {out / 'manifest.jsonl'}"
        )
    if summary.rows:
        print(f"{len(summary.rows)} photos in {out}; their sources and licences in photos.csv")
    else:
        print(
            f"no photo in {out}: the table above says why; name other sources, "
            "or pass --retry-failed to try again what may work another time"
        )


def _stop(out: Path) -> NoReturn:
    """End the process after Ctrl-C, in one line that says what is kept and how to go on."""
    from synth.scraping import interrupt

    line = f"stopped: {interrupt.contents_line(out)}; run the same command again to go on"
    print(f"synth: {line}", file=sys.stderr)
    raise SystemExit(130)  # typer.Exit would have the caller print a line of its own
