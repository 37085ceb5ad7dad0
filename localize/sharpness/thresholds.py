"""The tables of hit rates and of thresholds, by method, stratum and side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import metrics
from localize.evaluation.verdicts import ABOVE, BELOW, FALLS, NO_THRESHOLD, TOO_FEW
from localize.registry import BASELINE
from localize.sharpness import luminance, psychometric, strata
from localize.sharpness.psychometric import Curve, Fits
from localize.sharpness.rising_part import MIN_TREND_Z, peak_step

DRAWS = 1000  # bootstrap samples
STEP_DECIMALS = 5  # steps |log ratio| that agree to so many decimals are one level
MIN_TRIALS = 30  # with fewer trials with a change, the trend test has too little power
THRESHOLDS = (
    "method", "cut", "level", "side", "n", "photos", "guess", "lapse", "threshold",
    "threshold_low", "threshold_high", "contrast_percent", "contrast_low", "contrast_high",
    "slope", "slope_low", "slope_high", "deviance", "rises_to", "verdict",
)  # fmt: skip
RATES = ("method", "side", "discolor_ratio", "r", "n", "photos", "hit_rate", "low", "high")


def steps(ratios: pd.Series) -> np.ndarray:
    """Ratios -> (N,) steps |log ratio|, rounded so that equal steps are equal exactly."""
    return np.abs(np.log(ratios.to_numpy(float))).round(STEP_DECIMALS)


@dataclass(frozen=True, eq=False)
class Counts:
    """Trials and hits by photo and step.

    Args:
        x: (L,) steps |log ratio|, ascending.
        n: (P, L) number of trials.
        hits: (P, L) number of hits.
        photos: P names.
    """

    x: np.ndarray
    n: np.ndarray
    hits: np.ndarray
    photos: tuple[str, ...]


def count_by_photo(trials: pd.DataFrame) -> Counts:
    """Counts the trials and hits of each photo at each step."""
    x, level = np.unique(steps(trials["discolor_ratio"]), return_inverse=True)
    names, photo = np.unique(trials["photo"].astype(str), return_inverse=True)
    n = np.zeros((len(names), len(x)))
    hits = np.zeros_like(n)
    np.add.at(n, (photo, level), 1)
    np.add.at(hits, (photo, level), trials["hit"].to_numpy(float))
    return Counts(x, n, hits, tuple(names.tolist()))


def rising_trials(trials: pd.DataFrame) -> tuple[pd.DataFrame, float | None]:
    """The trials of one method and side -> those up to the peak, and its step.

    All trials and None if the hit rate does not fall again; see :func:`peak_step`.
    """
    x = steps(trials["discolor_ratio"])
    peak = peak_step(x, trials["hit"].to_numpy(float)) if len(x) else None
    return (trials, None) if peak is None else (trials[x <= peak], peak)


def verdict(trials: pd.DataFrame, counts: Counts, fits: Fits, falls: bool) -> str:
    """Why a curve has no threshold, or "".

    Args:
        falls: the hit rate falls again beyond the largest step of the trials.
    """
    x = steps(trials["discolor_ratio"])
    if psychometric.trend_z(x, trials["hit"].to_numpy()) < MIN_TREND_Z:
        return NO_THRESHOLD if np.count_nonzero(x) >= MIN_TRIALS else TOO_FEW
    if fits.threshold[0] > counts.x[-1]:
        return FALLS if falls else ABOVE
    return BELOW if fits.threshold[0] < counts.x[counts.x > 0][0] else ""


def fit_threshold(
    trials: pd.DataFrame, side: str, curve: Curve = "weibull", guess: float = 0.0
) -> dict[str, Any]:
    """The trials of one method, stratum and side -> the numbers of a row of ``thresholds.csv``.

    If the hit rate falls again, only the trials up to its peak are fitted, and ``rises_to`` is the
    ratio of the peak. A limit of an interval beyond the ratios fitted is 1 (no change), 0 or
    infinite.
    """
    row: dict[str, Any] = {"n": len(trials), "photos": trials["photo"].nunique()}
    trials, peak = rising_trials(trials)
    counts = count_by_photo(trials)
    n, hits = counts.n.sum(0), counts.hits.sum(0)
    if not counts.x.any():
        return row | {"verdict": TOO_FEW if peak is None else NO_THRESHOLD}
    fits = psychometric.fit(counts.x, n, hits, curve, guess)
    row |= {"guess": fits.guess[0], "verdict": verdict(trials, counts, fits, peak is not None)}
    sign = -1 if side == "darker" else 1
    if peak is not None:
        row["rises_to"] = float(np.exp(sign * peak))
    if row["verdict"]:
        return row
    low, high = _intervals(counts, curve, guess)
    ratios = np.exp(sign * np.array([fits.threshold[0], low.threshold[0], high.threshold[0]]))
    ratios[1:].sort()
    grey = float(trials["brightness"].mean())
    with np.errstate(invalid="ignore"):
        contrast = luminance.contrast(np.minimum(ratios, 1e6), grey)
    return row | {
        "lapse": fits.lapse[0],
        "threshold": ratios[0],
        "threshold_low": ratios[1],
        "threshold_high": ratios[2],
        "contrast_percent": contrast[0],
        "contrast_low": contrast[1],
        "contrast_high": np.inf if np.isinf(ratios[2]) else contrast[2],
        "slope": fits.slope[0],
        "slope_low": low.slope[0],
        "slope_high": high.slope[0],
        "deviance": psychometric.deviance(counts.x, n, hits, fits, curve),
    }


def _resample(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """(DRAWS, L) trials and (DRAWS, L) hits of bootstrap samples of photos."""
    weights = np.concatenate(list(metrics.resamples(len(counts.n), draws=DRAWS)))
    return weights @ counts.n, weights @ counts.hits


def _intervals(counts: Counts, curve: Curve, guess: float) -> tuple[Fits, Fits]:
    """Lower and upper limits of the parameters' 95 % intervals; NaN with fewer than two photos."""
    if len(counts.n) < 2:
        undefined = np.full(1, np.nan)
        return (Fits(*[undefined] * 5),) * 2
    fields = vars(bootstrap_fits(counts, curve, guess))
    low, high = (
        Fits(**{name: np.atleast_1d(quantile(v, q)) for name, v in fields.items()})
        for q in (0.025, 0.975)
    )
    return low, high


