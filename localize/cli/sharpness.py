"""The command ``localize sharpness``."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from synth import console
from synth.errors import InputError

if TYPE_CHECKING:
    from localize.sharpness.design import Design
    from localize.sharpness.measurement import Measurement

ASKED = "What is asked"
SIDES = {"both": ("darker", "brighter"), "darker": ("darker",), "brighter": ("brighter",)}


def _asked(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=ASKED)


def sharpness(
    specs: Annotated[
        Optional[list[str]],
        typer.Argument(help="Methods that learn nothing or come trained, run folders, or "
                       "file.py:function.", metavar="SPEC…"),
    ] = None,
    photos: Annotated[
        Optional[Path], typer.Option(help="Folder of photos to hide changes in.")
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder to write.")] = None,
    ratios: Annotated[
        str, _asked("LO:HI:N on a log grid, or A,B,…, above 1; each also inverted.")
    ] = "1.01:1.35:8",
    radii: Annotated[str, _asked("A,B,… or LO:HI:N, in px.")] = "20,40,80",
    sides: Annotated[str, _asked("both, darker or brighter.")] = "both",
    per_cell: Annotated[
        int, _asked("Trials of each ratio, side and radius; photos take turns.")
    ] = 24,
    adaptive: Annotated[
        Optional[int],
        _asked("Instead of the grid: so many trials a method, at ratios chosen from its answers."),
    ] = None,
    codecs: Annotated[str, _asked("Any of png, jpeg1 to jpeg100, joined by commas.")] = "jpeg90",
    roundings: Annotated[str, _asked("Any of nearest,floor,stochastic.")] = "nearest",
    feathers: Annotated[str, _asked("Widths of the soft edge in px, joined by commas.")] = "0",
    shape: Annotated[str, _asked("circle or square.")] = "circle",
    overflow: Annotated[str, _asked("clip or wrap.")] = "clip",
    size: Annotated[str, _asked("WIDTHxHEIGHT of a random crop, or keep.")] = "512x512",
    within: Annotated[float, _asked("A hit is at most so many px from the truth …")] = 5.0,
    share: Annotated[float, _asked("… or this share of the radius, if that is more.")] = 0.5,
    seed: Annotated[int, _asked("Of the places and the order of the photos.")] = 0,
    curve: Annotated[str, typer.Option(help="weibull or logistic.")] = "weibull",
    trials: Annotated[
        Optional[list[Path]],
        typer.Option(help="CSV of trials made elsewhere (people's, say), as one method more; "
                     "repeatable."),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Processes; 0: one a processor, 8 at most.")
    ] = 0,
    time_limit: Annotated[
        Optional[float], typer.Option(help="Seconds an image, for a SPEC file.py:function [60].")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if it is one of ours.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interruption.")] = False,
) -> None:  # fmt: skip
    """How faint a change can it see? Hit rates, psychometric curves and thresholds.

    Changes of many ratios and radii, and of ratio exactly 1 (chance), are hidden in the photos.

    Example: `localize sharpness boundary ringvote-told --photos photos --out sharp`

    Example: `localize sharpness ringvote --photos photos --adaptive 240 --out sharp`
    """
    for flag, value in (("--photos", photos), ("--out", out)):
        if value is None:
            raise InputError(f"{flag} is missing: name a folder")
    assert photos is not None
    assert out is not None
    from localize.sharpness import design as designs
    from localize.sharpness import measurement

    if adaptive is not None and adaptive < 1:
        raise InputError(f"--adaptive is {adaptive}: give a number of trials from 1 up")
    chosen = designs.Design(
        ratios=_grid(ratios, "--ratios", designs.log_grid),
        radii=_grid(radii, "--radii", _radii),
        sides=_one_of(SIDES, sides, "--sides"),
        conditions=designs.conditions(
            _words(codecs), _words(roundings),
            [console.parse_number(word, "--feathers") for word in _words(feathers)],
        ),
        per_cell=per_cell,
        size="keep" if size == "keep" else console.parse_size(size),
        shape=shape,  # type: ignore[arg-type]
        overflow=overflow,  # type: ignore[arg-type]
        within=within,
        share=share,
        adaptive=adaptive or 0,
        seed=seed,
    )  # fmt: skip
    result = measurement.measure(
        specs or [], photos, out, chosen, trials=trials or [],
        curve=curve,  # type: ignore[arg-type]
        workers=workers, time_limit=time_limit, overwrite=overwrite, resume=resume,
        step=console.progress,
    )  # fmt: skip
    _report(result, chosen)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _one_of(known: dict[str, Any], word: str, flag: str) -> Any:
    if word not in known:
        raise InputError(f"{flag} is '{word}': use {', '.join(known)}")
    return known[word]


def _grid(
    text: str, flag: str, between: Callable[[float, float, int], tuple[float, ...]]
) -> tuple[float, ...]:
    """``LO:HI:N`` or ``A,B,…`` -> numbers."""
    if ":" not in text:
        return tuple(console.parse_number(word, flag, text) for word in _words(text))
    words = text.split(":")
    if len(words) != 3 or not words[2].isdecimal():
        raise InputError(f"{flag} is '{text}': give LO:HI:N, N a whole number, or A,B,…")
    return between(
        console.parse_number(words[0], flag, text),
        console.parse_number(words[1], flag, text),
        int(words[2]),
    )


def _radii(low: float, high: float, count: int) -> tuple[float, ...]:
    """Radii of a geometric series, px."""
    if not 0 < low < high < math.inf or count < 2:
        raise InputError(f"radii are {low:g}:{high:g}:{count}: give LO:HI:N, 0 < LO < HI, N > 1")
    step = (high / low) ** (1 / (count - 1))
    return tuple(round(low * step**k, 2) for k in range(count))


def _report(result: Measurement, design: Design) -> None:
    """Print the thresholds over all trials, and where everything is."""
    from rich.table import Table

    from localize.names import plain

    rows = result.thresholds[result.thresholds["cut"] == "all"].to_dict("records")
    photos, n = result.about["photos"], max(row["n"] for row in rows)
    table = Table(title=f"up to {n} trials a method on {photos} photos; 95 % intervals over photos")
    for heading in ("method", "side", "threshold", "in light", "slope", "guess"):
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    for row in rows:
        known = not row["verdict"]
        table.add_row(
            plain(row["method"]), row["side"],
            _interval(row, "threshold", "threshold", ".3f") if known else row["verdict"],
            _interval(row, "contrast_percent", "contrast", ".1f") + " %" if known else "",
            f"{row['slope']:.2f}" if known else "",
            "–" if math.isnan(row["guess"]) else f"{row['guess']:.3f}",
        )  # fmt: skip
    console.print_table(table)
    console.print_line(
        f"threshold: the ratio found half of the time, within {design.within:g} px or "
        f"{design.share:g} r; in light: contrast of luminance"
    )
    if errors := sum(result.about["errors"].values()):
        console.print_line(
            f"{errors} trials failed and count as misses, see {result.folder / 'trials.csv'}"
        )
    if skipped := result.about["skipped"]:
        where = result.folder / "sharpness.json"
        console.print_line(f"{len(skipped)} photos or other files cannot be used, see {where}")
    console.print_line(f"tables and pictures are in {result.folder}, all on one page: report.html")


def _interval(row: dict[Any, Any], value: str, name: str, form: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[value]:{form}} [{low:{form}}, {high:{form}}]"
