"""How each method of a comparison stands beside the centre guess, from its predictions alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from localize.evaluation import metrics
from localize.evaluation.detection import Estimate

BASELINE = "centre"
CLOSE = 5.0  # px: a hit
Verdict = Literal["better", "no better", "worse", "no answer", "unknown"]


@dataclass(frozen=True)
class Standing:
    """One method on the images of a split; intervals are 95 % bootstraps over photos, seed 0.

    Args:
        told: what it was told beside the image; None: not known.
        n: images it was asked about.
        answered: images it gave a place for.
        median: distance, px, of its answers.
        mean: the same.
        gain: how much nearer than the centre guess of the same image, px; an image without an
            answer counts as the centre guess, so that silence is no skill.
        close: share of all images found within 5 px.
        inside: share found within the region's radius.
        more_inside: how much more often than the centre guess that is.
    """

    method: str
    told: frozenset[str] | None
    n: int
    answered: int
    median: float
    mean: Estimate
    gain: Estimate
    close: Estimate
    inside: Estimate
    more_inside: Estimate

    @property
    def verdict(self) -> Verdict:
        """Beside the centre guess: what the interval of the gain says."""
        if not self.answered:
            return "no answer"
        if math.isnan(self.gain.low):
            return "unknown"
        if self.gain.low <= 0 <= self.gain.high:
            return "no better"
        return "better" if self.gain.low > 0 else "worse"


def means(columns: Sequence[np.ndarray], photos: Sequence[str]) -> list[Estimate]:
    """k x (N,), N photos -> of each the mean of what is not NaN, and its interval.

    Photos are drawn with replacement, each with all its rows, once for all columns.
    """
    _, where = np.unique(np.asarray(photos, dtype=str), return_inverse=True)
    values = np.column_stack(columns)
    there = ~np.isnan(values)
    sums, counts = (
        np.column_stack([np.bincount(where, weights=column) for column in table.T])
        for table in (np.where(there, values, 0.0), there.astype(float))
    )
    with np.errstate(invalid="ignore"):
        whole = sums.sum(axis=0) / counts.sum(axis=0)
        if len(sums) < 2:
            return [Estimate(float(value), math.nan, math.nan) for value in whole]
        drawn = [(weights @ sums) / (weights @ counts) for weights in metrics.resamples(len(sums))]
    ends = (metrics.interval(column) for column in np.concatenate(drawn).T)
    return [Estimate(float(value), *limits) for value, limits in zip(whole, ends, strict=True)]


def photos(rows: pd.DataFrame) -> list[str]:
    """The photo of every row; where it is not known every image stands for itself."""
    names = rows["file_name"].astype(str)
    if "photo" not in rows:
        return names.tolist()
    known = rows["photo"].fillna("").astype(str)
    return known.where(known != "", names).tolist()


def standings(predictions: pd.DataFrame, methods: dict[str, Any]) -> list[Standing]:
    """All methods, the best first: by how much nearer than the centre guess they are.

    Args:
        methods: what is known of each, by name; ``told`` is looked up there.
    """
    groups = {str(name): rows for name, rows in predictions.groupby("method", sort=False)}
    guess = groups.get(BASELINE)
    found = []
    for name, rows in groups.items():
        distance = rows["distance"].to_numpy(float)
        gain, more = _beside(rows, guess)
        close = (distance <= CLOSE).astype(float)
        estimates = means([distance, gain, close, _inside(rows), more], photos(rows))
        told = methods.get(name, {}).get("told")
        answered = int(np.isfinite(distance).sum())
        median = float(np.nanmedian(distance)) if answered else math.nan
        told = None if told is None else frozenset(told)
        found.append(Standing(name, told, len(rows), answered, median, *estimates))
    return sorted(found, key=_rank)


def _inside(rows: pd.DataFrame) -> np.ndarray:
    return (rows["distance"] <= rows["r"]).to_numpy(float)


def _beside(rows: pd.DataFrame, guess: pd.DataFrame | None) -> tuple[np.ndarray, np.ndarray]:
    """Image by image, (N,) each: how much nearer than the centre, and how much more inside.

    An image without an answer counts 0 px; all is NaN where the centre was not asked.
    """
    if guess is None:
        return np.full(len(rows), math.nan), np.full(len(rows), math.nan)
    names = ("distance", "inside")
    centre = guess.assign(inside=_inside(guess)).drop_duplicates("file_name")
    theirs = centre.set_index("file_name")[list(names)].reindex(rows["file_name"])
    far, inside = (theirs[name].to_numpy(float) for name in names)
    mine = rows["distance"].to_numpy(float)
    return np.where(np.isnan(mine), 0.0 * far, far - mine), _inside(rows) - inside


def _rank(standing: Standing) -> tuple[bool, float]:
    """Silence last; without a centre guess to compare with, by the distance."""
    order = -standing.gain.value if not math.isnan(standing.gain.value) else standing.mean.value
    return not standing.answered, order


def lead(predictions: pd.DataFrame, first: str, second: str) -> Estimate:
    """By how much the first method is nearer than the second, px, image by image.

    Where one of the two gave no place the centre guess stands in, if there is one.
    """
    of = {
        name: rows.groupby("file_name")["distance"].mean()
        for name, rows in predictions.groupby("method")
        if name in (first, second, BASELINE)
    }
    one, other = (of[name].fillna(of.get(BASELINE, of[name])) for name in (first, second))
    gap = (other - one).dropna()
    photo_of = dict(zip(predictions["file_name"], photos(predictions), strict=True))
    return means([gap.to_numpy(float)], [photo_of[name] for name in gap.index])[0]


def best(predictions: pd.DataFrame) -> str | None:
    """The method that stands first beside the centre guess; None where none gave an answer."""
    groups = dict(list(predictions.groupby("method", sort=False)))
    guess = groups.pop(BASELINE, None)
    orders = {}
    for name, rows in groups.items():
        distance = rows["distance"].mean()
        if not math.isnan(distance):
            orders[str(name)] = distance if guess is None else -np.nanmean(_beside(rows, guess)[0])
    return min(orders, key=lambda name: orders[name]) if orders else None


def misses(predictions: pd.DataFrame, method: str, count: int = 12) -> pd.DataFrame:
    """The rows of a method that are outside the region or missing, the most visible first.

    Visible is |log ratio| x r: a strong change of a large region.
    """
    rows = predictions[predictions["method"] == method]
    missed = rows[~(rows["distance"] <= rows["r"])]
    ratio, r = missed["discolor_ratio"].to_numpy(float), missed["r"].to_numpy(float)
    order = np.argsort(-abs(np.log(ratio)) * r, kind="stable")
    return missed.iloc[order[:count]]