def bootstrap_fits(counts: Counts, curve: Curve, guess: float) -> Fits:
    """The curves fitted to DRAWS bootstrap samples of photos.

    Thresholds above the largest step tried are infinite, and those below the smallest one 0.
    """
    fits = psychometric.fit(counts.x, *_resample(counts), curve, guess)
    x, values = counts.x[counts.x > 0], fits.threshold
    values = np.where(values > x[-1], np.inf, np.where(values < x[0], 0.0, values))
    return replace(fits, threshold=values)


def quantile(values: np.ndarray, q: float) -> float:
    """The q-quantile of (N,) values, which may be infinite: always one of the values."""
    return float(np.quantile(values, q, method="inverted_cdf"))


def band(trials: pd.DataFrame, x: np.ndarray, curve: Curve, guess: float) -> np.ndarray:
    """(L,) steps -> (3, L) hit rates: the curve of one method and side, and its 95 % limits.

    NaN beyond the peak of a hit rate that falls again.
    """
    trials, peak = rising_trials(trials)
    if peak is not None:
        x = np.where(x < peak + 10.0**-STEP_DECIMALS, x, np.nan)
    counts = count_by_photo(trials)
    fits = psychometric.fit(counts.x, counts.n.sum(0), counts.hits.sum(0), curve, guess)
    rates = fits.rate(x, curve)[0]
    if len(counts.n) < 2:
        return np.stack([rates, rates, rates])
    samples = psychometric.fit(counts.x, *_resample(counts), curve, guess).rate(x, curve)
    return np.stack([rates, *np.quantile(samples, [0.025, 0.975], axis=0)])


def trials_of_side(trials: pd.DataFrame, side: str) -> pd.DataFrame:
    """The trials of a side, or of both, including those at ratio 1."""
    return trials if side == "both" else trials[trials["side"].isin((side, "none"))]


def sides(trials: pd.DataFrame, together: bool = True) -> list[str]:
    """The sides to report: each side, preceded by "both" if there are two and ``together``."""
    single = [side for side in ("brighter", "darker") if (trials["side"] == side).any()]
    return ["both", *single] if together and len(single) > 1 else single


def default_guess(trials: pd.DataFrame) -> float:
    """The guess rate of methods without trials at ratio 1: the hit rate of the centre guess."""
    baseline = trials.loc[trials["method"] == BASELINE, "hit"]
    return float(baseline.mean()) if len(baseline) else 0.0


def threshold_table(
    trials: pd.DataFrame,
    curve: Curve = "weibull",
    together: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """All trials -> ``thresholds.csv``.

    Args:
        together: also fit both sides together; not for adaptive trials, whose sides have
            different steps.
    """
    guess = default_guess(trials)
    groups = list(_groups(trials))
    rows = []
    for done, (name, stratum, own) in enumerate(groups):
        for side in sides(own, together):
            numbers = fit_threshold(trials_of_side(own, side), side, curve, guess)
            rows.append(
                {"method": name, "cut": stratum.variable, "level": stratum.level, "side": side}
                | numbers
            )
        progress(done + 1, len(groups))
    return pd.DataFrame(rows).reindex(columns=list(THRESHOLDS))


def _groups(trials: pd.DataFrame) -> Iterator[tuple[str, strata.Stratum, pd.DataFrame]]:
    """The trials of each method in each stratum; strata are the same for all methods."""
    all_strata = list(strata.all_strata(trials))
    for name in dict.fromkeys(trials["method"]):
        for stratum in all_strata:
            own = trials[stratum.mask & (trials["method"] == name).to_numpy()]
            if len(own):
                yield str(name), stratum, own


def rate_table(trials: pd.DataFrame) -> pd.DataFrame:
    """All trials -> ``rates.csv``: hit rates by ratio, over all radii and for each radius."""
    rows = []
    for r, of_radius in [(np.nan, trials), *trials.groupby("r")]:
        cells = of_radius.groupby(["method", "side", "discolor_ratio"], sort=False)
        for (method, side, ratio), cell in cells:
            low, high = metrics.bootstrap(
                cell["hit"].to_numpy(), cell["photo"].tolist(), draws=DRAWS
            )
            rows.append({
                "method": method, "side": side, "discolor_ratio": ratio, "r": r, "n": len(cell),
                "photos": cell["photo"].nunique(), "hit_rate": cell["hit"].mean(),
                "low": low, "high": high,
            })  # fmt: skip
    table = pd.DataFrame(rows, columns=list(RATES))
    order = {name: i for i, name in enumerate(dict.fromkeys(trials["method"]))}
    table["order"] = table["method"].map(order)
    by = ["order", "r", "discolor_ratio"]
    return table.sort_values(by, na_position="first", ignore_index=True)[list(RATES)]
