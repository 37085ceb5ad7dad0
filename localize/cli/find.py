"""The command ``localize find``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from localize.cli.arguments import TimeLimit
from synth import console
from synth.errors import InputError, Skipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from localize.findings import Draw, Read, Search
    from localize.localizer import Finding, Localizer
    from localize.report.overlays import Photo


def find(
    images: Annotated[list[str], typer.Argument(help="Images, or folders of images.")],
    method: Annotated[
        Optional[str],
        typer.Option(
            help="A SPEC: a method, a run folder, file.py:function or model.onnx "
            "[ringvote; ringvote-told if --r and --ratio are one number each].",
            metavar="SPEC",
        ),
    ] = None,
    r: Annotated[
        Optional[str],
        typer.Option(
            help="Radius of the region in px, correct to 1 px, or a range LOW:HIGH.", metavar="PX"
        ),
    ] = None,
    ratio: Annotated[
        Optional[str],
        typer.Option(help="Ratio of the anomaly, or a range LOW:HIGH.", metavar="RATIO"),
    ] = None,
    overlay: Annotated[
        Optional[Path],
        typer.Option(
            help="Folder for PNGs of the images with the answer drawn in, named like the images. "
            "Equal names get the suffix, the folder or a number in addition. If such a file exists "
            "already, nothing is done."
        ),
    ] = None,
    out: Annotated[
        Optional[Path],
        typer.Option(
            help="Table to write instead of a line for each image: a file .csv or .json with path, "
            "x, y, r, ratio, score, confidence, gap_evidence, seconds and error."
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace drawings of an earlier run in the folder of --overlay, and a table that "
            "find wrote; no other files.",
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run with --out.")
    ] = False,
    time_limit: TimeLimit = None,
) -> None:
    """Find the anomaly in images: print x (column) and y (row) in px.

    A method that gives no place prints its score, or the probability of an anomaly.

    With --out, a table is written instead. It has a row for each image, also for one that cannot be
    read. An interrupted run continues with --resume.

    Exit code 1 if an image has no answer.

    Example: `localize find photo.jpg --overlay drawn`

    Example: `localize find photos --out findings.csv`

    Example: `localize find photo.jpg --r 30:50 --ratio 1.02:1.2`

    Example: `localize find photo.jpg --method boundary --r 40 --ratio 1.08`
    """
    from localize import api, findings
    from localize.evaluation.provenance import fingerprint
    from localize.localizer import Known
    from localize.report import overlays
    from synth import photos, storage
    from synth.paths import path_of

    if urls := [each for each in images if storage.is_url(each)]:
        raise InputError(
            f"{urls[0]} is a URL, and find reads local images: copy them to this machine, or use "
            "localize evaluate for a dataset at a URL"
        )
    places = [path_of(each) for each in images]
    console.require_paths(places)
    if overwrite and overlay is None and out is None:
        raise InputError("--overwrite is for --overlay and --out: name the folder or the table")
    if resume and out is None:
        raise InputError("--resume is for --out: name the table")
    image_files = [
        overlays.Photo(path, name) if path.is_dir() else overlays.Photo(path.parent, path.name)
        for path in places
        for name in (photos.find(path) if path.is_dir() else [path.name])
    ]
    targets: list[Path] = []
    if overlay is not None:
        image_files = overlays.without_drawings(image_files, overlay)
        if not image_files:
            raise InputError(f"all images are drawings of an earlier run in {overlay}")
        targets = overlays.output_paths(image_files, overlay)
        overlays.check(targets, image_files, overlay, overwrite or resume)
    known = Known(
        None if r is None else console.parse_range(r, "--r"),
        None if ratio is None else console.parse_range(ratio, "--ratio"),
    )
    if method is None:
        method = "ringvote-told" if known.told else "ringvote"
    localizer = api.load(method, time_limit=time_limit)
    if known != Known() and not (localizer.told or localizer.takes_ranges):
        raise InputError(f"{method} uses neither --r nor --ratio: leave them out, or use ringvote")
    if "place" not in localizer.gives:
        if overlay is not None:
            raise InputError(f"{method} gives no place to draw: leave out --overlay")
        console.print_line(f"{method} gives no place, only whether an image has an anomaly")
    if out is not None:
        findings.check(out, overwrite, resume)
    overlays.prepare(targets)

    def read(number: int) -> np.ndarray:
        photo = image_files[number]
        return photos.read(photo.folder, photo.name).pixels

    def draw(number: int, image: np.ndarray, finding: Finding) -> None:
        if math.isnan(finding.x):  # of a method that gives a score alone
            return
        known_r = known.r[0] if known.r and known.r[0] == known.r[1] else None
        region = (finding.x, finding.y, finding.r or known_r)
        overlays.draw(image, method, region, targets[number])

    search = findings.Search(localizer, method, known, fingerprint(method))
    draw_or_not = draw if targets else None
    if out is None:
        failed = _print_answers(search, image_files, read, draw_or_not, targets, overlay)
    else:
        paths = [photo.path for photo in image_files]
        try:
            with console.progress("images") as progress:
                failed = findings.write(
                    search, paths, read, out, draw=draw_or_not, overwrite=overwrite,
                    resume=resume, progress=progress,
                )  # fmt: skip
        except KeyboardInterrupt:
            raise console.Stopped(
                f"stopped: the answers so far are kept in {findings.log_path(out)}; "
                "to continue, run the command again with --resume"
            ) from None
        console.print_line(f"{out}: {len(paths)} images")
    for path in places:
        if path.is_dir():
            console.print_passed_over(path)
    if failed:
        console.print_line(f"{failed} of {len(image_files)} images have no answer")
        raise typer.Exit(1)


def _print_answers(
    search: Search,
    image_files: Sequence[Photo],
    read: Read,
    draw: Draw | None,
    targets: Sequence[Path],
    overlay: Path | None,
) -> int:
    """Prints a line for each image -> the number of images without an answer."""
    from localize import api

    console.mark_work_started()
    localizer, known = search.localizer, search.known
    failed = done = 0
    try:
        for number, photo in enumerate(image_files):
            try:
                image = read(number)
                finding = api.locate(localizer, image, r=known.r, ratio=known.ratio)
                console.print_line(f"{photo.path}: {_answer(localizer, finding)}")
                if draw is not None:
                    draw(number, image, finding)
            except Skipped as reason:
                failed += 1
                console.print_line(f"{photo.path}: {reason}")
            except FileExistsError:
                failed += 1
                console.print_line(f"{targets[number]}: another program wrote this file: not drawn")
            done = number + 1
    except KeyboardInterrupt:
        drawn = f", their drawings in {overlay}" if overlay is not None else ""
        raise console.Stopped(
            f"stopped after {done} of {len(image_files)} images: their answers are printed{drawn}; "
            "name the others to continue"
        ) from None
    return failed


def _answer(localizer: Localizer, finding: Finding) -> str:
    """A finding as text."""
    from localize.findings import confidence as confidence_of

    confidence = confidence_of(localizer, finding)
    unlikely = confidence is not None and confidence < 0.5
    if "place" not in localizer.gives:
        note, place = "nothing found; " if unlikely else "", ""
    else:
        note = "nothing found; likeliest " if unlikely else ""
        place = f"x {finding.x:.1f}  y {finding.y:.1f}"
    extra = "".join(
        f"  {label} {value:.4g}"
        for label, value in (
            ("r", finding.r), ("ratio", finding.ratio),
            ("score", finding.score) if confidence is None else ("confidence", confidence),
            ("rounding gaps", finding.gap_evidence or None),
        )
        if value is not None
    )  # fmt: skip
    return f"{note}{place}{extra}" if place else f"{note}{extra.lstrip()}"
