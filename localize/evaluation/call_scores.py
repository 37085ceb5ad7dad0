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
    called, photos = found.call[: len(images)], images["photo"].to_numpy()
    scores = _share("called", called, photos)
    placed = images["r"].notna().to_numpy()
    if with_place and placed.any():
        hit = metrics.is_hit(images["distance"].to_numpy(), images["r"].to_numpy())
        scores |= _share("detected", (hit & called)[placed], photos[placed])
    rates = {f"false_calls{end}": row[name] for end, name in
             (("", "rate"), ("_low", "low"), ("_high", "high"))}  # fmt: skip
    return scores | rates | {"call_threshold": found.threshold}


def _share(name: str, yes: np.ndarray, photos: np.ndarray) -> dict[str, float]:
    """(N,) bool, N photos -> their share with its 95 % interval over photos, as columns."""
    low, high = metrics.bootstrap(yes, photos.tolist())
    return {name: float(yes.mean()), f"{name}_low": low, f"{name}_high": high}


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
