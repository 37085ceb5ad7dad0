"""The Python API: load, train, locate, score; evaluate and compare come along."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from localize import registry
from localize.comparison import centre_distance_of, compare, evaluate
from localize.data import endless, unusable_photos
from localize.data.folder import Folder
from localize.evaluation.validity import validate
from localize.external_predictions import score
from localize.localizer import (
    Finding,
    Known,
    Localizer,
    Range,
    Seeker,
    Source,
    read_run,
)
from localize.registry import Method, load
from localize.run_files import RUN, write_run
from synth import console, folders, paths
from synth.errors import InputError, Skipped
from synth.paths import path_of
from synth.recipe import PRESETS

__all__ = ["compare", "describe", "evaluate", "load", "locate", "score", "train"]


def train(
    name: str,
    dataset: str | Path | None,
    out: str | Path,
    *,
    photos: str | Path | None = None,
    recipe: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] = lambda line: None,
    **options: Any,
) -> Localizer:
    """Train a method on a dataset's train and val splits; write the run folder ``out``.

    Args:
        photos: instead of a dataset: a folder of photos, to learn from pictures without end.
        recipe: how these are drawn: a preset, a recipe file, or one of stages (endless.load).
            Photos that cannot be used are listed in ``out/skipped.csv``.
        say: called with a line where photos are skipped.
        options: of the method: ``input``, ``epochs``, ``backbone``, ``seed``, ``device``, ...

    Raises:
        InputError: bad input; nothing is left under the name ``out``.
    """
    name, out = registry.expand(name), path_of(out)
    if Path(name).is_dir():
        raise InputError(f"{name} is a run folder: to train, name a method (localize methods)")
    entry = registry.method(name)
    if entry.learns == "nothing":
        raise InputError(f"{name} learns nothing: use it by its name")
    seed, progress = options.get("seed", 0), options.get("progress", True)
    train_split, val_split = _sources(entry, dataset, photos, recipe, seed, progress)
    learner = registry.create(name, **registry.choose([entry], options)[name])
    given = None if str(recipe) in PRESETS else recipe
    with folders.staged(
        out,
        RUN,
        reads=paths.inputs(dataset, photos, given, *options.values()),
        overwrite=overwrite,
        resume=resume,
    ) as run:
        skipped = _list_skipped((train_split, val_split), run, say)
        centre = centre_distance_of(val_split)
        learner.fit(train_split, val_split, run)
        write_run(run, describe(run) | {"val_centre_distance": centre})
        if (
            len(unusable_photos.skipped((train_split, val_split))) > skipped
        ):  # more while it trained
            _list_skipped((train_split, val_split), run, say)
    return learner


def describe(run: str | Path) -> dict[str, Any]:
    """What a run folder says of its method and its training.

    Raises:
        InputError: it is no run folder, or its description is damaged.
    """
    return read_run(path_of(run))


def _list_skipped(sources: Sequence[Source], run: Path, say: Callable[[str], None]) -> int:
    """List the photos that cannot be used in the run folder -> how many they are."""
    skipped = unusable_photos.skipped(sources)
    if skipped:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("photo", "reason"), *skipped.items()])
        folders.write(run / "skipped.csv", text.getvalue())
        say(f"{unusable_photos.skipped_line(sources)} (see skipped.csv in the run folder)")
    return len(skipped)


def _sources(
    entry: Method,
    dataset: str | Path | None,
    photos: str | Path | None,
    recipe: str | Path | None,
    seed: int,
    progress: bool,
) -> tuple[Source, Source]:
    """What to train and to validate on."""
    if (dataset is None) == (photos is None):
        raise InputError("give either a DATASET or --photos DIR to learn from")
    if dataset is not None:
        if recipe is not None:
            raise InputError("--recipe is for --photos: a dataset is drawn already")
        return Folder(dataset, "train"), Folder(dataset, "val")
    if entry.learns != "labelled":
        raise InputError(f"{entry.name} learns from a dataset: make one with synth generate")
    assert photos is not None
    mixes = endless.load(recipe or "default")
    with (console.progress if progress else console.silent)("photos") as step:
        return endless.split(photos, mixes, seed, step)


def locate(
    localizer: Localizer | str | Path,
    image: np.ndarray,
    *,
    r: float | Range | None = None,
    ratio: float | Range | None = None,
) -> Finding:
    """(H, W, 3) uint8 -> where a localizer (or the SPEC of one) sees the change, px.

    Args:
        r, ratio: what is known of it, a number or from which to which one; both numbers for a
            told method. ``ringvote`` heeds either; other methods that are told nothing do not.

    Raises:
        InputError: a told method lacks r or ratio, or one of them is no positive number.
        Skipped: it gives no place, for instance a flat map; the line says why.
    """
    if isinstance(localizer, str | Path):
        localizer = load(localizer)
    finding, reason = validate(_ask(localizer, image, r, ratio))
    if reason:
        raise Skipped(reason)
    return finding


def _ask(
    localizer: Localizer,
    image: np.ndarray,
    r: float | Range | None,
    ratio: float | Range | None,
) -> Finding:
    """What a localizer returns, as it is."""
    known = Known(_range(r), _range(ratio))
    if localizer.told:
        if known.r is None or known.ratio is None:
            raise InputError("this method is told the radius and the ratio: give both, r and ratio")
        if known.told is None:
            raise InputError("this method is told one radius and one ratio: ringvote takes ranges")
        return localizer.locate([image], [known.told])[0]
    if isinstance(localizer, Seeker) and known != Known():
        return localizer.seek(image, known)
    return localizer.locate([image], None)[0]


def _range(value: float | Range | None) -> Range | None:
    """A number is a range of one."""
    if value is None:
        return None
    low, high = np.broadcast_to(value, 2).tolist()
    return low, high
