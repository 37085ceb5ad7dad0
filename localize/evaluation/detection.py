"""Detection metrics: image and pixel AUROC, average precision, best F1 and AUPRO.

A metric is a function of two arrays of histograms, (..., K) each, over the same K levels of the
score in ascending order: the number of clean cases and the number of anomalous cases at each
level. Leading axes are bootstrap samples, so that one call computes a metric for all samples.
For example, scores 0.1 (clean), 0.4 (clean), 0.4 (anomalous) and 0.9 (anomalous) are
``clean = [1, 1, 0]`` and ``anomalous = [0, 1, 1]``. Where one of the two is empty, the metric is
NaN.

To add a metric of whole images, write such a function, add its name to ``IMAGE_METRICS`` and the
function to the tuple in :func:`image_metrics`; a metric of pixels likewise with
``PIXEL_METRICS`` and :func:`pixel_metrics`. The columns of ``scores.csv`` follow from the names;
``report/comparison_page.py`` has the headings of the report's columns.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from localize.evaluation.metrics import DRAWS, interval, resamples

FPR_LIMIT = 0.3  # AUPRO integrates up to this false positive rate
POINTS = 8192  # values kept of the clean pixels of a map, and of each region
BINS = 4096  # histogram bins of equal mass for the clean pixels of all maps
PIXEL_DRAWS = 1000  # bootstrap samples of pixel metrics
IMAGE_METRICS = ("image_auroc", "average_precision", "best_f1")
PIXEL_METRICS = ("pixel_auroc", "aupro")

Histograms = Callable[[np.ndarray], tuple[np.ndarray, ...]]
Metric = Callable[..., np.ndarray]


class Estimate(NamedTuple):
    """A value and its 95 % bootstrap interval over photos; NaN where there is none."""

    value: float
    low: float
    high: float


def _count_above(histogram: np.ndarray) -> np.ndarray:
    """(..., K) -> (..., K): the number of cases at each level or above it."""
    return np.cumsum(histogram[..., ::-1], axis=-1)[..., ::-1]


def _divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and NaN for 0 / 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(part / whole)


def auroc(clean: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """(..., K), (..., K) -> (...): probability that an anomalous case scores above a clean one.

    A tie counts half.

    >>> auroc(np.array([2, 1, 0]), np.array([0, 1, 1]))
    array(0.91666667)

    Source: Mann and Whitney (1947); Hanley and McNeil, Radiology 143 (1982).
    """
    below = np.cumsum(clean, axis=-1) - clean / 2
    return _divide((anomalous * below).sum(axis=-1), clean.sum(axis=-1) * anomalous.sum(axis=-1))


def average_precision(clean: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """(..., K), (..., K) -> (...): mean, over the anomalous cases, of the precision at their level.

    >>> average_precision(np.array([2, 1, 0]), np.array([0, 1, 1]))
    array(0.83333333)
    """
    true_positives = _count_above(anomalous)
    positives = true_positives + _count_above(clean)
    positives[positives == 0] = 1  # the numerator is 0 as well
    precisions = (anomalous * (true_positives / positives)).sum(axis=-1)
    mean = _divide(precisions, anomalous.sum(axis=-1))
    return np.where(clean.sum(axis=-1) > 0, mean, np.nan)


def f1(clean: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """(..., K), (..., K) -> (..., K): F1 score with each level as the decision threshold.

    >>> f1(np.array([2, 1, 0]), np.array([0, 1, 1]))
    array([0.57142857, 0.8       , 0.66666667])
    """
    true_positives, total = _count_above(anomalous), anomalous.sum(axis=-1, keepdims=True)
    scores = _divide(2 * true_positives, true_positives + _count_above(clean) + total)
    defined = (clean.sum(axis=-1, keepdims=True) > 0) & (total > 0)
    return np.where(defined, scores, np.nan)


def best_f1(clean: np.ndarray, anomalous: np.ndarray) -> np.ndarray:
    """(..., K), (..., K) -> (...): F1 score at the threshold that is best for these very cases."""
    return f1(clean, anomalous).max(axis=-1)


def aupro(clean: np.ndarray, overlap: np.ndarray, limit: float = FPR_LIMIT) -> np.ndarray:
    """(..., K), (..., K) -> (...): area under the per-region-overlap curve, up to FPR ``limit``.

    The area is divided by ``limit``. The curve is linear between the levels. With limit 1 this
    is the area under the ROC curve of the weighted pixels.

    Args:
        clean: the number of pixels outside all regions at each level.
        overlap: the weight of the regions' pixels at each level; a pixel of a region of n
            pixels weighs 1 / n.

    Source: Bergmann et al., IJCV 129 (2021), section on per-region overlap.
    """

    def curve(histogram: np.ndarray) -> np.ndarray:
        above = _count_above(histogram)[..., ::-1]
        rates = _divide(above, above[..., -1:])
        return np.concatenate([np.zeros_like(rates[..., :1]), rates], axis=-1)

    rate, pro = curve(clean), curve(overlap)
    step, rise = np.diff(rate, axis=-1), np.diff(pro, axis=-1)
    inside = np.clip(limit - rate[..., :-1], 0, step)  # the part of each step below the limit
    end = pro[..., :-1] + rise * np.nan_to_num(_divide(inside, step))
    area = (inside * (pro[..., :-1] + end) / 2).sum(axis=-1) / limit
    return np.minimum(area, 1.0)  # rounding may exceed 1


def _estimates(
    histograms: Histograms, metrics: dict[str, Metric], photos: int, draws: int, row_size: int
) -> dict[str, Estimate]:
    """Computes metrics and their bootstrap intervals over photos.

    Args:
        histograms: (d, photos) weights of the photos -> (d, K) histograms, one per argument of
            the metrics.
        row_size: how many numbers the histograms of one bootstrap sample take.
    """
    whole = histograms(np.ones((1, photos)))
    values = {name: float(metric(*whole)[0]) for name, metric in metrics.items()}
    samples: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in metrics}
    if photos > 1 and not all(np.isnan(value) for value in values.values()):
        for weights in resamples(photos, draws=draws, row_size=row_size):
            sample = histograms(weights.astype(float))
            for name, metric in metrics.items():
                samples[name].append(metric(*sample))
    return {
        name: Estimate(value, *interval(np.concatenate(samples[name])))
        for name, value in values.items()
    }


def _number_photos(photos: Sequence[object]) -> tuple[np.ndarray, int]:
    """N names -> (N,) numbers from 0, and the number of different names."""
    names, photo_of = np.unique(np.asarray(photos, dtype=str), return_inverse=True)
    return photo_of, len(names)


def image_histograms(
    scores: np.ndarray, anomalous: np.ndarray, photos: Sequence[object]
) -> tuple[Histograms, int]:
    """(N,) scores, (N,) bool, N photo names -> function for :func:`auroc`, number of photos.

    The function maps (d, photos) weights of the photos to the histograms of the clean images and
    of those with an anomaly. The photos are numbered in the order of their names.
    """
    photo_of, count = _number_photos(photos)
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    photo_of, is_anomalous = photo_of[order], anomalous[order].astype(bool)

    def histograms(weights: np.ndarray) -> tuple[np.ndarray, ...]:
        image_weights = weights.take(photo_of, axis=1)
        of_class = image_weights * ~is_anomalous, image_weights * is_anomalous
        if len(starts) == len(order):  # no ties: every image has a level of its own
            return of_class
        return tuple(np.add.reduceat(each, starts, axis=1) for each in of_class)

    return histograms, count


def image_metrics(
    scores: np.ndarray, anomalous: np.ndarray, photos: Sequence[object], draws: int = DRAWS
) -> dict[str, Estimate]:
    """(N,) scores, (N,) bool, N photo names -> the metrics ``IMAGE_METRICS`` with intervals.

    Scores may be infinite but not NaN. A bootstrap sample without clean or without anomalous
    images is left out.
    """
    if not len(scores):
        return dict.fromkeys(IMAGE_METRICS, Estimate(*[float("nan")] * 3))
    histograms, count = image_histograms(scores, anomalous, photos)
    metrics = dict(zip(IMAGE_METRICS, (auroc, average_precision, best_f1), strict=True))
    return _estimates(histograms, metrics, count, draws, len(scores))


def best_f1_threshold(scores: np.ndarray, anomalous: np.ndarray) -> float:
    """(N,) scores, (N,) bool -> the decision threshold with the best F1; NaN without a class."""
    levels, level_of = np.unique(scores, return_inverse=True)
    counts = [
        np.bincount(level_of[of_class], minlength=len(levels))
        for of_class in (~anomalous, anomalous)
    ]
    values = f1(*counts)
    defined = len(values) and np.isfinite(values).all()
    return float(levels[np.argmax(values)]) if defined else float("nan")


def roc(scores: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) scores, (N,) bool -> (K + 1,) false and (K + 1,) true positive rates, ascending."""
    levels, level_of = np.unique(-scores, return_inverse=True)
    rates = []
    for of_class in (~anomalous, anomalous):
        counts = np.cumsum(np.bincount(level_of[of_class], minlength=len(levels)))
        rates.append(np.r_[0, counts / max(1, counts[-1])])
    return rates[0], rates[1]


