"""Command-line arguments and flags that several commands share."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from localize.external.options import TIME_LIMIT
from synth.engine_names import EngineName

DATASET_HELP = "Dataset folder that synth wrote, or path or URL of a sharded dataset."
Dataset = Annotated[str, typer.Argument(help=DATASET_HELP)]
Engine = Annotated[
    EngineName,
    typer.Option(
        help="Where the localizers answer: local (this machine) or ray (the processes of a Ray "
        "cluster, with the same results; needs the extra ray)."
    ),
]
Address = Annotated[
    Optional[str],
    typer.Option(
        help="With --engine ray: HOST:PORT of the cluster, or auto for the one that this machine "
        "belongs to [Ray is started on this machine].",
        show_default=False,
    ),
]
Actors = Annotated[
    int,
    typer.Option(
        help="With --engine ray: number of processes that each load the localizers; 0 means one "
        "per GPU of the cluster, or as many as its CPUs suffice for where there is no GPU."
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace OUT if an earlier run wrote it.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an interrupted run.")]
Seeds = Annotated[
    int,
    typer.Option(
        help="Number of seeds that each method is trained with: --seed and those that follow it. "
        "Only for methods that learn from labelled images.",
    ),
]
TimeLimit = Annotated[
    Optional[float],
    typer.Option(
        help=f"Time limit for one image in seconds, for a SPEC file.py:function or a run folder of "
        f"anomalib [{TIME_LIMIT:g}]."
    ),
]
FalseCalls = Annotated[
    Optional[float],
    typer.Option(
        help="Ask also whether the score is a call: it reaches a threshold that at most this share "
        "of the clean images of other photos reaches. Adds detected and false calls to the scores."
    ),
]
Split = Annotated[
    Optional[str],
    typer.Option(
        help="Split to score: test, val, train or all [test; val if there is no test split]."
    ),
]
