"""The command ``localize gate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from synth import console, output_file
from synth.errors import InputError


def gate(
    run: Annotated[
        Path, typer.Argument(help="Folder that sharpness, evaluate, compare, score or pod wrote.")
    ],
    require: Annotated[
        Optional[list[str]],
        typer.Option(
            help="A requirement, as 'a90/95 brighter <= 1.10' or 'hit@5 low >= 0.8'; repeatable.",
            metavar="EXPRESSION",
        ),
    ] = None,
    method: Annotated[
        Optional[str],
        typer.Option(help="Method of RUN to check [the only one beside the centre guess]."),
    ] = None,
    no_worse_than: Annotated[
        Optional[Path],
        typer.Option(
            help="Another run on the same trials or images. The 95 % interval of the difference "
            "from it must exclude that RUN is worse by more than --by.",
            metavar="BASELINE",
        ),
    ] = None,
    by: Annotated[
        Optional[str], typer.Option(help="Margin for --no-worse-than, as 5%.", metavar="MARGIN")
    ] = None,
    baseline_method: Annotated[
        Optional[str], typer.Option(help="Method of BASELINE [the same name].")
    ] = None,
    junit: Annotated[
        Optional[Path], typer.Option(help="JUnit XML file to write.", metavar="FILE")
    ] = None,
    out: Annotated[Optional[Path], typer.Option(help="JSON file to write.", metavar="FILE")] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace the files if an earlier gate wrote them."),
    ] = False,
) -> None:
    """Check the results of a run against requirements, as a gate for an automatic pipeline.

    One line per requirement says whether it holds. Exit code 0: all hold; 1: one fails; 2: bad
    input. A requirement without a number, such as "POD never reaches 0.9", fails.

    Example: `localize gate sharp --require 'a90/95 brighter <= 1.10' --out gate.json`

    Example: `localize gate results --method boundary --require 'hit@5 low >= 0.8'`

    Example: `localize gate sharp --no-worse-than earlier/sharp --by 5% --junit gate.xml`
    """
    from localize.gate import checks, noninferiority, output

    if out is not None and out == junit:
        raise InputError(f"--out and --junit are both {out}: name two files")
    for path, is_ours in ((out, output.is_json), (junit, output.is_junit)):
        if path is not None:
            output_file.check(path, is_ours, overwrite)
    verdict = checks.decide(
        run, require or [], method=method, no_worse_than=no_worse_than,
        margin=None if by is None else noninferiority.parse_margin(by),
        baseline_method=baseline_method,
    )  # fmt: skip
    if out is not None:
        text = output.to_json(verdict.run, verdict.results, verdict.notes)
        output_file.write(out, text.encode(), overwrite)
    if junit is not None:
        output_file.write(junit, output.to_junit(verdict.run, verdict.results).encode(), overwrite)
    for line in verdict.lines:
        console.print_line(line)
    if not verdict.passed:
        raise typer.Exit(1)
