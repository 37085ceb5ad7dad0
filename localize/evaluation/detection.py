"""Is there an anomaly at all, and which pixels lie in it: AUROC, average precision, F1, AUPRO.

Every metric is a function of two histograms (..., K) over ascending score levels: how much of
``clean`` and of ``hidden`` (that is, anomalous) stands at each level. Leading axes are
bootstrap samples. Where either histogram is empty the metric is NaN.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from localize.evaluation.metrics import DRAWS, interval, resamples

LIMIT = 0.3  # the false positive rate up to which AUPRO is taken
POINTS = 8192  # values kept of the clean pixels of a map, and of each region
BINS = 4096  # of equal mass, into which the clean pixels of all maps are sorted
PIXEL_DRAWS = 1000  # bootstrap samples of pixel metrics
PRESENCE = ("image_auroc", "average_precision", "best_f1")
PIXELS = ("pixel_auroc", "aupro")

Histograms = Callable[[np.ndarray], tuple[np.ndarray, ...]]
Measure = Callable[..., np.ndarray]


class Estimate(NamedTuple):
    """A metric and its 95 % bootstrap interval over photos; NaN where there is none."""

    value: float
    low: float
    high: float


def _above(histogram: np.ndarray) -> np.ndarray:
    """(..., K) -> (..., K): how much stands at each level or higher."""
    return np.cumsum(histogram[..., ::-1], axis=-1)[..., ::-1]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole, and so the part, is nothing."""
    with np.errstate(invalid="ignore"):
        return np.asarray(part / whole)


