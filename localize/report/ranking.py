"""Ranks the methods of a comparison by their gain over the centre guess, from the predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from localize.evaluation import metrics
from localize.evaluation.detection import Estimate
from localize.localizer import HIT_RADIUS
from localize.registry import BASELINE

Verdict = Literal["better", "no better", "worse", "no answer", "unknown"]


@dataclass(frozen=True)
class MethodResult:
    """One method's results on a split; intervals are 95 % bootstrap over photos, seed 0.

    Args:
        told: what the method is told beside the image; None if unknown.
        n: the number of images.
        answered: the number of images with an answer.
        median: median distance of its answers, px.
        mean: mean distance of its answers, px.
        gain: mean reduction of the distance compared with the centre guess of the same image,
            px. An image without an answer counts as 0, so that leaving out hard images gains
            nothing.
        hit_5: share of all images with an answer within ``HIT_RADIUS``.
        hit_r: share of all images with an answer inside the region's radius.
        hit_r_gain: ``hit_r`` minus that of the centre guess.
    """

    method: str
    told: frozenset[str] | None
    n: int
    answered: int
    median: float
    mean: Estimate
    gain: Estimate
    hit_5: Estimate
    hit_r: Estimate
    hit_r_gain: Estimate

    @property
    def verdict(self) -> Verdict:
        """Compared with the centre guess, by the interval of the gain."""
        if not self.answered:
            return "no answer"
        if math.isnan(self.gain.low):
            return "unknown"
        if self.gain.low <= 0 <= self.gain.high:
            return "no better"
        return "better" if self.gain.low > 0 else "worse"


def mean_estimates(columns: Sequence[np.ndarray], photos: Sequence[str]) -> list[Estimate]:
    """k arrays (N,), N photo names -> the mean of each array without NaN, and its interval.

    All columns share the same bootstrap samples of whole photos.
    """
    _, photo_of = np.unique(np.asarray(photos, dtype=str), return_inverse=True)
    values = np.column_stack(columns)
    valid = ~np.isnan(values)
    sums, counts = (
        np.column_stack([np.bincount(photo_of, weights=column) for column in table.T])
        for table in (np.where(valid, values, 0.0), valid.astype(float))
    )
    with np.errstate(invalid="ignore"):
        whole = sums.sum(axis=0) / counts.sum(axis=0)
        if len(sums) < 2:
            return [Estimate(float(value), math.nan, math.nan) for value in whole]
        samples = [
            (weights @ sums) / (weights @ counts) for weights in metrics.resamples(len(sums))
        ]
    limits = (metrics.interval(column) for column in np.concatenate(samples).T)
    return [Estimate(float(value), *ends) for value, ends in zip(whole, limits, strict=True)]


def photo_names(rows: pd.DataFrame) -> list[str]:
    """The photo of each row; an image of unknown photo counts as a photo of its own."""
    names = rows["file_name"].astype(str)
    if "photo" not in rows:
        return names.tolist()
    known = rows["photo"].fillna("").astype(str)
    return known.where(known != "", names).tolist()


def rank_methods(predictions: pd.DataFrame, methods: dict[str, Any]) -> list[MethodResult]:
    """The results of all methods in descending order of their gain over the centre guess.

    Args:
        methods: the record's entries by name; ``told`` is read from them.
    """
    groups = {str(name): rows for name, rows in predictions.groupby("method", sort=False)}
    centre_rows = groups.get(BASELINE)
    results = []
    for name, rows in groups.items():
        distance = rows["distance"].to_numpy(float)
        gain, hit_r_gain = _gains(rows, centre_rows)
        hit_5 = (distance <= HIT_RADIUS).astype(float)
        columns = [distance, gain, hit_5, _inside(rows), hit_r_gain]
        estimates = mean_estimates(columns, photo_names(rows))
        told = methods.get(name, {}).get("told")
        answered = int(np.isfinite(distance).sum())
        median = float(np.nanmedian(distance)) if answered else math.nan
        told = None if told is None else frozenset(told)
        results.append(MethodResult(name, told, len(rows), answered, median, *estimates))
    return sorted(results, key=_sort_key)


def _inside(rows: pd.DataFrame) -> np.ndarray:
    return (rows["distance"] <= rows["r"]).to_numpy(float)


def _gains(rows: pd.DataFrame, centre_rows: pd.DataFrame | None) -> tuple[np.ndarray, np.ndarray]:
    """(N,) px distance saved, (N,) hits inside the region gained, against the centre guess.

    Compared image by image. An image without an answer counts 0 px. Without predictions of the
    centre guess everything is NaN.
    """
    if centre_rows is None:
        return np.full(len(rows), math.nan), np.full(len(rows), math.nan)
    names = ("distance", "inside")
    centre = centre_rows.assign(inside=_inside(centre_rows)).drop_duplicates("file_name")
    same_images = centre.set_index("file_name")[list(names)].reindex(rows["file_name"])
    centre_distance, centre_inside = (same_images[name].to_numpy(float) for name in names)
    distance = rows["distance"].to_numpy(float)
    saved = np.where(np.isnan(distance), 0.0 * centre_distance, centre_distance - distance)
    return saved, _inside(rows) - centre_inside


def _sort_key(result: MethodResult) -> tuple[bool, float]:
    """Methods without answers last; without a centre guess, by mean distance."""
    gain = result.gain.value
    return not result.answered, -gain if not math.isnan(gain) else result.mean.value


def distance_gap(predictions: pd.DataFrame, first: str, second: str) -> Estimate:
    """Mean of the second method's distance minus the first's on the same image, px.

    A missing answer is replaced by the centre guess, if there is one.
    """
    distances = {
        name: rows.groupby("file_name")["distance"].mean()
        for name, rows in predictions.groupby("method")
        if name in (first, second, BASELINE)
    }
    one, other = (
        distances[name].fillna(distances.get(BASELINE, distances[name])) for name in (first, second)
    )
    gap = (other - one).dropna()
    photo_of = dict(zip(predictions["file_name"], photo_names(predictions), strict=True))
    return mean_estimates([gap.to_numpy(float)], [photo_of[name] for name in gap.index])[0]


def best_method(predictions: pd.DataFrame) -> str | None:
    """The method with the largest gain over the centre guess; None if no method has answers."""
    groups = dict(list(predictions.groupby("method", sort=False)))
    centre_rows = groups.pop(BASELINE, None)
    losses = {}
    for name, rows in groups.items():
        distance = rows["distance"].mean()
        if not math.isnan(distance):
            gain = -distance if centre_rows is None else np.nanmean(_gains(rows, centre_rows)[0])
            losses[str(name)] = -gain
    return min(losses, key=lambda name: losses[name]) if losses else None


def visible_misses(predictions: pd.DataFrame, method: str, count: int = 12) -> pd.DataFrame:
    """A method's rows without an answer inside the region, in descending order of visibility.

    Visibility is |log ratio| x r: high for a large region with a large change. Of several seeds
    of a method, the nearest answer to each image counts.
    """
    rows = predictions[predictions["method"] == method]
    if "seed" in rows and rows["seed"].notna().any():
        rows = rows.sort_values("distance").drop_duplicates("file_name").sort_index()
    missed = rows[~(rows["distance"] <= rows["r"])]
    ratio, r = missed["discolor_ratio"].to_numpy(float), missed["r"].to_numpy(float)
    order = np.argsort(-abs(np.log(ratio)) * r, kind="stable")
    return missed.iloc[order[:count]]
