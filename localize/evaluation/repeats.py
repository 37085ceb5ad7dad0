"""Means over repeated trainings, with bootstrap intervals over trainings and photos.

Every training of a method is scored on the same images, so a bootstrap sample of photos is the
same for all trainings; the trainings are drawn with replacement as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from localize.evaluation import detection
from localize.evaluation.detection import Estimate
from localize.evaluation.metrics import interval, resamples

REPEAT_SEED = 1  # of the draws of trainings; those of photos have seed 0


def photos_of_rows(table: pd.DataFrame) -> list[str]:
    """The photo of each row, or its image where that is not known."""
    return table["photo"].where(table["photo"] != "", table["file_name"]).astype(str).tolist()


def mean_over_repeats(values: np.ndarray, photos: Sequence[object]) -> Estimate:
    """(R, N) values of N images after R trainings, N photos -> mean of the R means, interval.

    NaN values are left out.
    """
    _, photo_of = np.unique(np.asarray(photos, dtype=str), return_inverse=True)
    count = int(photo_of.max()) + 1
    known = ~np.isnan(values)
    sums = np.array([np.bincount(photo_of, np.nan_to_num(row), count) for row in values])
    counts = np.array([np.bincount(photo_of, row, count) for row in known])

    def means(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            divided: np.ndarray = (weights @ sums.T) / (weights @ counts.T)
        return divided

    samples = [means(weights) for weights in resamples(count)] if count > 1 else []
    return _estimate(means(np.ones((1, count)))[0], samples)


def auroc_over_repeats(
    scores: Sequence[np.ndarray],
    anomalous: np.ndarray,
    photos: Sequence[object],
    baseline: np.ndarray | None = None,
) -> Estimate:
    """R x (N,) scores, (N,) bool, N photos -> mean of the R areas under the ROC curve, interval.

    Args:
        baseline: (N,) scores of another method: the areas are then differences to its area, each
            on the same bootstrap samples of the photos.
    """
    values, columns = zip(
        *(_auroc_samples(each, anomalous, photos) for each in scores), strict=True
    )
    areas, samples = np.array(values), [np.stack(chunk, 1) for chunk in zip(*columns, strict=True)]
    if baseline is not None:
        value, chunks = _auroc_samples(baseline, anomalous, photos)
        areas = areas - value
        samples = [each - chunk[:, None] for each, chunk in zip(samples, chunks, strict=True)]
    return _estimate(areas, samples)


def _auroc_samples(
    scores: np.ndarray, anomalous: np.ndarray, photos: Sequence[object]
) -> tuple[float, list[np.ndarray]]:
    """The area under the ROC curve, and chunks (d,) of those of bootstrap samples of photos."""
    histograms, count = detection.image_histograms(scores, anomalous, photos)
    weights = resamples(count, row_size=len(scores)) if count > 1 else ()
    area = float(detection.auroc(*histograms(np.ones((1, count))))[0])
    return area, [detection.auroc(*histograms(each.astype(float))) for each in weights]


def _estimate(values: np.ndarray, samples: Sequence[np.ndarray]) -> Estimate:
    """(R,) values, chunks of (d, R) values of bootstrap samples of photos -> mean, interval."""
    value = float(_means(values[None], np.ones((1, len(values))))[0])
    if not samples:
        return Estimate(value, float("nan"), float("nan"))
    joined = np.concatenate(samples)
    draws, count = joined.shape
    rng = np.random.default_rng(REPEAT_SEED)
    weights = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    return Estimate(value, *interval(_means(joined, weights)))


def _means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(d, R), (d, R) -> (d,) weighted means of the values that are not NaN; NaN without any."""
    weights = weights * ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        means: np.ndarray = (np.nan_to_num(values) * weights).sum(axis=1) / weights.sum(axis=1)
    return means
