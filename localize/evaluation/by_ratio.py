"""Hit rate by the size of the change: the images in bins of |log ratio|."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import metrics
from localize.evaluation.calibration import wilson_interval
from localize.localizer import HIT_RADIUS

FILE = "found-by-ratio"  # name of the table and of the figure, without suffix
COLUMNS = (
    "method", "ratio_from", "ratio_to", "ratio", "n", "hit@5", "hit@5_low", "hit@5_high",
)  # fmt: skip
MIN_ROWS = 10  # images in a bin, at least
MAX_BINS = 8
MIN_SPREAD = 2.0  # the largest |log ratio| is at least this many times the smallest


def hit_rates_by_ratio(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions -> one row per method and bin of |log ratio|; no rows if the ratios are similar.

    The bins are the same for all methods and hold nearly equal numbers of images. A darker region
    counts as its inverse ratio: ``ratio_from`` and ``ratio_to`` are exp(|log ratio|) of the
    bin's faintest and strongest region, ``ratio`` of the bin's mean of log |log ratio|. Images
    of ratio 1 are left out. ``n`` is the method's number of images in the bin, ``hit@5`` the share
    of them with an answer within ``HIT_RADIUS``.
    """
    sizes = log_ratio_sizes(predictions["discolor_ratio"])
    rows = predictions.assign(size=sizes)[sizes > 0]
    images = rows.drop_duplicates(["file_name", "discolor_ratio"])["size"].to_numpy()
    lowest = lowest_of_bins(images)
    bins: list[dict[str, Any]] = []
    for method, own in rows.groupby("method", sort=False) if len(lowest) > 1 else ():
        for i, inside in own.groupby(bin_of(own["size"].to_numpy(), lowest)):
            limits = _ratio_limits(images[bin_of(images, lowest) == i])
            bins.append({"method": method, **limits, **_hit_rate(inside)})
    return pd.DataFrame(bins, columns=list(COLUMNS))


def lowest_of_bins(sizes: np.ndarray) -> np.ndarray:
    """(N,) values of |log ratio| above 0 -> (k,) smallest value of each bin, ascending.

    The largest k up to ``MAX_BINS`` is taken for which each of k quantile groups has ``MIN_ROWS``
    values; equal values are in the same group. k is 0 if the values are similar: the largest is
    less than ``MIN_SPREAD`` times the smallest.

    >>> lowest_of_bins(np.array([0.1] * 10 + [0.2] * 9 + [0.4] * 3))
    array([0.1, 0.2])
    >>> lowest_of_bins(np.linspace(0.1, 0.19, 80))
    array([], dtype=float64)
    """
    levels, counts = np.unique(sizes, return_counts=True)
    if not len(levels) or levels[-1] < MIN_SPREAD * levels[0]:
        return np.empty(0)
    middle_rank = (np.cumsum(counts) - counts / 2) / len(sizes)
    for k in range(MAX_BINS, 1, -1):
        groups, first = np.unique(np.floor(middle_rank * k), return_index=True)
        if len(groups) == k and np.add.reduceat(counts, first).min() >= MIN_ROWS:
            return np.asarray(levels[first], float)
    return levels[:1]


def bin_of(sizes: np.ndarray, lowest: np.ndarray) -> np.ndarray:
    """(N,) |log ratio| and (k,) smallest value of each bin -> (N,) number of the bin, from 0."""
    return np.searchsorted(lowest, sizes, side="right") - 1


def _ratio_limits(sizes: np.ndarray) -> dict[str, float]:
    """(N,) |log ratio| of a bin's images -> smallest, largest and middle as ratios above 1."""
    limits = sizes.min(), sizes.max(), np.exp(np.log(sizes).mean())
    return {name: float(np.exp(size)) for name, size in zip(COLUMNS[1:4], limits, strict=True)}


def log_ratio_sizes(ratios: pd.Series) -> np.ndarray:
    """N ratios -> (N,) |log ratio|."""
    return np.abs(np.log(ratios.to_numpy(float)))


def _hit_rate(rows: pd.DataFrame) -> dict[str, float]:
    """``n`` and ``hit@5`` of one method's rows in a bin, with the interval of rate_interval.

    The answers of several seeds to an image count as one answer.
    """
    hits = (rows["distance"] <= HIT_RADIUS).to_numpy(float)
    seeds = max(1, rows["seed"].nunique()) if "seed" in rows else 1
    n = len(hits) // seeds
    low, high = rate_interval(hits, rows["photo"].tolist(), n)
    return {"n": n, "hit@5": float(hits.mean()), "hit@5_low": low, "hit@5_high": high}


def rate_interval(
    hits: np.ndarray, photos: Sequence[object], n: int | None = None
) -> tuple[float, float]:
    """(N,) hits, N photo names -> the 95 % interval of their share.

    It reaches from the lower of the lower ends to the higher of the higher ends of the bootstrap
    over photos and of Wilson's interval. For few images the bootstrap is too narrow, and without
    width where all or no images are hits; Wilson's ignores that images of one photo depend on each
    other.

    Args:
        n: number of independent answers, if several of the hits are answers to one image.
    """
    n = n or len(hits)
    low, high = metrics.bootstrap(hits, photos)
    wilson_low, wilson_high = wilson_interval(hits.mean() * n, np.array(n))
    return float(np.minimum(low, wilson_low)), float(np.maximum(high, wilson_high))
