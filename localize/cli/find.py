"""The command ``localize find``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from localize.cli.arguments import TimeLimit
from synth import console
from synth.errors import InputError, Skipped

if TYPE_CHECKING:
    from localize.localizer import Finding, Localizer


def find(
    images: Annotated[list[Path], typer.Argument(help="Images, or folders of images.")],
    method: Annotated[
        Optional[str],
        typer.Option(
            help="A SPEC: a method, a run folder or file.py:function "
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
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace drawings of an earlier run in the folder of --overlay, no other files.",
        ),
    ] = False,
    time_limit: TimeLimit = None,
) -> None:
    """Find the anomaly in images: print x (column) and y (row) in px.

    A method that gives no place prints its score, or the probability of an anomaly.

    Exit code 1 if an image has no answer.

    Example: `localize find photo.jpg --overlay drawn`

    Example: `localize find photo.jpg --r 30:50 --ratio 1.02:1.2`

    Example: `localize find photo.jpg --method boundary --r 40 --ratio 1.08`
    """
    from localize import api
    from localize.localizer import Known
    from localize.report import overlays
    from synth import photos

    console.require_paths(images)
    if overwrite and overlay is None:
        raise InputError("--overwrite is for --overlay: name the folder of the drawings")
    image_files = [
        overlays.Photo(path, name) if path.is_dir() else overlays.Photo(path.parent, path.name)
        for path in images
        for name in (photos.find(path) if path.is_dir() else [path.name])
    ]
    targets: list[Path] = []
    if overlay is not None:
        image_files = overlays.without_drawings(image_files, overlay)
        if not image_files:
            raise InputError(f"all images are drawings of an earlier run in {overlay}")
        targets = overlays.output_paths(image_files, overlay)
        overlays.check(targets, image_files, overlay, overwrite)
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
    overlays.prepare(targets)
    console.mark_work_started()
    failed = done = 0
    try:
        for number, photo in enumerate(image_files):
            try:
                image = photos.read(photo.folder, photo.name).pixels
                finding = api.locate(localizer, image, r=known.r, ratio=known.ratio)
                console.print_line(f"{photo.path}: {_answer(localizer, finding)}")
                if targets:
                    known_r = known.r[0] if known.r and known.r[0] == known.r[1] else None
                    region = (finding.x, finding.y, finding.r or known_r)
                    overlays.draw(image, method, region, targets[number])
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
    for path in images:
        if path.is_dir():
            console.print_passed_over(path)
    if failed:
        console.print_line(f"{failed} of {len(image_files)} images have no answer")
        raise typer.Exit(1)


def _answer(localizer: Localizer, finding: Finding) -> str:
    """A finding as text."""
    confidence = _confidence(localizer, finding)
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
        )
        if value is not None
    )  # fmt: skip
    return f"{note}{place}{extra}" if place else f"{note}{extra.lstrip()}"


def _confidence(localizer: Localizer, finding: Finding) -> float | None:
    """The probability of an anomaly by the score; None if the score is not log odds."""
    if localizer.score_kind != "log odds" or finding.score is None:
        return None
    from localize.evaluation.calibration import sigmoid

    return float(sigmoid(finding.score))