@dataclass(frozen=True, eq=False)
class ValueQuantiles:
    """Many values, represented by at most ``POINTS`` of them.

    The sorted values are split into blocks of equal size, and each block is represented by its
    middle value. This changes the share of values at or above any threshold by at most
    1 / POINTS, and by nothing if there are no more than POINTS values.

    Args:
        values: (k,) float32, ascending.
        count: the number of values represented.
    """

    values: np.ndarray
    count: int

    @staticmethod
    def from_values(values: np.ndarray) -> ValueQuantiles:
        """(n,) -> their representation by at most ``POINTS`` values."""
        values = np.sort(values.astype(np.float32, copy=False))
        ends = _block_ends(len(values))
        return ValueQuantiles(values[(ends[:-1] + ends[1:] - 1) // 2], len(values))

    @property
    def weights(self) -> np.ndarray:
        """(k,): the number of values that each value represents."""
        return np.diff(_block_ends(self.count))

    def to_json(self) -> tuple[int, str]:
        """The same in JSON types, exact to the bit."""
        return self.count, base64.b64encode(self.values.astype("<f4").tobytes()).decode()

    @staticmethod
    def from_json(count: int, values: str) -> ValueQuantiles:
        """The inverse of :meth:`to_json`."""
        decoded = np.frombuffer(base64.b64decode(values), "<f4").astype(np.float32)
        return ValueQuantiles(decoded, count)


def _block_ends(count: int) -> np.ndarray:
    blocks = min(count, POINTS)
    return np.arange(blocks + 1) * count // max(1, blocks)


@dataclass(frozen=True, eq=False)
class MapSummary:
    """The values of one map outside the regions and in each region, in about 32 KB."""

    clean: ValueQuantiles
    regions: tuple[ValueQuantiles, ...]

    def to_json(self) -> list[tuple[int, str]]:
        """The same in JSON types: the values outside the regions, then those of each region."""
        return [part.to_json() for part in (self.clean, *self.regions)]

    @staticmethod
    def from_json(parts: Sequence[tuple[int, str]]) -> MapSummary:
        """The inverse of :meth:`to_json`."""
        clean, *regions = (ValueQuantiles.from_json(*part) for part in parts)
        return MapSummary(clean, tuple(regions))


def summarize_map(map: np.ndarray, mask: np.ndarray) -> MapSummary:
    """(H, W) float map, (H, W) bool mask -> its summary; regions are 8-connected."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    inside, numbers = map[mask], labels[mask]
    regions = (inside[numbers == k] for k in np.unique(numbers))
    return MapSummary(
        ValueQuantiles.from_values(map[~mask]),
        tuple(ValueQuantiles.from_values(values) for values in regions),
    )


def worst_map(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool -> (H, W) float32: -inf in the regions and +inf outside."""
    return np.where(mask, np.float32(-np.inf), np.float32(np.inf))


def _bin_edges(parts: Iterable[ValueQuantiles]) -> np.ndarray:
    """Ascending histogram edges such that each bin has at most 1 / BINS of the mass.

    A value that has more mass alone gets a bin of its own.
    """
    parts = list(parts)
    if not any(part.count for part in parts):
        return np.empty(0, np.float32)
    values = np.concatenate([part.values for part in parts])
    order = np.argsort(values)
    mass = np.cumsum(np.concatenate([part.weights for part in parts])[order])
    wanted = np.arange(1, BINS) * (mass[-1] / BINS)
    edges = np.unique(values[order[np.searchsorted(mass, wanted)]])
    return np.unique(np.concatenate([edges, np.nextafter(edges, np.float32(np.inf))]))


def _histogram(part: ValueQuantiles, edges: np.ndarray) -> np.ndarray:
    """(K - 1,) edges -> (K,): the number of values in each bin; a bin excludes its upper edge."""
    bins = np.searchsorted(edges, part.values, side="right")
    return np.bincount(bins, weights=part.weights, minlength=len(edges) + 1)


def pixel_metrics(
    summaries: Sequence[MapSummary], photos: Sequence[object], draws: int = PIXEL_DRAWS
) -> dict[str, Estimate]:
    """N map summaries, N photo names -> the metrics ``PIXEL_METRICS`` over all maps together.

    Compared with the exact values of the whole maps as float32, the error of ``pixel_auroc`` is
    at most 2 / POINTS + 1 / (2 BINS) < 4e-4 and the error of ``aupro`` at most
    1 / POINTS + (1 / POINTS + 1 / (2 BINS)) / FPR_LIMIT < 1e-3: the summary changes either rate
    by at most 1 / POINTS, and values in the same bin count as ties.
    """
    photo_of, count = _number_photos(photos)
    edges = _bin_edges(summary.clean for summary in summaries)
    clean, anomalous, overlap = np.zeros((3, count, len(edges) + 1))
    for photo, summary in zip(photo_of, summaries, strict=True):
        clean[photo] += _histogram(summary.clean, edges)
        for region in summary.regions:
            values = _histogram(region, edges)
            anomalous[photo] += values
            overlap[photo] += values / region.count

    def histograms(weights: np.ndarray) -> tuple[np.ndarray, ...]:
        return weights @ clean, weights @ anomalous, weights @ overlap

    metrics: dict[str, Metric] = {
        "pixel_auroc": lambda clean, anomalous, overlap: auroc(clean, anomalous),
        "aupro": lambda clean, anomalous, overlap: aupro(clean, overlap),
    }
    return _estimates(histograms, metrics, count, draws, len(edges) + 1)
