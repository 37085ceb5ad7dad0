"""The command ``localize sharpness``."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from localize.cli.arguments import Actors, Address, Engine, Overwrite, Resume, TimeLimit
from synth import console
from synth.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from localize.sharpness.design import Design
    from localize.sharpness.measurement import Measurement

TRIAL_PANEL = "Trials"
SIDES = {"both": ("darker", "brighter"), "darker": ("darker",), "brighter": ("brighter",)}


def _trial_option(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=TRIAL_PANEL)


def sharpness(
    specs: Annotated[
        Optional[list[str]],
        typer.Argument(
            help="Methods that need no training or have weights included, run folders, "
            "file.py:function or model.onnx.",
            metavar="SPEC…",
        ),
    ] = None,
    photos: Annotated[
        Optional[str],
        typer.Option(help="Path or URL of photos, from which the images of the trials are made."),
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="Folder to write.")] = None,
    ratios: Annotated[
        str,
        _trial_option(
            "Ratios: LO:HI:N for a logarithmic grid, or A,B,…; all above 1. Darker regions get the "
            "inverse."
        ),
    ] = "1.01:1.35:8",
    radii: Annotated[
        str, _trial_option("Radii of the regions in px: A,B,… or LO:HI:N.")
    ] = "20,40,80",
    sides: Annotated[str, _trial_option("Regions to test: both, darker or brighter.")] = "both",
    per_cell: Annotated[
        int,
        _trial_option("Number of trials for each ratio, side and radius, spread over the photos."),
    ] = 24,
    adaptive: Annotated[
        Optional[int],
        _trial_option(
            "Instead of the grid: trials per method, at ratios that depend on its answers."
        ),
    ] = None,
    codecs: Annotated[
        str, _trial_option("Encodings: png or jpeg1 to jpeg100, separated by commas.")
    ] = "jpeg90",
    roundings: Annotated[
        str, _trial_option("Roundings: nearest, floor or stochastic, separated by commas.")
    ] = "nearest",
    feathers: Annotated[
        str, _trial_option("Widths of the soft edge in px, separated by commas; 0 is a hard edge.")
    ] = "0",
    shape: Annotated[str, _trial_option("Shape of the region: circle or square.")] = "circle",
    overflow: Annotated[str, _trial_option("Products above 255: clip or wrap.")] = "clip",
    size: Annotated[
        str, _trial_option("WIDTHxHEIGHT of a random crop in px, or keep.")
    ] = "512x512",
    within: Annotated[
        float, _trial_option("An answer is a hit if its distance in px is at most this …")
    ] = 5.0,
    share: Annotated[
        float, _trial_option("… or at most this share of the radius, if that is more.")
    ] = 0.5,
    seed: Annotated[
        int, _trial_option("Seed of the positions and of the order of the photos.")
    ] = 0,
    false_calls: Annotated[
        Optional[float],
        _trial_option(
            "Ask also whether the score is a call: it reaches a threshold that at most this share "
            "of clean pictures of other photos reaches."
        ),
    ] = None,
    clean: Annotated[
        int, _trial_option("Least number of trials with ratio 1, the clean pictures.")
    ] = 0,
    curve: Annotated[
        str, typer.Option(help="Psychometric curve: weibull or logistic.")
    ] = "weibull",
    trials: Annotated[
        Optional[list[Path]],
        typer.Option(
            help="CSV file of external trials, for instance of a person, as a further method; "
            "repeatable."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Number of processes; 0 means one per processor, at most 8.")
    ] = 0,
    time_limit: TimeLimit = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    engine: Engine = "local",
    address: Address = None,
    actors: Actors = 0,
) -> None:
    """Measure the smallest change that methods find: hit rates, psychometric curves, thresholds.

    The trials have several ratios and radii; trials with ratio 1 measure chance. With --engine ray
    each process of the cluster gets the trials on one photo at a time.

    Example: `localize sharpness boundary ringvote-told --photos photos --out sharp`

    Example: `localize sharpness ringvote --photos photos --adaptive 240 --out sharp`

    Example: `localize sharpness ringvote --photos photos --false-calls 0.05 --out sharp`

    Example: `localize sharpness ringvote --photos photos --engine ray --address auto --out sharp`
    """
    for flag, value in (("--photos", photos), ("--out", out)):
        if value is None:
            raise InputError(f"{flag} is missing: give a folder")
    assert photos is not None
    assert out is not None
    from localize.ray_pool import engine_of
    from localize.sharpness import design as designs
    from localize.sharpness import measurement

    ray = engine_of(engine, address, actors)
    if adaptive is not None and adaptive < 1:
        raise InputError(f"--adaptive is {adaptive}: give a number of trials from 1 up")
    design = designs.Design(
        ratios=_parse_grid(ratios, "--ratios", designs.log_grid),
        radii=_parse_grid(radii, "--radii", _radius_grid),
        sides=_choose(SIDES, sides, "--sides"),
        conditions=designs.parse_conditions(
            _split_list(codecs), _split_list(roundings),
            [console.parse_number(word, "--feathers") for word in _split_list(feathers)],
        ),
        per_cell=per_cell,
        size="keep" if size == "keep" else console.parse_size(size),
        shape=shape,  # type: ignore[arg-type]
        overflow=overflow,  # type: ignore[arg-type]
        within=within,
        share=share,
        adaptive=adaptive or 0,
        seed=seed,
        clean=clean,
        false_calls=false_calls,
    )  # fmt: skip
    result = measurement.measure(
        specs or [], photos, out, design, trials=trials or [],
        curve=curve,  # type: ignore[arg-type]
        workers=workers, time_limit=time_limit, overwrite=overwrite, resume=resume,
        step=console.ray_progress if ray else console.progress, ray=ray,
    )  # fmt: skip
    _print_thresholds(result, design)


def _split_list(text: str) -> list[str]:
    """The parts of a text between commas."""
    return [word.strip() for word in text.split(",")]


def _choose(values: dict[str, Any], word: str, flag: str) -> Any:
    """The value that belongs to a word on the command line."""
    if word not in values:
        raise InputError(f"{flag} is '{word}': use {', '.join(values)}")
    return values[word]


def _parse_grid(
    text: str, flag: str, grid: Callable[[float, float, int], tuple[float, ...]]
) -> tuple[float, ...]:
    """``LO:HI:N`` or ``A,B,…`` -> numbers."""
    if ":" not in text:
        return tuple(console.parse_number(word, flag, text) for word in _split_list(text))
    words = text.split(":")
    if len(words) != 3 or not words[2].isdecimal():
        raise InputError(f"{flag} is '{text}': give LO:HI:N with a whole number N, or A,B,…")
    return grid(
        console.parse_number(words[0], flag, text),
        console.parse_number(words[1], flag, text),
        int(words[2]),
    )


def _radius_grid(low: float, high: float, count: int) -> tuple[float, ...]:
    """``count`` radii from low to high as a geometric series, px."""
    if not 0 < low < high < math.inf or count < 2:
        raise InputError(f"radii are {low:g}:{high:g}:{count}: give LO:HI:N, 0 < LO < HI, N > 1")
    step = (high / low) ** (1 / (count - 1))
    return tuple(round(low * step**k, 2) for k in range(count))


def _print_thresholds(result: Measurement, design: Design) -> None:
    """Print the thresholds over all trials, the false calls and the paths of the results."""
    from localize.cli import tables

    photos, n = result.about["photos"], int(result.thresholds["n"].max())
    title = f"up to {n} trials per method on {photos} photos; 95 % intervals over photos"
    console.print_table(_threshold_table(result.thresholds, title))
    if len(result.detected):
        title = "thresholds of detection: the right place and a call"
        console.print_table(_threshold_table(result.detected, title))
    console.print_line(
        "threshold: ratio with a hit rate halfway between chance and ceiling; hit: within "
        f"{design.within:g} px or {design.share:g} r; contrast: of luminance"
    )
    if len(result.false_calls):
        tables.print_calls(result.false_calls)
    console.print_line("a90 and a90/95, the probability of detection: pod.csv and report.html")
    if errors := sum(result.about["errors"].values()):
        console.print_line(
            f"{errors} trials failed and count as misses: see {result.folder / 'trials.csv'}"
        )
    if skipped := result.about["skipped"]:
        path = result.folder / "sharpness.json"
        console.print_line(f"{len(skipped)} photos or other files cannot be used: see {path}")
    console.print_line(
        f"tables and figures are in {result.folder}; report.html shows them on one page"
    )


def _threshold_table(thresholds: pd.DataFrame, title: str) -> Table:
    """The thresholds over all trials."""
    from rich.table import Table

    from localize.names import plain

    rows = thresholds[thresholds["cut"] == "all"].to_dict("records")
    table = Table(title=title)
    for heading in ("method", "side", "threshold", "contrast", "slope", "guess"):
        table.add_column(heading, justify="left" if heading == "method" else "right", no_wrap=True)
    for row in rows:
        fitted = not row["verdict"]
        table.add_row(
            plain(row["method"]), row["side"],
            _interval(row, "threshold", "threshold", ".3f") if fitted else row["verdict"],
            _interval(row, "contrast_percent", "contrast", ".1f") + " %" if fitted else "",
            f"{row['slope']:.2f}" if fitted else "",
            "–" if math.isnan(row["guess"]) else f"{row['guess']:.3f}",
        )  # fmt: skip
    return table


def _interval(row: dict[Any, Any], value: str, name: str, form: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return f"{row[value]:{form}} [{low:{form}}, {high:{form}}]"
