"""The ``localize`` command: registers the commands of this package."""

from __future__ import annotations

import os
import tempfile
from typing import Annotated

import typer

from localize.cli.evaluate import compare, evaluate
from localize.cli.export import export
from localize.cli.find import find
from localize.cli.gate import gate
from localize.cli.learning_curve import learning_curve
from localize.cli.play import play
from localize.cli.pod import pod
from localize.cli.report import report
from localize.cli.score import score
from localize.cli.sharpness import sharpness
from localize.cli.train import train
from synth import console

# The import of torch makes a folder for compiled code and never removes it. The commands compile
# nothing, so that torch can use the folder for temporary files itself.
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.gettempdir())

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Train, run and score localizers, which answer where in an image the anomaly is.",
)


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=console.version_callback("localize"),
            help="Print the version.",
        ),
    ] = False,
) -> None: ...


@console.command(app)
def methods() -> None:
    """List the methods: what each learns from, what it is told, and what it answers.

    An answer has a place (x and y), a score of the image, a map of the image, or several of these.

    Example: `localize methods`
    """
    from localize.registry import METHODS

    width = max(map(len, METHODS))
    for name, entry in METHODS.items():
        told = " and ".join(sorted(entry.told)) or "nothing"
        gives = ", ".join(part for part in ("place", "score", "map") if part in entry.gives)
        print(
            f"{name:<{width}}  learns from: {entry.learns:<8}  told: {told:<20}  "
            f"gives: {gives:<17}  {entry.summary}"
        )


_COMMANDS = (
    train, evaluate, compare, find, export, play, score, report, sharpness, pod, gate,
)  # fmt: skip
for _command in _COMMANDS:
    console.command(app)(_command)
console.command(app, "learning-curve")(learning_curve)
