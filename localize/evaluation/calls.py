"""Calls: scores that reach a decision threshold, set on clean pictures for a rate of false calls.

The threshold for the pictures of a photo is set without that photo (cross-fitting): the photos are
dealt into folds, and the pictures of a fold are called by the threshold of the clean pictures of
the other folds. Otherwise the threshold would know the photo that it is applied to, and the
measured rate of false calls would be too low.

Pictures of one photo are alike. With few photos, new ones are therefore called more often than
wanted; the measured rate shows it. Its interval is that of as many independent pictures as the
clean ones are worth (:func:`localize.evaluation.calibration.effective_count`).

Source: Wilks, Annals of Mathematical Statistics 12 (1941): of n clean scores, the k-th largest is
reached by a further one with probability k / (n + 1); Stone, Journal of the Royal Statistical
Society B 36 (1974), for cross-fitting.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation.calibration import clopper_pearson_interval, effective_count
from synth.errors import InputError

FOLDS = 5  # or as many as there are photos
SEED = 0  # of the order in which the photos are dealt into folds
FILE = "false_calls"  # the name of the table, without .csv
COLUMNS = (
    "method", "answer", "wanted", "folds", "threshold", "threshold_low", "threshold_high", "clean",
    "false_calls", "rate", "low", "high", "photos", "independent", "low_independent",
    "high_independent", "reason",
)  # fmt: skip
LATER = ("photos", "independent", "low_independent", "high_independent")  # older tables lack them
CALL_SCORES = (  # further columns of scores.csv
    "detected", "detected_low", "detected_high", "called", "called_low", "called_high",
    "false_calls", "false_calls_low", "false_calls_high", "call_threshold",
)  # fmt: skip
NO_SCORE = "the method gives no score"
NO_CLEAN = "there is no clean picture"
_ROUNDING = 1e-9  # 0.29 * 100 is below 29 in binary


@dataclass(frozen=True, eq=False)
class Calls:
    """The calls of one method.

    Args:
        call: (N,) bool, by the threshold of the other folds.
        threshold: of all clean pictures together, to be used in practice; NaN without calls.
        low, high: the lowest and the highest threshold of the folds.
        folds: number of folds.
        clean: number of clean pictures.
        false_calls: number of calls on clean pictures.
        photos: number of photos of the clean pictures.
        independent: as how many independent pictures the clean ones count.
        reason: why there are no calls, or "".
    """

    call: np.ndarray
    threshold: float
    low: float
    high: float
    folds: int
    clean: int
    false_calls: int
    photos: int = 0
    independent: float = math.nan
    reason: str = ""

    def row(self, method: str, wanted: float) -> dict[str, Any]:
        """The row of ``false_calls.csv``, with exact 95 % intervals (Clopper and Pearson).

        ``low`` and ``high`` count the clean pictures as ``independent`` ones, ``low_independent``
        and ``high_independent`` as if all were independent.
        """
        row = {
            "method": method, "answer": "called", "wanted": wanted, "folds": self.folds,
            "threshold": self.threshold, "threshold_low": self.low, "threshold_high": self.high,
            "clean": self.clean, "reason": self.reason,
        }  # fmt: skip
        if self.reason:
            return row
        rate = self.false_calls / self.clean
        low, high = clopper_pearson_interval(rate * self.independent, self.independent)
        ends = clopper_pearson_interval(self.false_calls, self.clean)
        return row | {
            "false_calls": self.false_calls, "rate": rate, "low": low, "high": high,
            "photos": self.photos, "independent": self.independent,
            "low_independent": ends[0], "high_independent": ends[1],
        }  # fmt: skip


def table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The rows of methods -> ``false_calls.csv``."""
    whole = dict.fromkeys(("false_calls", "photos"), "Int64")
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(whole)


def check_rate(rate: float | None, flag: str = "--false-calls") -> None:
    """Check a wanted rate of false calls; None stands for no calls.

    Raises:
        InputError: it is no share.
    """
    if rate is not None and not 0 < rate < 1:
        raise InputError(f"{flag} is {rate:g}: give a share above 0 and below 1, such as 0.05")


