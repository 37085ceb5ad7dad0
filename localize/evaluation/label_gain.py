"""What labels add: methods trained with labels against the best method that uses clean images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from localize.evaluation.detection import Estimate
from localize.evaluation.repeats import auroc_over_repeats, mean_over_repeats, photos_of_rows
from localize.evaluation.scoring import labelled_scores
from localize.localizer import HIT_RADIUS

NAMES = {
    "image_auroc": "AUROC of the score",
    "mean_distance": "mean distance",
    "hit@5": f"hits within {HIT_RADIUS:g} px",
}
METRICS = tuple(NAMES)
COLUMNS = ("method", "rows", "metric", "baseline", "gain", "gain_low", "gain_high")


def label_gains(
    summary: pd.DataFrame, predictions: pd.DataFrame, clean: pd.DataFrame, baselines: Sequence[str]
) -> pd.DataFrame:
    """Compare each trained method with the best of the ``baselines``, metric by metric.

    Both answer the same images, so that the intervals are paired: 95 %, over repeats and photos
    (:mod:`localize.evaluation.repeats`). A positive gain means that labels are better: for
    ``mean_distance``, the px by which the answers are closer, where an image without an answer
    counts as no gain.

    Args:
        summary: means over the repeats, a row per method and number of labels.
        predictions: answers to the images with an anomaly, of all trainings.
        clean: scores of the clean images, of all trainings.
        baselines: methods that learned from clean images only.
    """
    rows = []
    for metric in METRICS:
        baseline = _best(summary, metric, baselines)
        if baseline is None:
            continue
        trained = summary[(summary["rows"] > 0) & summary[metric].notna()]
        for method, count in zip(trained["method"], trained["rows"], strict=True):
            estimate = _gain(metric, _of(predictions, clean, method, count),
                             _of(predictions, clean, baseline, 0))  # fmt: skip
            rows.append((method, count, metric, baseline, *estimate))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _best(summary: pd.DataFrame, metric: str, baselines: Sequence[str]) -> str | None:
    """The baseline with the best value of a metric; None if none has a value."""
    known = summary[summary["method"].isin(baselines) & summary[metric].notna()]
    if not len(known):
        return None
    order = known.sort_values(metric, ascending=metric == "mean_distance", kind="stable")
    return str(order["method"].iloc[0])


Tables = list[tuple[pd.DataFrame, pd.DataFrame]]  # predictions and clean images of each repeat


def _of(predictions: pd.DataFrame, clean: pd.DataFrame, method: str, count: int) -> Tables:
    """The tables of a method with one number of labels, in the order of the file names."""
    tables = []
    of_method = [
        table[(table["method"] == method) & (table["rows"] == count)].sort_values("file_name")
        for table in (predictions, clean)
    ]
    for repeat in dict.fromkeys(of_method[0]["repeat"]):
        tables.append(tuple(table[table["repeat"] == repeat] for table in of_method))
    return tables


def _gain(metric: str, trained: Tables, baseline: Tables) -> Estimate:
    """The gain of a method over the baseline, which has one training."""
    reference, reference_clean = baseline[0]
    if metric == "image_auroc":
        names = reference_clean["file_name"].tolist()
        usable = [
            pair
            for pair in trained
            if pair[0]["score"].notna().any() and pair[1]["file_name"].tolist() == names
        ]
        if not usable:  # a told method is scored on other clean images
            return Estimate(*[float("nan")] * 3)
        scores = [labelled_scores(*pair)[0] for pair in usable]
        base, anomalous = labelled_scores(reference, reference_clean)
        photos = [*photos_of_rows(reference), *photos_of_rows(reference_clean)]
        return auroc_over_repeats(scores, anomalous, photos, base)
    placed = reference["x"].notna().to_numpy()
    photos = photos_of_rows(reference[placed])
    distances = np.array([each.loc[each["x"].notna(), "distance"] for each, _ in trained], float)
    base = reference.loc[placed, "distance"].to_numpy(float)
    if metric == "hit@5":
        hits, base_hits = (distances <= HIT_RADIUS).astype(float), base <= HIT_RADIUS
        return mean_over_repeats(hits - base_hits, photos)
    return mean_over_repeats(np.nan_to_num(base - distances), photos)


def labels_needed(gains: pd.DataFrame, method: str, metric: str) -> int | None:
    """The fewest labels from which on a method is better than none; None: never.

    With this number of labels and every larger one that was tried, the interval of the gain lies
    above 0.
    """
    rows = gains[(gains["method"] == method) & (gains["metric"] == metric)]
    return first_above_zero(rows["rows"].tolist(), rows["gain_low"].tolist())


def first_above_zero(counts: Sequence[int], lows: Sequence[float]) -> int | None:
    """The smallest count from which on all lower ends of intervals are above 0; None: never."""
    needed = None
    for count, low in sorted(zip(counts, lows, strict=True), reverse=True):
        if not low > 0:
            break
        needed = int(count)
    return needed
