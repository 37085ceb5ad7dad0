"""Two methods on the same images of a dataset: differences of their scores."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from localize.evaluation import call_scores, detection, metrics, scoring
from localize.gate import false_calls
from localize.gate.estimate import Estimate
from localize.gate.score_run import ScoreRun, seeds_of
from localize.localizer import HIT_RADIUS
from localize.sharpness.pod.checks import MIN_GROUPS
from synth.errors import InputError

HIT_5, DISTANCE, AUROC = "hit@5", "mean_distance", "image_auroc"
DETECTED, CALLED = "detected", "called"
TRUTH = ("photo", "x", "y", "r", "discolor_ratio")


def compare(
    run: ScoreRun, method: str, baseline: ScoreRun, baseline_method: str
) -> tuple[dict[str, Estimate], list[str]]:
    """Quantity -> the difference from the baseline; and what is not compared, with why.

    For ``hit@5``, ``image_auroc`` and ``detected`` it is the value less that of the baseline, for
    ``mean_distance`` the quotient of the means over the images that both answered. The intervals
    are over bootstrap samples of photos, the same samples for both. The answers of several seeds to
    an image are averaged. ``detected`` needs calls of the baseline; it is ``called`` where a method
    gives no places.

    Raises:
        InputError: the two did not answer the same images.
    """
    one, other = run.predictions(method), baseline.predictions(baseline_method)
    own, its = _by_image(one), _by_image(other)
    if difference := image_difference(own, its):
        raise InputError(
            f"{run.folder} and {baseline.folder} cannot be compared, the images differ: "
            f"{difference}; score both on the same split of the same dataset"
        )
    photos = own["photo"].tolist()
    few = own["photo"].nunique()
    notes = (f"the bootstrap has only {few} photos, so that its intervals are too narrow: score "
             f"at least {MIN_GROUPS}",) if few < MIN_GROUPS else ()  # fmt: skip
    hits = (own["hit"] - its["hit"]).to_numpy(float)
    estimates = {
        HIT_5: Estimate(
            float(hits.mean()), *metrics.bootstrap(hits, photos), f"{len(own)} images, {few} photos"
        )
    }
    missing: list[str] = []
    answered = (own["distance"].notna() & its["distance"].notna()).to_numpy()
    if answered.any():
        estimates[DISTANCE] = replace(
            _quotient(own[answered], its[answered]),
            basis=f"{answered.sum()} images with both answers, {few} photos",
        )
    else:
        missing.append(f"{DISTANCE} is not compared: no image has an answer of both methods")
    clean = run.clean(method), baseline.clean(baseline_method)
    if seeds_of(one) > 1 or seeds_of(other) > 1:
        missing.append(f"{AUROC} is not compared: it has no interval with several seeds")
    elif not len(clean[1]) or other["score"].isna().all():
        missing.append(f"{AUROC} is not compared: the baseline has none")
    elif not len(clean[0]) or one["score"].isna().all():
        estimates[AUROC] = Estimate(math.nan, reason="the method gives no score")
    elif sorted(clean[0]["file_name"]) != sorted(clean[1]["file_name"]):
        raise InputError(
            f"{run.folder} and {baseline.folder} cannot be compared, the clean images differ: "
            "score both on the same split of the same dataset"
        )
    else:
        estimates[AUROC] = _auroc_difference((one, clean[0]), (other, clean[1]))
    sides = (run, method), (baseline, baseline_method)
    share = DETECTED if all(each.has(DETECTED, name) for each, name in sides) else CALLED
    calls = _call_difference(share, sides, (one, other), clean)
    if not isinstance(calls, str):
        estimates[share] = calls
    elif calls:
        missing.append(f"{DETECTED} is not compared: {calls}")
    return {name: replace(each, notes=notes) for name, each in estimates.items()}, missing


def _by_image(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per image in the order of its name: truth, share of hits, mean distance."""
    rows = predictions.assign(hit=(predictions["distance"] <= HIT_RADIUS).astype(float))
    return rows.groupby("file_name").agg(
        {**dict.fromkeys(TRUTH, "first"), "hit": "mean", "distance": "mean"}
    )


def image_difference(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """In what the images of two tables differ, or ""."""
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} images"
    for name, its in zip(one.index, other.index, strict=True):
        if name != its:
            return f"{min(name, its)} is only in one"
    for column in TRUTH:
        pairs = zip(one[column], other[column], strict=True)
        for name, (value, its) in zip(one.index, pairs, strict=True):
            if value != its:
                return f"{column} of {name} is {value} and {its}"
    return ""


def _quotient(own: pd.DataFrame, its: pd.DataFrame) -> Estimate:
    """The mean distance as a multiple of the baseline's."""
    sums = np.array([each.groupby("photo")["distance"].sum() for each in (own, its)])
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = float(np.divide(*sums.sum(axis=1)))
        if sums.shape[1] < 2:
            return Estimate(whole)
        samples = [
            np.divide(weights @ sums[0], weights @ sums[1])
            for weights in metrics.resamples(sums.shape[1])
        ]
    return Estimate(whole, *metrics.interval(np.concatenate(samples)))


def _call_difference(
    share: str,
    sides: tuple[tuple[ScoreRun, str], tuple[ScoreRun, str]],
    images: tuple[pd.DataFrame, pd.DataFrame],
    clean: tuple[pd.DataFrame, pd.DataFrame],
) -> Estimate | str:
    """The share of images less that of the baseline; or why not, "" if neither has calls.

    Args:
        share: ``detected`` or ``called``.
        sides: run and method, baseline and its method.
        images, clean: their images with an anomaly and their clean images.
    """
    own, its = (false_calls.wanted(run.folder, method) for run, method in sides)
    if own is its is None:
        return ""
    if its is None:
        return "the baseline has no calls, which need --false-calls RATE"
    if own is None:
        reason = false_calls.reason(sides[0][0].folder, sides[0][1])
        return Estimate(math.nan, reason=reason or "the run has no calls: give it --false-calls")
    if own != its:
        return f"the wanted rates of false calls are {own:g} and {its:g}"
    one, other = (call_scores.by_image(*each, own) for each in zip(images, clean, strict=True))
    known = (one[share].notna() & other[share].notna()).to_numpy()
    values = (one[share] - other[share]).to_numpy(float)[known]
    photos = one["photo"][known].tolist()
    basis = f"{len(photos)} images, {len(set(photos))} photos"
    return Estimate(float(values.mean()), *metrics.bootstrap(values, photos), basis)


def _auroc_difference(
    own: tuple[pd.DataFrame, pd.DataFrame], its: tuple[pd.DataFrame, pd.DataFrame]
) -> Estimate:
    """The AUROC less that of the baseline, over the same bootstrap samples of photos."""
    values, samples = [], []
    images = sum(map(len, own))
    for predictions, clean in (own, its):
        scores, anomalous = scoring.labelled_scores(predictions, clean)
        photos = [*predictions["photo"], *clean["photo"]]
        histograms, count = detection.image_histograms(scores, anomalous, photos)
        values.append(float(detection.auroc(*histograms(np.ones((1, count))))[0]))
        chunks = metrics.resamples(count, row_size=len(scores)) if count > 1 else ()
        samples.append(
            np.concatenate(
                [
                    np.empty(0),
                    *(detection.auroc(*histograms(each.astype(float))) for each in chunks),
                ]
            )
        )
    low, high = metrics.interval(samples[0] - samples[1])
    return Estimate(values[0] - values[1], low, high, f"{images} images")
