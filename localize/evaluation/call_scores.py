"""The scores of a comparison that ask for a call: shares of images, rate of false calls.

An image with an anomaly is called if its score is a call (:mod:`localize.evaluation.calls`). It is
detected if also the answer is in the right place, within 5 px or half the radius of the true
centre. Images whose place is not known, and methods that give no place, have no detections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from localize.data.folder import Folder
from localize.evaluation import calls, metrics
from localize.evaluation.results import Comparison
from localize.registry import BASELINE
from synth.errors import InputError


def add(result: Comparison, rate: float | None) -> Comparison:
    """The tables with the columns ``CALL_SCORES`` of ``scores.csv``, and ``false_calls.csv``.

    Args:
        rate: the wanted rate of false calls; None: the tables stay as they are.
    """
    if rate is None:
        return result
    rows, scores = [], []
    gives_place = result.scores["hit@5"].notna()
    for name, with_place in zip(result.scores["method"], gives_place, strict=True):
        images, clean = (
            table[table["method"] == name] for table in (result.predictions, result.clean)
        )
        found = _cross_fit(images, clean, rate)
        rows.append(found.row(name, rate))
        scores.append(_scores(images, found, rows[-1], with_place))
    more = pd.DataFrame(scores, columns=list(calls.CALL_SCORES), index=result.scores.index)
    return replace(result, scores=result.scores.join(more), false_calls=calls.table(rows))


def require(result: Comparison) -> Comparison:
    """The same tables, if answers are not called or a method has calls.

    Raises:
        InputError: no method has calls; the message says why the first has none.
    """
    rows = result.false_calls.to_dict("records")
    reasons = {row["method"]: row["reason"] for row in rows if row["method"] != BASELINE}
    if reasons and all(reasons.values()):
        method, reason = next(iter(reasons.items()))
        raise InputError(f"--false-calls: {method}: {reason}")
    return result


def _cross_fit(images: pd.DataFrame, clean: pd.DataFrame, rate: float) -> calls.Calls:
    """The calls of one method, on its images with an anomaly and then on the clean ones."""
    scores = np.concatenate([images["score"].to_numpy(float), clean["score"].to_numpy(float)])
    is_clean = np.arange(len(scores)) >= len(images)
    return calls.cross_fit(scores, is_clean, [*images["photo"], *clean["photo"]], rate)


def _scores(
    images: pd.DataFrame, found: calls.Calls, row: dict[str, Any], with_place: bool
) -> dict[str, float]:
    """The columns of ``scores.csv``; empty without calls."""
    if found.reason:
        return {}
    answers = _add_calls(images, found)
    scores = _share("called", answers)
    if with_place:
        scores |= _share("detected", answers[answers["detected"].notna()])
    rates = {f"false_calls{end}": row[name] for end, name in
             (("", "rate"), ("_low", "low"), ("_high", "high"))}  # fmt: skip
    return scores | rates | {"call_threshold": found.threshold}


def _share(name: str, answers: pd.DataFrame) -> dict[str, float]:
    """The mean of a column with its 95 % interval over photos, as columns; {} without rows."""
    if not len(answers):
        return {}
    values = answers[name].to_numpy(float)
    low, high = metrics.bootstrap(values, answers["photo"].tolist())
    return {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}


def _add_calls(images: pd.DataFrame, found: calls.Calls) -> pd.DataFrame:
    """The rows with the columns ``called`` and ``detected``, which is NaN without a known place."""
    called = found.call[: len(images)]
    hit = metrics.is_hit(images["distance"].to_numpy(), images["r"].to_numpy())
    detected = np.where(images["r"].notna(), hit & called, np.nan)
    return images.assign(called=called.astype(float), detected=detected)


def by_image(images: pd.DataFrame, clean: pd.DataFrame, rate: float) -> pd.DataFrame:
    """The share of the seeds of one method that call and detect each image with an anomaly.

    Each seed has its own threshold. The columns are ``photo``, ``called`` and ``detected``, the
    index the names of the images in ascending order.
    """
    if "seed" not in images or images["seed"].isna().all():
        images, clean = images.assign(seed=0), clean.assign(seed=0)
    parts = []
    for seed, own in images.groupby("seed"):
        parts.append(_add_calls(own, _cross_fit(own, clean[clean["seed"] == seed], rate)))
    columns = {"photo": "first", "called": "mean", "detected": "mean"}
    return pd.concat(parts).groupby("file_name").agg(columns)


def option(source: Folder, rate: float | None) -> dict[str, Any]:
    """The wanted rate as an option to record, {} for none, checked before the run.

    Raises:
        InputError: the clean images of the split are too few for it.
    """
    calls.check_rate(rate)
    if rate is None:
        return {}
    clean: Sequence[str] = [each.photo for each in source.negatives()]
    photos = [*source.groups, *(each.photo for each in source.unplaced), *clean]
    fold = calls.fold_of_photo(photos)
    found = calls.fewest_clean(fold, np.arange(len(photos)) >= len(photos) - len(clean))
    if found < (needed := calls.clean_needed(rate)):
        wider = "" if source.split == "all" else "choose --split all, "
        raise InputError(
            f"--false-calls {rate:g} needs {needed} clean images with other photos; split "
            f"{source.split} has {found} of {len(clean)}: {wider}choose a higher rate, or make "
            "more with synth generate --twins"
        )
    return {"false_calls": rate}
