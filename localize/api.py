"""The Python API: ``load``, ``train``, ``locate``; ``evaluate`` and ``compare`` come along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from localize import localizer as localizers
from localize.comparison import centre_distance, compare, evaluate
from localize.localizer import RUN_FILE, Finding, Localizer, Told, load
from localize.localizer import read_run as describe
from localize.sources import Folder
from synth import folders
from synth.errors import InputError

__all__ = ["compare", "describe", "evaluate", "load", "locate", "train"]


def train(
    name: str,
    dataset: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    **options: Any,
) -> Localizer:
    """Train a method on a dataset's train and val splits; write the run folder ``out``.

    Args:
        options: of the method: ``input``, ``epochs``, ``batch``, ``seed``, ``device``, ...

    Raises:
        InputError: bad input; nothing is left under the name ``out``.
    """
    if Path(name).is_dir():
        raise InputError(f"{name} is a run folder: to train, name a method (localize methods)")
    entry = localizers.method(name)
    if entry.learns == "nothing":
        raise InputError(f"{name} learns nothing: use it by its name")
    train_split, val_split = Folder(dataset, "train"), Folder(dataset, "val")
    learner = localizers.create(name, **options)
    with folders.staged(Path(out), RUN_FILE, overwrite=overwrite, resume=resume) as run:
        learner.fit(train_split, val_split, run)
        about = describe(run) | {"val_centre_distance": centre_distance(dataset)}
        folders.write(run / RUN_FILE, json.dumps(about, indent=2) + "\n")
    return learner


def locate(
    localizer: Localizer | str | Path,
    image: np.ndarray,
    *,
    r: float | None = None,
    ratio: float | None = None,
) -> Finding:
    """(H, W, 3) uint8 -> where a localizer (or the SPEC of one) sees the change, px.

    Args:
        r, ratio: what a told method is told; others never see them.

    Raises:
        InputError: a told method lacks r or ratio, or one of them is no positive number.
    """
    if isinstance(localizer, str | Path):
        localizer = load(localizer)
    told = None
    if localizer.told:
        if r is None or ratio is None:
            raise InputError("this method is told the radius and the ratio: give both, r and ratio")
        if not (0 < r < float("inf") and 0 < ratio < float("inf")):
            raise InputError(f"r is {r:g} and ratio is {ratio:g}: give numbers above 0")
        told = [Told(r, ratio)]
    return localizer.locate([image], told)[0]
