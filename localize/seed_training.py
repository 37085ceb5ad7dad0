"""Training of one method with several seeds, each in a run folder of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from localize import api, registry
from localize.data.folder import Folder
from localize.evaluation import tables
from localize.evaluation.seeds import seed_numbers
from synth import dataset as datasets
from synth import folders, paths
from synth.errors import InputError, Interrupted
from synth.json_files import read_object
from synth.paths import name_of, path_of
from synth.recipe import PRESETS
from synth.run_request import check_same_request

REQUEST = "seeds.json"  # in OUT: the request of the run
MARKER = folders.Marker(REQUEST, lambda about: about.keys() >= {"method", "options", "seeds"})
TABLE = "seeds.csv"  # in OUT, with these columns of model.json
COLUMNS = ("seed", "best_epoch", "last_epoch", "val_distance", "collapsed_at")
Runs = dict[int, dict[str, Any]]  # seed -> the content of its model.json


def train_seeds(
    name: str,
    dataset: str | Path | None,
    out: str | Path,
    seeds: int,
    *,
    photos: str | Path | None = None,
    recipe: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    say: Callable[[str], None] = lambda line: None,
    finished: Callable[[int, dict[str, Any]], None] = lambda seed, about: None,
    **options: Any,
) -> Runs:
    """Train a method with ``seeds`` seeds; write the run folders ``out/seed-N`` and a table.

    Args:
        seeds: how many; the first one is the option ``seed``, the next ones follow it.
        resume: continue an interrupted run with the same request; finished seeds are kept.
        finished: called with each seed and the content of its ``model.json``.
        options: of the method; this and all others as for :func:`localize.train`.

    Raises:
        InputError: bad input, or the method does not learn from labelled images.
    """
    name, out = registry.expand_home(name), path_of(out)
    entry = registry.method(name)
    if not entry.takes_seeds:
        raise InputError(f"--seeds is for methods that learn from labelled images: {name} does not")
    numbers = seed_numbers(seeds, options)
    own = registry.options_by_method([entry], options)[name]
    described = entry.options(**own).description() | {"seed": numbers[0]}
    images = _images(dataset, photos, recipe)
    request = {"method": name, **images, "options": described, "seeds": numbers}
    request = json.loads(json.dumps(request, default=str))
    if resume and not overwrite and _is_finished(out, request):
        return _report({seed: api.describe(run_folder(out, seed)) for seed in numbers}, finished)
    recipe_file = None if str(recipe) in PRESETS else recipe
    runs: Runs = {}
    with folders.stage(
        out,
        MARKER,
        reads=paths.inputs(dataset, photos, recipe_file, *options.values()),
        overwrite=overwrite,
        resume=resume,
    ) as building:
        if (building / REQUEST).is_file():
            check_same_request(read_object(building / REQUEST), request, building)
        folders.write(building / REQUEST, json.dumps(request, indent=2) + "\n")
        for seed in numbers:
            run = run_folder(building, seed)
            if not folders.is_finished(run):
                try:
                    api.train(
                        name, dataset, run, photos=photos, recipe=recipe, resume=True, say=say,
                        **options | {"seed": seed},
                    )  # fmt: skip
                except InputError as error:
                    if isinstance(error, Interrupted) or not runs:
                        raise
                    raise Interrupted(f"seed {seed}: {error}; earlier seeds are kept") from None
            runs |= _report({seed: api.describe(run)}, finished)
        rows = [{**about, "seed": seed} for seed, about in runs.items()]
        tables.write(pd.DataFrame(rows).reindex(columns=list(COLUMNS)), building / TABLE)
    return runs


def run_folder(out: Path, seed: int) -> Path:
    """The run folder of a seed."""
    return out / f"seed-{seed}"


def _images(
    dataset: str | Path | None, photos: str | Path | None, recipe: str | Path | None
) -> dict[str, Any]:
    """The images of a training in JSON types; api.train checks that they can be used."""
    if dataset is not None:
        fingerprint = datasets.fingerprint(Folder(dataset, "train").files)
        return {"dataset": name_of(dataset), "table_sha256": fingerprint}
    return {"photos": photos and name_of(photos), "recipe": str(recipe or "default")}


def _is_finished(out: Path, request: dict[str, Any]) -> bool:
    """Whether ``out`` holds a finished run with the same request."""
    return (
        (out / REQUEST).is_file()
        and folders.is_finished(out)
        and read_object(out / REQUEST) == request
    )


def _report(runs: Runs, finished: Callable[[int, dict[str, Any]], None]) -> Runs:
    for seed, about in runs.items():
        finished(seed, about)
    return runs
