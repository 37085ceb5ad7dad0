"""The command ``localize pod``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from localize.cli.arguments import Overwrite
from synth import console
from synth.errors import InputError

if TYPE_CHECKING:
    from localize.sharpness.pod.results import PodResult

SIGNAL_PANEL = "Signal instead of hits"


def _signal_option(help: str) -> Any:
    return typer.Option(help=help, rich_help_panel=SIGNAL_PANEL)


def pod(
    table: Annotated[
        Path, typer.Argument(help="CSV with a row per target, or trials.csv of sharpness.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    size: Annotated[
        Optional[str],
        typer.Option(
            help="Column with the sizes of the targets; 0 is a blank, which has no target "
            "[|log discolor_ratio| of trials.csv].",
            metavar="COLUMN",
        ),
    ] = None,
    hit: Annotated[
        Optional[list[str]],
        typer.Option(
            help="Column with 1 for a hit and 0 for a miss; repeatable, for repeated inspections "
            "of the same targets [hit of trials.csv].",
            metavar="COLUMN",
        ),
    ] = None,
    signal: Annotated[
        Optional[str], _signal_option("Column with a continuous signal of each target.")
    ] = None,
    decision: Annotated[
        Optional[float], _signal_option("A signal from this value up is a hit.")
    ] = None,
    censored_below: Annotated[
        Optional[float], _signal_option("Signals at or below this value only lie somewhere there.")
    ] = None,
    censored_above: Annotated[
        Optional[float], _signal_option("Signals at or above this value only lie somewhere there.")
    ] = None,
    signal_scale: Annotated[
        str, _signal_option("linear, or log to regress the logarithm of the signal.")
    ] = "linear",
    by: Annotated[
        Optional[str],
        typer.Option(
            help="Column with populations of targets; tests whether they may be pooled.",
            metavar="COLUMN",
        ),
    ] = None,
    group: Annotated[
        Optional[str],
        typer.Option(
            help="Column with groups whose trials are not independent, for the bootstrap [photo].",
            metavar="COLUMN",
        ),
    ] = None,
    link: Annotated[
        str, typer.Option(help="auto (smallest deviance), logit, probit, cloglog or loglog.")
    ] = "auto",
    scale: Annotated[
        str,
        typer.Option(
            help="POD by the size or its logarithm: auto (smallest deviance), linear or log."
        ),
    ] = "auto",
    model: Annotated[
        str,
        typer.Option(
            help="auto (by likelihood ratio), handbook (POD from 0 to 1) or guess-and-lapse (from "
            "the hit rate of blanks to 1 - lapse)."
        ),
    ] = "auto",
    only: Annotated[
        Optional[list[str]],
        typer.Option(
            help="Use only the rows with this value in this column; repeatable.",
            metavar="COLUMN=VALUE",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Estimate the probability of detection (POD): a90, the size found with probability 0.9.

    a90/95 is the upper 95 % bound of a90. The table shows all models, so that none is chosen for
    its a90/95.

    Example: `localize pod table.csv --size length --hit found --out pod`

    Example: `localize pod table.csv --size length --signal amplitude --decision 200 --out pod`

    Example: `localize pod sharp/trials.csv --only method=ringvote --out pod`
    """
    from localize.sharpness.pod import analysis
    from localize.sharpness.pod.options import PodOptions

    options = PodOptions(
        size=size or "", hits=tuple(hit or ()), signal=signal or "", decision=decision,
        censored_below=-math.inf if censored_below is None else censored_below,
        censored_above=math.inf if censored_above is None else censored_above,
        signal_scale=signal_scale, by=by or "", group=group or "", link=link, scale=scale,
        model=model,
        only=tuple(map(_parse_pair, only or ())),
    )  # fmt: skip
    result = analysis.measure(table, out, options, overwrite=overwrite, step=console.progress)
    _print_result(result)


def _parse_pair(text: str) -> tuple[str, str]:
    """``COLUMN=VALUE`` -> column and value."""
    column, equals, value = text.partition("=")
    if not equals or not column.strip():
        raise InputError(f"--only is '{text}': give COLUMN=VALUE, as in method=ringvote")
    return column.strip(), value.strip()


def _print_result(result: PodResult) -> None:
    """Print the chosen model, the warnings and the paths of the results."""
    from rich.table import Table

    about, row = result.about, result.chosen
    sizes = about["result"]
    table = Table(
        title=f"{about['targets']} targets, {about['hits']} of {about['trials']} trials are hits"
    )
    headings = {"a50": "a50", "a90": "a90", "a90_95": "a90/95", "a90_95_one_sided": "one-sided"}
    if not math.isnan(row["a90_95_bootstrap"]):
        headings["a90_95_bootstrap"] = f"bootstrap ({about['group']})"
    table.add_column("chosen model", no_wrap=True)
    for heading in headings.values():
        table.add_column(heading, justify="right")
    table.add_row(sizes["model"], *(_size(row, name, about["side"]) for name in headings))
    console.print_table(table)
    if row["verdict"]:
        console.print_line(row["verdict"])
    elif sizes["a90_95_larger"]:
        console.print_line(
            f"a90/95 {sizes['a90_95_larger']} (by {sizes['basis']}): targets of this size are "
            "found with probability 0.9 or more, with 95 % confidence"
        )
    if (alike := about["alike"])["models"] > 1:
        console.print_line(
            f"{alike['models']} models fit about equally well (deviance within 2): their a90/95 "
            f"goes from {alike['low']} to {alike['high']}"
        )
    for note in about["notes"]:
        console.print_line(f"note: {note}")
    for warning in result.warnings:
        console.print_line(f"warning: {warning}")
    console.print_line(
        f"all models are in {result.folder}/pod.csv; report.html shows them on one page"
    )


def _size(row: Any, name: str, side: str) -> str:
    """A size of a row of pod.csv; a ratio for trials of sharpness."""
    value = row[name]
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "no limit"
    if side:
        return f"{math.exp(-value if side == 'darker' else value):.4f}"
    return f"{value:.5g}"