def call_threshold(clean: np.ndarray, rate: float) -> float:
    """(N,) scores of clean pictures -> the smallest of them that at most rate * N reach.

    A picture is called if its score is at least the threshold. A further clean picture reaches it
    with a probability of at most rate, if the pictures are independent. If equal scores leave no
    such score, the threshold is the next number above the highest.

    >>> call_threshold(np.array([1.0, 2.0, 3.0, 4.0]), 0.5)
    3.0
    >>> call_threshold(np.array([1.0, 3.0, 3.0, 4.0]), 0.5)
    4.0
    """
    allowed = math.floor(rate * len(clean) + _ROUNDING)
    levels, counts = np.unique(clean, return_counts=True)
    reaching = counts[::-1].cumsum()[::-1]
    fitting = levels[reaching <= allowed]
    return float(fitting[0]) if len(fitting) else float(np.nextafter(levels[-1], np.inf))


def fold_of_photo(photos: Sequence[object], folds: int = FOLDS, seed: int = SEED) -> np.ndarray:
    """N photo names -> (N,) fold numbers; all pictures of a photo are in one fold."""
    names, photo = np.unique(np.asarray(photos, dtype=str), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    fold: np.ndarray = (order % min(folds, len(names)))[photo]
    return fold


def clean_needed(rate: float) -> int:
    """The fewest clean pictures of other folds that can show a rate.

    >>> clean_needed(0.05), clean_needed(0.03)
    (20, 34)
    """
    return math.ceil(1 / rate - _ROUNDING)


def fewest_clean(fold: np.ndarray, clean: np.ndarray) -> int:
    """(N,) folds, (N,) bool -> the fewest clean pictures that a fold has outside itself."""
    inside = np.bincount(fold, weights=clean)
    return int(clean.sum() - inside.max()) if len(inside) > 1 else 0


def cross_fit(
    scores: np.ndarray,
    clean: np.ndarray,
    photos: Sequence[object],
    rate: float,
    folds: int = FOLDS,
    seed: int = SEED,
) -> Calls:
    """The calls of one method on all its pictures.

    Args:
        scores: (N,); NaN where there is none. A clean picture without a score is a false call,
            another one without a score is not called.
        clean: (N,) bool, which pictures have no anomaly.
        photos: N names.
        rate: the wanted rate of false calls.
        folds: number of folds.
        seed: of the folds.
    """
    fold = fold_of_photo(photos, folds, seed)
    count, clean = int(fold.max(initial=-1)) + 1, np.asarray(clean, bool)
    reason = _reason(scores, clean, fold, rate)
    if reason:
        nothing = np.zeros(len(scores), bool)
        none = math.nan
        return Calls(nothing, none, none, none, count, int(clean.sum()), 0, reason=reason)
    scores = np.where(np.isnan(scores), np.where(clean, np.inf, -np.inf), scores)
    limits = np.array(
        [call_threshold(scores[clean & (fold != each)], rate) for each in range(count)]
    )
    call = scores >= limits[fold]
    names = np.asarray(photos, dtype=str)[clean].tolist()
    return Calls(
        call, call_threshold(scores[clean], rate), float(limits.min()), float(limits.max()), count,
        int(clean.sum()), int(call[clean].sum()), len(set(names)),
        effective_count(call[clean], names),
    )  # fmt: skip


def _reason(scores: np.ndarray, clean: np.ndarray, fold: np.ndarray, rate: float) -> str:
    """Why there are no calls, or ""."""
    if np.isnan(scores).all():
        return NO_SCORE
    if not clean.any():
        return NO_CLEAN
    without = int(np.isnan(scores[clean]).sum())
    if without > rate * clean.sum():
        return f"{without} of {int(clean.sum())} clean pictures have no score"
    found, needed = fewest_clean(fold, clean), clean_needed(rate)
    if found < needed:
        return (
            f"{found} clean pictures of other photos are too few: a rate of {rate:g} needs {needed}"
        )
    return ""
