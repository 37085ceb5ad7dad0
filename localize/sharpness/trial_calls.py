"""Calls in a sharpness run: which trials reach their method's decision threshold.

A trial is called if its score reaches the threshold; it is detected if it is called and its answer
is in the right place. The thresholds are set on the clean trials, those with ratio exactly 1.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from localize.evaluation import calls
from localize.sharpness import adaptive
from localize.sharpness.design import Design, PhotoOrder, grid_trials
from synth.errors import InputError

COLUMNS = ("told_ratio", "call", "detected")  # of trials.csv, with the option
ANSWERS = {"place": "hit", "detected": "detected", "called": "call"}  # answer -> its column


def add(trials: pd.DataFrame, rate: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All trials -> the same with ``call`` and ``detected``, and ``false_calls.csv``.

    Both columns are empty for a method without calls, such as one that gives no score.
    """
    parts, rows = [], []
    for name, own in trials.groupby("method", sort=False):
        found = calls.cross_fit(
            own["score"].to_numpy(float), (own["side"] == "none").to_numpy(),
            own["photo"].tolist(), rate,
        )  # fmt: skip
        rows.append(found.row(str(name), rate))
        call = pd.Series(found.call.astype(int), own.index, dtype="Int64")
        call = call.mask(np.full(len(own), bool(found.reason)))
        parts.append(own.assign(call=call, detected=call * own["hit"].astype(int)))
    return pd.concat(parts).loc[trials.index], calls.table(rows)


def trials_of_answer(trials: pd.DataFrame, answer: str) -> pd.DataFrame:
    """The trials of the methods that have an answer, with its 0 or 1 in the column ``hit``.

    Args:
        answer: ``place`` (the place is right), ``called`` (the score is a call), or ``detected``
            (both).
    """
    column = ANSWERS[answer]
    if column not in trials:
        return trials.iloc[:0]
    known = trials[trials[column].notna()]
    return known.assign(hit=known[column].astype(int))


def check(design: Design, names: Sequence[str]) -> None:
    """Check that the clean trials of a run can show the wanted rate of false calls.

    Args:
        names: of the photos.

    Raises:
        InputError: they are too few; the message says how many are needed.
    """
    if design.false_calls is None:
        return
    rate, needed = design.false_calls, calls.clean_needed(design.false_calls)
    if len(set(names)) < 2:
        raise InputError("--false-calls needs 2 photos or more: a photo is called without its own")
    found = _fewest(design, names)
    if found >= needed:
        return
    text = (
        f"--false-calls {rate:g} needs {needed} clean trials with other photos; there are {found}"
    )
    if design.size == "keep":
        raise InputError(
            f"{text}, as the clean pictures of a photo are equal with --size keep: give --size "
            "WxH, or more photos"
        )
    clean = bisect.bisect_left(
        range(2 * len(names) * needed),
        needed,
        key=lambda n: _fewest(replace(design, clean=n), names),
    )
    raise InputError(f"{text}: pass --clean {clean}, or a higher rate")


def _fewest(design: Design, names: Sequence[str]) -> int:
    """The fewest different clean pictures that a fold of photos has outside itself."""
    if design.adaptive:
        photos = PhotoOrder(names, design.seed).take(adaptive.trial_count(design))
        clean = np.array(adaptive.is_clean(design, range(len(photos))))
    else:
        trials = grid_trials(replace(design, false_calls=None), names)
        photos = [trial.photo for trial in trials]
        clean = np.array([trial.side == "none" for trial in trials])
    if design.size == "keep":
        first = np.unique(np.array(photos)[clean], return_index=True)[1]
        clean = np.isin(np.arange(len(clean)), np.flatnonzero(clean)[first])
    return calls.fewest_clean(calls.fold_of_photo(photos), clean)
