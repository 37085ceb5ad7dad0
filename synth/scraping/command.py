"""The command ``synth scrape``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from synth import console, limits
from synth.scraping.outcomes import Outcome

# The option that would include such photos.
_HINTS = {
    Outcome.NEAR: " (--keep-duplicates keeps them)",
    Outcome.SMALL: " (--min-side)",
    Outcome.PIXELS: " (--max-pixels)",
    Outcome.BYTES: " (--max-bytes)",
}

if TYPE_CHECKING:
    from synth.scraping.scraper import Summary

_NOTES = 5  # notes that are printed


def scrape(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Address of a page or image, commons:Category:NAME, openverse:WORDS, or a CSV "
            "file with a column source.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the photos; continued if it exists.")],
    limit: Annotated[int, typer.Option(help="Number of photos in OUT after which to stop.")] = 100,
    min_side: Annotated[int, typer.Option(help="Least width and height of a photo, px.")] = 256,
    max_pixels: Annotated[
        int, typer.Option(help="Largest number of pixels of a photo.")
    ] = limits.WEB_PIXELS,
    max_bytes: Annotated[
        int, typer.Option(help="Largest number of bytes of a photo, received and decompressed.")
    ] = limits.WEB_BYTES,
    keep_duplicates: Annotated[
        bool, typer.Option("--keep-duplicates", help="Also keep near-duplicates.")
    ] = False,
    depth: Annotated[int, typer.Option(help="Number of next pages that are followed.")] = 10,
    contact: Annotated[
        str,
        typer.Option(
            envvar="ACUITY_CONTACT", help="Your e-mail or web address, sent to the sites."
        ),
    ] = "",
    delay: Annotated[float, typer.Option(help="Seconds between two requests to a host.")] = 1.0,
    per_host: Annotated[int, typer.Option(help="Connections to a host at a time.")] = 1,
    threads: Annotated[int, typer.Option(help="Requests at a time to all hosts.")] = 8,
    retries: Annotated[int, typer.Option(help="Number of retries of an address.")] = 4,
    timeout: Annotated[
        float, typer.Option(help="Seconds for one response, including the parsing of a page.")
    ] = 120.0,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Retry addresses that failed for a temporary reason."),
    ] = False,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Also connect to private IP addresses.")
    ] = False,
) -> None:
    """Collect photos from the web with their sources and licences.

    Obeys robots.txt and noai tags, keeps the original files and leaves out near-duplicates. The
    same command continues an interrupted run. At most 8 MB, 300,000 tags and 10,000 images of a
    page are read; pages that were read in part are listed at the end. In photos.csv an apostrophe
    stands before text that a spreadsheet would take for a formula. The exit code is 1 if the
    folder has no photo at the end.

    Example: `synth scrape commons:Category:Landscapes --out photos --limit 200 --contact
    you@example.org`
    """
    from synth.scraping import interrupt

    try:
        # From here on, also while libraries are loaded, the first Ctrl-C only sets an event.
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
    """Prints the result of a run."""
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
            f"no photo in {out}, see the reasons above: name other sources, "
            "or pass --retry-failed to retry addresses that failed for a temporary reason"
        )


def _stop(out: Path) -> NoReturn:
    """Ends the process after Ctrl-C with a line on what is kept and how to continue."""
    from synth.scraping import interrupt

    line = f"stopped: {interrupt.contents_line(out)}; run the same command again to continue"
    print(f"synth: {line}", file=sys.stderr)
    raise SystemExit(130)  # after typer.Exit the caller would print its own line
