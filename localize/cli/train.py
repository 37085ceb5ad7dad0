"""The command ``localize train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from localize.cli.arguments import DATASET_HELP, Overwrite, Resume, Seeds
from localize.cli.options import add_option_flags
from synth import console


@add_option_flags
def train(
    spec: Annotated[
        str, typer.Argument(help="A method that learns, or anomalib:MODEL.", metavar="SPEC")
    ],
    out: Annotated[Path, typer.Option(help="Run folder to write.")],
    options: dict[str, Any],
    dataset: Annotated[Optional[str], typer.Argument(help=DATASET_HELP)] = None,
    photos: Annotated[
        Optional[str],
        typer.Option(
            help="Instead of DATASET: path or URL of photos from which endless images are drawn."
        ),
    ] = None,
    recipe: Annotated[
        Optional[Path], typer.Option(help="Recipe of endless images: a preset or a file [default].")
    ] = None,
    seeds: Seeds = 1,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> None:
    """Train a method on the train split of a dataset.

    The epoch with the best result on the val split is kept. patchcore has no epochs: it stores
    patches of the clean images.

    With --photos, the method learns from endless images: labelled images that are drawn from photos
    during training. Photos that are broken, animated, transparent or smaller than the recipe's size
    are skipped, as by synth generate, and listed in skipped.csv in the run folder.

    With --seeds, OUT holds a run folder for each seed, and seeds.csv.

    Example: `localize train cnn-fuse-last set --out runs/last --input 400x400`

    Example: `localize train ringvote --photos photos --recipe ringvote.json --out ring`

    Example: `localize train anomalib:padim set --out padim` (after `make peers`)
    """
    if seeds != 1:
        _train_seeds(
            spec, dataset, out, seeds, photos=photos, recipe=recipe, overwrite=overwrite,
            resume=resume, say=console.print_line, **options,
        )  # fmt: skip
        return
    from localize import api

    api.train(
        spec, dataset, out, photos=photos, recipe=recipe, overwrite=overwrite, resume=resume,
        say=console.print_line, **options,
    )  # fmt: skip
    if photos is not None:
        console.print_passed_over(photos)
    console.print_line(f"{out}: {_summary(api.describe(out))}")


def _train_seeds(
    spec: str, dataset: str | None, out: Path, seeds: int, *, photos: str | None, **more: Any
) -> None:
    """Train a method with several seeds; print a line for each and one for all."""
    from localize.evaluation.seeds import describe_spread
    from localize.seed_training import train_seeds
    from localize.training.collapse import COLLAPSED

    def finished(seed: int, about: dict[str, Any]) -> None:
        console.print_line(f"seed {seed}: {_summary(about)}")

    runs = train_seeds(spec, dataset, out, seeds, photos=photos, finished=finished, **more)
    if photos is not None:
        console.print_passed_over(photos)
    spread = describe_spread([about["val_distance"] for about in runs.values()])
    collapsed = [str(seed) for seed, about in runs.items() if about.get("collapsed_at")]
    note = f"; {len(collapsed)} of them {COLLAPSED} (seed {', '.join(collapsed)})"
    console.print_line(
        f"{out}: {len(runs)} seeds, mean validation distance {spread}{note if collapsed else ''}"
    )


def _summary(about: dict[str, Any]) -> str:
    """The result of a training in one line."""
    if "trained" in about:
        return str(about["trained"])
    if "bank" in about:
        return (
            f"{about['bank'][0]} patches of {about['train_images']} clean images in the bank "
            f"(weights: {about['weights']['source']}); {_threshold(about)}"
        )
    epoch = f"best epoch {about['best_epoch']} of {about['last_epoch']}"
    if "threshold" in about:
        return f"{epoch} on {about['train_images']} clean images; {_threshold(about)}"
    from localize.training.collapse import COLLAPSED

    since = about.get("collapsed_at")
    return (
        f"{epoch}, validation distance {about['val_distance']:.1f} px "
        f"(centre guess {about['val_centre_distance']:.1f} px)"
    ) + (f"; {COLLAPSED} since epoch {since}" if since else "")


def _threshold(about: dict[str, Any]) -> str:
    """The threshold of a method that learns from clean images."""
    threshold = about["threshold"]
    score = "" if threshold["score"] is None else f" {threshold['score']:.4g}"
    return f"threshold{score}, {threshold['what']}"
