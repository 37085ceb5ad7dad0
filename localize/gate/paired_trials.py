"""Two methods on the same trials of sharpness: how many times as strong a change one needs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import metrics
from localize.evaluation.verdicts import NO_THRESHOLD, TOO_FEW
from localize.gate.estimate import Estimate
from localize.gate.quantities import A90, HIT_RATE, THRESHOLD
from localize.gate.requirement import DETECTED, PLACE
from localize.gate.sharpness_run import SharpnessRun, inspection
from localize.sharpness import paired, psychometric, thresholds
from localize.sharpness.pod import resampling
from localize.sharpness.pod.checks import MIN_GROUPS
from localize.sharpness.pod.results import PodResult
from localize.sharpness.psychometric import Curve
from synth.errors import InputError

CONDITIONS = (  # columns that determine the image of a trial, with the words of messages
    ("photo", "photo"), ("side", "side"), ("discolor_ratio", "ratio"), ("r", "radius"),
    ("x", "place (x)"), ("y", "place (y)"), ("shape", "shape"), ("overflow", "overflow"),
    ("rounding", "rounding"), ("feather", "feather"), ("codec", "codec"), ("quality", "quality"),
    ("width", "width"), ("height", "height"),
)  # fmt: skip
DECIMALS = 6


def compare(
    run: SharpnessRun, method: str, baseline: SharpnessRun, baseline_method: str
) -> tuple[dict[tuple[str, str], Estimate], list[str]]:
    """(quantity, side) -> the difference from the baseline; and what is not compared, with why.

    For ``threshold`` and ``a90`` it is the step \\|log ratio\\| of the method as a multiple of the
    baseline's, for ``hit-rate`` the difference of the hit rates at all ratios other than 1. The
    intervals are over bootstrap samples of photos, the same samples for both.

    Raises:
        InputError: the two did not answer the same trials.
    """
    one, other = (each.trials[each.trials["method"] == name]
                  for each, name in ((run, method), (baseline, baseline_method)))  # fmt: skip
    _check_same_trials(run, one, baseline, other)
    answer = DETECTED if run.default_answer == baseline.default_answer == DETECTED else PLACE
    for each, name in ((run, method), (baseline, baseline_method)):
        if answer == DETECTED and not len(each.own_trials(name, answer)):
            answer = PLACE
    few = one["photo"].nunique()
    notes = (f"the bootstrap has only {few} photos, so that its intervals are too narrow: measure "
             f"at least {MIN_GROUPS}",) if few < MIN_GROUPS else ()  # fmt: skip
    estimates: dict[tuple[str, str], Estimate] = {}
    missing: list[str] = []
    for side in run.sides:
        if side == "both":
            continue
        own, its = (
            thresholds.trials_of_side(each.own_trials(name, answer), side)
            for each, name in ((run, method), (baseline, baseline_method))
        )
        basis = f"{len(own)} trials, {own['photo'].nunique()} photos"
        fields: dict[str, Any] = {"basis": basis, "answer": answer, "notes": notes}
        threshold = _threshold_factor(own, its, run.curve)
        a90 = _a90_factor(
            own, its,
            run.analysis(method, answer, side, None),
            baseline.analysis(baseline_method, answer, side, None),
        )  # fmt: skip
        for name, factor in ((THRESHOLD, threshold), (A90, a90)):
            if isinstance(factor, str):
                missing.append(f"{name} {side} is not compared: the baseline has none ({factor})")
            else:
                estimates[name, side] = replace(factor, **fields)
        estimates[HIT_RATE, side] = replace(_hit_difference(own, its), **fields)
    return estimates, missing


def _check_same_trials(
    run: SharpnessRun, one: pd.DataFrame, baseline: SharpnessRun, other: pd.DataFrame
) -> None:
    """Checks that two methods answered the same trials, counted by the same rule.

    Raises:
        InputError: they differ; the message says in what.
    """
    what = f"{run.folder} and {baseline.folder} cannot be compared"
    if "adaptive" in (run.record.get("mode"), baseline.record.get("mode")):
        raise InputError(
            f"{what}: adaptive trials depend on the answers, so measure both without --adaptive"
        )
    records = run.record, baseline.record
    rules = [(each.get("definitions") or {}).get("hit", "unknown") for each in records]
    for word, values in (("rule for hits", rules), ("curve", [run.curve, baseline.curve])):
        if values[0] != values[1]:
            raise InputError(f"{what}: the {word} is {values[0]} and {values[1]}")
    difference = trial_difference(one, other)
    digests = [each.get("photos_sha256") for each in records]
    if not difference and None not in digests and digests[0] != digests[1]:
        difference = "the photos have other contents"
    if difference:
        raise InputError(f"{what}, the trials differ: {difference}; measure both with one design")


def trial_difference(one: pd.DataFrame, other: pd.DataFrame) -> str:
    """In what two tables of trials differ, or ""; the order of the trials does not count."""
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} trials"
    columns = [column for column, _ in CONDITIONS if column in one or column in other]
    first, second = (_conditions(table, columns) for table in (one, other))
    for column, word in CONDITIONS:
        if column in columns:
            pairs = zip(sorted(first[column]), sorted(second[column]), strict=True)
            for value, its in pairs:
                if value != its:
                    return f"{word} {value or 'unknown'} and {its or 'unknown'}"
    first, second = (table.sort_values(columns, ignore_index=True) for table in (first, second))
    unequal = (first != second).any(axis=1).to_numpy()
    if not unequal.any():
        return ""
    row = first[unequal].iloc[0]
    return f"the trial on {row['photo']} with ratio {row['discolor_ratio']} is only in one"


def _conditions(table: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The columns as text, so that numbers agree to DECIMALS and empty cells are equal."""
    table = table.reindex(columns=columns)
    texts = {
        name: [
            f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".") if isinstance(value, float) else value
            for value in table[name].astype(object).where(table[name].notna(), "")
        ]
        for name in columns
    }
    return pd.DataFrame(texts)


