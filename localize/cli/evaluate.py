"""The commands ``localize evaluate`` and ``localize compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from localize.cli.arguments import (
    Actors,
    Address,
    Dataset,
    Engine,
    FalseCalls,
    Overwrite,
    Resume,
    Seeds,
    Split,
    TimeLimit,
)
from localize.cli.options import add_option_flags
from synth import console


def evaluate(
    specs: Annotated[
        list[str],
        typer.Argument(
            help="Methods, run folders, file.py:function, model.onnx or anomalib:MODEL.",
            metavar="SPEC…",
        ),
    ],
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    split: Split = None,
    false_calls: FalseCalls = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    time_limit: TimeLimit = None,
    engine: Engine = "local",
    address: Address = None,
    actors: Actors = 0,
) -> None:
    """Score localizers on a dataset; the centre guess is always scored with them.

    A function in a Python file gets an (H, W, 3) uint8 array and returns (x, y) or an (H, W) map.
    It runs in its own process. The answer of a map is the centre of the plateau of its maximum; a
    flat map is no answer. An image without a finite answer counts as a miss. A model of anomalib is
    trained on the dataset first.

    Example: `localize evaluate boundary runs/last set --out scores`

    Example: `localize evaluate mine.py:find anomalib:padim set --out scores`

    Example: `localize evaluate ringvote set --engine ray --address auto --out scores`
    """
    from localize import comparison
    from localize.cli import tables
    from localize.ray_pool import engine_of

    ray = engine_of(engine, address, actors)
    result = comparison.evaluate(
        specs, dataset, out, split=split, false_calls=false_calls, overwrite=overwrite,
        resume=resume, step=console.ray_progress if ray else console.progress,
        time_limit=time_limit, say=console.print_line, ray=ray,
    )  # fmt: skip
    tables.print_scores(result, split)


@add_option_flags
def compare(
    dataset: Dataset,
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    options: dict[str, Any],
    methods: Annotated[
        Optional[str],
        typer.Option(
            help="Methods, file.py:function or anomalib:MODEL, joined by commas [all methods but "
            "the slow heatmap and ringvote-careful*]."
        ),
    ] = None,
    split: Split = None,
    seeds: Seeds = 1,
    false_calls: FalseCalls = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    engine: Engine = "local",
    address: Address = None,
    actors: Actors = 0,
) -> None:
    """Train methods, score them on a dataset and draw the figures.

    With --seeds, a method that is trained on labelled images is trained several times. The tables
    show the mean over the seeds and its standard deviation, seeds.csv each seed. With --engine ray,
    methods are trained on this machine and answer on the cluster.

    Example: `localize compare set --methods cnn-fast,boundary --epochs-scale 0.5 --out results`

    Example: `localize compare set --methods cnn-slow,unet-dsnt --seeds 5 --out results`
    """
    from localize import comparison
    from localize.cli import tables
    from localize.ray_pool import engine_of

    ray = engine_of(engine, address, actors)
    result = comparison.compare(
        dataset,
        out,
        methods.split(",") if methods else comparison.DEFAULT_METHODS,
        split=split,
        seeds=seeds,
        false_calls=false_calls,
        overwrite=overwrite,
        resume=resume,
        step=console.ray_progress if ray else console.progress,
        say=console.print_line,
        ray=ray,
        **options,
    )
    tables.print_scores(result, split)