def auroc(clean: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(..., K), (..., K) -> (...): the chance that hidden outscores clean, a tie counting half.

    >>> auroc(np.array([2, 1, 0]), np.array([0, 1, 1]))
    array(0.91666667)

    Source: Mann and Whitney (1947); Hanley and McNeil, Radiology 143 (1982).
    """
    below = np.cumsum(clean, axis=-1) - clean / 2
    return _share((hidden * below).sum(axis=-1), clean.sum(axis=-1) * hidden.sum(axis=-1))


def average_precision(clean: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(..., K), (..., K) -> (...): precision, averaged over the hidden; thresholds at all levels.

    >>> average_precision(np.array([2, 1, 0]), np.array([0, 1, 1]))
    array(0.83333333)
    """
    found = _above(hidden)
    called = found + _above(clean)
    called[called == 0] = 1  # where none are called none are found
    summed = (hidden * (found / called)).sum(axis=-1)
    return np.where(clean.sum(axis=-1) > 0, _share(summed, hidden.sum(axis=-1)), np.nan)


def f1(clean: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(..., K), (..., K) -> (..., K): F1 when all at a level or higher are called anomalous.

    >>> f1(np.array([2, 1, 0]), np.array([0, 1, 1]))
    array([0.57142857, 0.8       , 0.66666667])
    """
    found, total = _above(hidden), hidden.sum(axis=-1, keepdims=True)
    scores = _share(2 * found, found + _above(clean) + total)
    either = (clean.sum(axis=-1, keepdims=True) > 0) & (total > 0)
    return np.where(either, scores, np.nan)


def best_f1(clean: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(..., K), (..., K) -> (...): F1 at the best threshold, which looks at the answers."""
    return f1(clean, hidden).max(axis=-1)


def aupro(clean: np.ndarray, overlap: np.ndarray, limit: float = LIMIT) -> np.ndarray:
    """(..., K) pixels, (..., K) -> (...): mean overlap with a region, averaged over FPR to limit.

    Args:
        clean: how many pixels outside all regions stand at each level.
        overlap: the same of the regions' pixels, each weighing 1 / its region's pixels.

    The curve is straight between the levels. With the limit 1 this is the area under the
    ROC curve of the pixels so weighted.

    Source: Bergmann et al., IJCV 129 (2021), section on per-region overlap.
    """

    def curve(histogram: np.ndarray) -> np.ndarray:
        above = _above(histogram)[..., ::-1]
        rates = _share(above, above[..., -1:])
        return np.concatenate([np.zeros_like(rates[..., :1]), rates], axis=-1)

    rate, pro = curve(clean), curve(overlap)
    step, rise = np.diff(rate, axis=-1), np.diff(pro, axis=-1)
    inside = np.clip(limit - rate[..., :-1], 0, step)  # of each step, the part below the limit
    end = pro[..., :-1] + rise * np.nan_to_num(_share(inside, step))
    area: np.ndarray = (inside * (pro[..., :-1] + end) / 2).sum(axis=-1) / limit
    return area


def _estimates(
    histograms: Histograms, measures: dict[str, Measure], photos: int, draws: int, wide: int
) -> dict[str, Estimate]:
    """Measures of the histograms, with intervals; (d, photos) weights -> (d, K) histograms."""
    whole = histograms(np.ones((1, photos)))
    values = {name: float(measure(*whole)[0]) for name, measure in measures.items()}
    drawn: dict[str, list[np.ndarray]] = {name: [np.empty(0)] for name in measures}
    if photos > 1 and not all(np.isnan(value) for value in values.values()):
        for weights in resamples(photos, draws=draws, wide=wide):
            sample = histograms(weights.astype(float))
            for name, measure in measures.items():
                drawn[name].append(measure(*sample))
    return {
        name: Estimate(value, *interval(np.concatenate(drawn[name])))
        for name, value in values.items()
    }


def _numbered(photos: Sequence[object]) -> tuple[np.ndarray, int]:
    """N names -> (N,) numbers from 0, and how many names differ."""
    names, where = np.unique(np.asarray(photos, dtype=str), return_inverse=True)
    return where, len(names)


def presence(
    scores: np.ndarray, hidden: np.ndarray, photos: Sequence[object], draws: int = DRAWS
) -> dict[str, Estimate]:
    """(N,) scores, (N,) bool, N photo names -> the metrics PRESENCE of whole images.

    Scores may be infinite, not NaN. A bootstrap sample that lacks a class is left out.
    """
    where, count = _numbered(photos)
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    if not len(starts):
        return dict.fromkeys(PRESENCE, Estimate(*[float("nan")] * 3))
    where, anomalous = where[order], hidden[order].astype(bool)

    def histograms(weights: np.ndarray) -> tuple[np.ndarray, ...]:
        each = weights.take(where, axis=1)
        clean, found = each * ~anomalous, each * anomalous
        if len(starts) == len(order):  # no ties, nothing to join
            return clean, found
        return np.add.reduceat(clean, starts, axis=1), np.add.reduceat(found, starts, axis=1)

    measures = dict(zip(PRESENCE, (auroc, average_precision, best_f1), strict=True))
    return _estimates(histograms, measures, count, draws, len(scores))


def threshold(scores: np.ndarray, hidden: np.ndarray) -> float:
    """(N,) scores, (N,) bool -> the score from which on calling it anomalous gives the best F1."""
    levels, at = np.unique(scores, return_inverse=True)
    counts = [np.bincount(at[of], minlength=len(levels)) for of in (~hidden, hidden)]
    f = f1(*counts)
    return float(levels[np.argmax(f)]) if len(f) and np.isfinite(f).all() else float("nan")


def roc(scores: np.ndarray, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) scores, (N,) bool -> (K + 1,) false and (K + 1,) true positive rates, ascending."""
    levels, at = np.unique(-scores, return_inverse=True)
    rates = []
    for of in (~hidden, hidden):
        counts = np.cumsum(np.bincount(at[of], minlength=len(levels)))
        rates.append(np.r_[0, counts / max(1, counts[-1])])
    return rates[0], rates[1]


@dataclass(frozen=True, eq=False)
class Thinned:
    """Many values by a few: equal blocks of the sorted values, each by its middle one.

    The share of the values at or above any threshold is off by at most 1 / POINTS, and by
    nothing where there are no more than POINTS values.

    Args:
        values: (k,) float32, ascending.
        count: how many values there were.
    """

    values: np.ndarray
    count: int

    @staticmethod
    def of(values: np.ndarray) -> Thinned:
        """(n,) -> at most POINTS of them."""
        values = np.sort(values.astype(np.float32, copy=False))
        ends = _blocks(len(values))
        return Thinned(values[(ends[:-1] + ends[1:] - 1) // 2], len(values))

    @property
    def weights(self) -> np.ndarray:
        """(k,): how many values each stands for."""
        return np.diff(_blocks(self.count))

    def packed(self) -> tuple[int, str]:
        """-> JSON types, of which :meth:`unpacked` makes the same again, bit for bit."""
        return self.count, base64.b64encode(self.values.astype("<f4").tobytes()).decode()

    @staticmethod
    def unpacked(count: int, values: str) -> Thinned:
        """What :meth:`packed` gave -> the same again."""
        return Thinned(np.frombuffer(base64.b64decode(values), "<f4").astype(np.float32), count)


def _blocks(count: int) -> np.ndarray:
    blocks = min(count, POINTS)
    return np.arange(blocks + 1) * count // max(1, blocks)


@dataclass(frozen=True, eq=False)
class Sketch:
    """What pixel metrics need of one map, in some 32 KB: its clean pixels and its regions."""

    clean: Thinned
    regions: tuple[Thinned, ...]

    def packed(self) -> list[tuple[int, str]]:
        """-> JSON types: the clean pixels, then the regions."""
        return [part.packed() for part in (self.clean, *self.regions)]

    @staticmethod
    def unpacked(parts: Sequence[tuple[int, str]]) -> Sketch:
        """What :meth:`packed` gave -> the same again."""
        clean, *regions = (Thinned.unpacked(*part) for part in parts)
        return Sketch(clean, tuple(regions))


def sketch(map: np.ndarray, mask: np.ndarray) -> Sketch:
    """(H, W) float, (H, W) bool -> the map's sketch; regions are 8-connected."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    inside, numbers = map[mask], labels[mask]
    regions = (inside[numbers == k] for k in np.unique(numbers))
    return Sketch(Thinned.of(map[~mask]), tuple(Thinned.of(values) for values in regions))


def worst(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool -> (H, W) float32: the map that is nowhere right."""
    return np.where(mask, np.float32(-np.inf), np.float32(np.inf))


def _edges(parts: Iterable[Thinned]) -> np.ndarray:
    """-> ascending edges between bins, of which none but single values has mass above 1 / BINS."""
    parts = list(parts)
    if not any(part.count for part in parts):
        return np.empty(0, np.float32)
    values = np.concatenate([part.values for part in parts])
    order = np.argsort(values)
    mass = np.cumsum(np.concatenate([part.weights for part in parts])[order])
    wanted = np.arange(1, BINS) * (mass[-1] / BINS)
    cuts = np.unique(values[order[np.searchsorted(mass, wanted)]])
    return np.unique(np.concatenate([cuts, np.nextafter(cuts, np.float32(np.inf))]))


def _histogram(part: Thinned, edges: np.ndarray) -> np.ndarray:
    """-> (K,): how many values lie in each bin, from an edge to just below the next."""
    bins = np.searchsorted(edges, part.values, side="right")
    return np.bincount(bins, weights=part.weights, minlength=len(edges) + 1)


def pixelwise(
    sketches: Sequence[Sketch], photos: Sequence[object], draws: int = PIXEL_DRAWS
) -> dict[str, Estimate]:
    """N sketches, N photo names -> the metrics PIXELS of all maps together.

    Against the exact values of the whole maps, as float32, ``pixel_auroc`` is off by at most
    2 / POINTS + 1 / (2 BINS) < 4e-4, and ``aupro`` by at most
    1 / POINTS + (1 / POINTS + 1 / (2 BINS)) / LIMIT < 1e-3: thinning moves either share by
    1 / POINTS, and values that share a bin count as ties.
    """
    where, count = _numbered(photos)
    edges = _edges(sketch.clean for sketch in sketches)
    clean, hidden, overlap = np.zeros((3, count, len(edges) + 1))
    for photo, sketched in zip(where, sketches, strict=True):
        clean[photo] += _histogram(sketched.clean, edges)
        for region in sketched.regions:
            values = _histogram(region, edges)
            hidden[photo] += values
            overlap[photo] += values / region.count

    def histograms(weights: np.ndarray) -> tuple[np.ndarray, ...]:
        return weights @ clean, weights @ hidden, weights @ overlap

    measures: dict[str, Measure] = {
        "pixel_auroc": lambda clean, hidden, overlap: auroc(clean, hidden),
        "aupro": lambda clean, hidden, overlap: aupro(clean, overlap),
    }
    return _estimates(histograms, measures, count, draws, len(edges) + 1)