def _threshold_factor(own: pd.DataFrame, its: pd.DataFrame, curve: Curve) -> Estimate | str:
    """The steps at the thresholds, own / its; or why the baseline has no threshold."""
    (step, verdict), (its_step, its_verdict) = (_threshold(each, curve) for each in (own, its))
    if its_verdict:
        return its_verdict
    if verdict:
        return Estimate(math.nan, reason=f"there is no threshold ({verdict})")
    photos = tuple(np.unique(own["photo"].to_numpy(str)).tolist())
    samples = [
        thresholds.bootstrap_fits(_counts(each, photos), curve, 0.0).threshold
        for each in (own, its)
    ]
    return quotient(step, its_step, *samples)


def _threshold(trials: pd.DataFrame, curve: Curve) -> tuple[float, str]:
    """The step at the threshold, and the verdict as in ``thresholds.csv``."""
    rising, peak = thresholds.rising_trials(trials)
    counts = thresholds.count_by_photo(rising)
    if not counts.x.any():
        return math.nan, TOO_FEW if peak is None else NO_THRESHOLD
    fits = psychometric.fit(counts.x, counts.n.sum(0), counts.hits.sum(0), curve)
    return float(fits.threshold[0]), thresholds.verdict(rising, counts, fits, peak is not None)


def _counts(trials: pd.DataFrame, photos: tuple[str, ...]) -> thresholds.Counts:
    """The rising trials by photo and step; a photo without such a trial has zeros.

    Thus the photos, and with them the bootstrap samples, are the same for both methods.
    """
    counts = thresholds.count_by_photo(thresholds.rising_trials(trials)[0])
    at = np.searchsorted(photos, counts.photos)
    n, hits = np.zeros((2, len(photos), len(counts.x)))
    n[at], hits[at] = counts.n, counts.hits
    return thresholds.Counts(counts.x, n, hits, photos)


def _a90_factor(
    own: pd.DataFrame, its: pd.DataFrame, result: PodResult | str, base: PodResult | str
) -> Estimate | str:
    """The steps at a90, own / its; or why the baseline has no a90."""
    if isinstance(base, str):
        return base
    if base.chosen["verdict"]:
        return str(base.chosen["verdict"])
    reason = result if isinstance(result, str) else str(result.chosen["verdict"])
    if isinstance(result, str) or reason:
        return Estimate(math.nan, reason=f"there is no a90 ({reason})")
    samples = [_a90_samples(*each) for each in ((own, result.chosen), (its, base.chosen))]
    return quotient(float(result.chosen["a90"]), float(base.chosen["a90"]), *samples)


def _a90_samples(trials: pd.DataFrame, model: pd.Series) -> np.ndarray:
    """(B,) a90 of the chosen model, refitted to bootstrap samples of the photos."""
    each = inspection(trials, "both").trials
    weights = np.concatenate(list(metrics.resamples(each.groups, draws=thresholds.DRAWS)))
    names = (str(model[name]) for name in ("model", "link", "scale"))
    return resampling.a90_of_hits(each, weights, *names)


def quotient(own: float, its: float, samples: np.ndarray, its_samples: np.ndarray) -> Estimate:
    """A size and that of the baseline, with those of bootstrap samples -> their quotient."""
    low, high = paired.quotient_limits(its_samples, samples)
    reason = (
        "in more than 2.5 % of the bootstrap samples the size of the method is above those tried, "
        "or that of the baseline below"
    )
    return Estimate(own / its, low, high, reason=reason if math.isinf(high) else "")


def _hit_difference(own: pd.DataFrame, its: pd.DataFrame) -> Estimate:
    """The hit rate less that of the baseline, over the trials with a change."""
    changed = [trials[trials["side"] != "none"].groupby("photo")["hit"] for trials in (own, its)]
    n = changed[0].size().to_numpy(float)
    sums = [of_photo.sum().to_numpy(float) for of_photo in changed]
    difference = sums[0] - sums[1]
    if len(n) < 2:
        return Estimate(float(difference.sum() / n.sum()))
    samples = [
        weights @ difference / (weights @ n)
        for weights in metrics.resamples(len(n), draws=thresholds.DRAWS)
    ]
    return Estimate(
        float(difference.sum() / n.sum()), *metrics.interval(np.concatenate(samples))
    )  # fmt: skip
