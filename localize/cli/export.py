"""The command ``localize export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from synth import console


def export(
    run: Annotated[str, typer.Argument(help="Run folder of a trained method.", metavar="RUN")],
    out: Annotated[Path, typer.Argument(help="ONNX file to write; its name ends in .onnx.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace OUT if an earlier export wrote it.")
    ] = False,
) -> None:
    """Export a trained method as an ONNX file, and check that its answers are the same.

    The sidecar OUT.json says how images enter and what the outputs are. Both files are written only
    if onnxruntime gives the same answers to synthetic images as the method: the largest differences
    are printed. If they are too large, nothing is written and the exit code is 1.

    Needs `pip install 'acuity[onnx]'`.

    Example: `localize export runs/slow slow.onnx`
    """
    from localize import onnx_export

    found = onnx_export.export(run, out, overwrite=overwrite)
    console.print_line(f"largest differences on {found.images} synthetic images: {found}")
    if found.fault:
        console.print_line(f"{run} is not exported: its ONNX file answers otherwise: {found.fault}")
        raise typer.Exit(1)
    console.print_line(f"{out}: {out.stat().st_size / 2**20:.1f} MiB; sidecar {out}.json")
