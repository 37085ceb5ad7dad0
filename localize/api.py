"""The Python API: what :mod:`localize` exports, from train to check."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from localize import registry
from localize.comparison import compare, evaluate
from localize.data import endless, recipe_stages, unusable_photos
from localize.data.folder import Folder
from localize.evaluation.baseline import centre_distance
from localize.evaluation.validity import has_no_place, validate
from localize.external_predictions import score
from localize.gate.checks import check
from localize.learning_curves import learning_curve
from localize.localizer import Finding, Known, Localizer, Range, Source, as_localizer
from localize.registry import Method, load
from localize.run_files import RUN, read_run, write_run
from synth import console, folders, paths
from synth.errors import InputError, Skipped
from synth.paths import path_of
from synth.recipe import PRESETS

__all__ = [
    "check", "compare", "describe", "evaluate", "learning_curve", "load", "locate", "score",
    "train",
]  # fmt: skip

SKIPPED_FILE = "skipped.csv"  # in a run folder: the photos that could not be used


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
    """Train a method on the train split of a dataset; write the run folder ``out``.

    Args:
        dataset: the folder of the dataset; its val split chooses the best epoch; None with
            ``photos``.
        photos: instead of a dataset, a folder of photos from which endless images are drawn. Photos
            that cannot be used are listed in ``out/skipped.csv``.
        recipe: of the endless images: a preset, a recipe file, or a file of stages
            (:mod:`localize.data.recipe_stages`) [default].
        resume: continue an interrupted run with the same request.
        say: called with a line of text if photos are skipped.
        options: of the method: ``input``, ``epochs``, ``backbone``, ``seed``, ``device``, ...

    Raises:
        InputError: bad input; nothing is left under the name ``out``.
    """
    name, out = registry.expand_home(name), path_of(out)
    if Path(name).is_dir():
        raise InputError(f"{name} is a run folder: to train, name a method (localize methods)")
    entry = registry.method(name)
    if entry.learns == "nothing":
        raise InputError(f"{name} learns nothing: use it by its name")
    seed, progress = options.get("seed", 0), options.get("progress", True)
    sources = _sources(entry, dataset, photos, recipe, seed, progress)
    learner = registry.create(name, **registry.options_by_method([entry], options)[name])
    recipe_file = None if str(recipe) in PRESETS else recipe
    with folders.stage(
        out,
        RUN,
        reads=paths.inputs(dataset, photos, recipe_file, *options.values()),
        overwrite=overwrite,
        resume=resume,
    ) as run:
        skipped_before = _write_skipped(sources, run, say)
        centre = centre_distance(sources[1])
        learner.fit(*sources, run)
        write_run(run, describe(run) | {"val_centre_distance": centre})
        if len(unusable_photos.skipped_photos(sources)) > skipped_before:
            _write_skipped(sources, run, say)
    return learner


def _sources(
    entry: Method,
    dataset: str | Path | None,
    photos: str | Path | None,
    recipe: str | Path | None,
    seed: int,
    progress: bool,
) -> tuple[Source, Source]:
    """The images for training, and those for validation."""
    if (dataset is None) == (photos is None):
        raise InputError("give either a DATASET or --photos DIR to learn from")
    if dataset is not None:
        if recipe is not None:
            raise InputError("--recipe is for --photos: the images of a dataset exist already")
        return Folder(dataset, "train"), Folder(dataset, "val")
    if entry.learns != "labelled":
        raise InputError(f"{entry.name} learns from a dataset: make one with synth generate")
    assert photos is not None
    stages = recipe_stages.load(recipe or "default")
    show_progress = console.progress if progress else console.no_progress
    with show_progress("photos") as step:
        return endless.split(photos, stages, seed, step)


def _write_skipped(sources: Sequence[Source], run: Path, say: Callable[[str], None]) -> int:
    """Write the list of photos that cannot be used to the run folder -> their number."""
    skipped = unusable_photos.skipped_photos(sources)
    if skipped:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([("photo", "reason"), *skipped.items()])
        folders.write(run / SKIPPED_FILE, text.getvalue())
        say(f"{unusable_photos.skipped_summary(sources)} (see {SKIPPED_FILE} in the run folder)")
    return len(skipped)


def describe(run: str | Path) -> dict[str, Any]:
    """A run folder -> the content of its ``model.json``: method, options, training.

    Raises:
        InputError: it is no run folder, or its description is damaged.
    """
    return read_run(path_of(run))


def locate(
    localizer: Localizer | str | Path,
    image: np.ndarray,
    *,
    r: float | Range | None = None,
    ratio: float | Range | None = None,
) -> Finding:
    """(H, W, 3) uint8 -> the answer of a localizer or a SPEC, px.

    Args:
        r: radius in px, or its range (lowest, highest). Told methods need a number, ``ringvote``
            accepts both, other image-only methods ignore it.
        ratio: the ratio or its range, likewise.

    Raises:
        InputError: a told method lacks r or ratio, or one of them is not above 0.
        Skipped: there is no answer, for instance because the map is flat; the message says why.
            x and y that are NaN are no fault if the localizer gives no place.
    """
    known = Known(_to_range(r), _to_range(ratio))
    localizer = load(localizer) if isinstance(localizer, str | Path) else as_localizer(localizer)
    answer = _locate(localizer, image, known)
    finding, fault = validate(answer)
    if fault and ("place" in localizer.gives or not has_no_place(answer)):
        raise Skipped(fault)
    return finding


def _locate(localizer: Localizer, image: np.ndarray, known: Known) -> Finding:
    """The answer as the localizer returns it; it is not checked yet."""
    if localizer.told:
        if known.r is None or known.ratio is None:
            raise InputError("this method is told the radius and the ratio: give both, r and ratio")
        if known.told is None:
            raise InputError("this method is told one radius and one ratio: ringvote takes ranges")
        return localizer.locate([image], [known.told])[0]
    if localizer.takes_ranges and known != Known():
        return localizer.seek(image, known)
    return localizer.locate([image], None)[0]


def _to_range(value: float | Range | None) -> Range | None:
    """A number -> a range with equal ends; a range or None is returned unchanged."""
    if value is None:
        return None
    low, high = np.broadcast_to(value, 2).tolist()
    return low, high
