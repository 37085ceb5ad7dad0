"""From trials to tables: hit rates, and the threshold of every method, cut and side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import metrics
from localize.sharpness import luminance, psychometric, strata
from localize.sharpness.psychometric import Curve, Fits

BASELINE = "centre"
CHANCE = 3.09  # z of a rise that chance alone shows once in a thousand
DRAWS = 1000  # bootstrap samples
SAME = 5  # decimals to which two steps |log ratio| are one level
LEAST = 30  # trials with a change below which that test says little
NEVER = "no threshold"
TOO_FEW = "too few trials"
ABOVE = "above the largest tried"
BELOW = "below the smallest tried"
THRESHOLDS = (
    "method", "cut", "level", "side", "n", "photos", "guess", "lapse", "threshold",
    "threshold_low", "threshold_high", "contrast_percent", "contrast_low", "contrast_high",
    "slope", "slope_low", "slope_high", "deviance", "verdict",
)  # fmt: skip
RATES = ("method", "side", "discolor_ratio", "r", "n", "photos", "hit_rate", "low", "high")


def steps(ratios: pd.Series) -> np.ndarray:
    """Ratios -> (N,) steps |log ratio|, equal ones to the last bit."""
    return np.abs(np.log(ratios.to_numpy(float))).round(SAME)


@dataclass(frozen=True, eq=False)
class Counts:
    """(L,) steps; (P, L) trials and hits of every photo; the photos' names."""

    x: np.ndarray
    n: np.ndarray
    hits: np.ndarray
    names: tuple[str, ...]


def counted(trials: pd.DataFrame) -> Counts:
    """Trials -> how many each photo had at each step."""
    x, level = np.unique(steps(trials["discolor_ratio"]), return_inverse=True)
    names, photo = np.unique(trials["photo"].astype(str), return_inverse=True)
    n = np.zeros((len(names), len(x)))
    hits = np.zeros_like(n)
    np.add.at(n, (photo, level), 1)
    np.add.at(hits, (photo, level), trials["hit"].to_numpy(float))
    return Counts(x, n, hits, tuple(names.tolist()))


def verdict(trials: pd.DataFrame, counts: Counts, fits: Fits) -> str:
    """Why a curve has no threshold, or nothing."""
    x = steps(trials["discolor_ratio"])
    if psychometric.rises(x, trials["hit"].to_numpy()) < CHANCE:
        return NEVER if np.count_nonzero(x) >= LEAST else TOO_FEW
    if fits.threshold[0] > counts.x[-1]:
        return ABOVE
    return BELOW if fits.threshold[0] < counts.x[counts.x > 0][0] else ""


def threshold(
    trials: pd.DataFrame, side: str, curve: Curve = "weibull", unasked: float = 0.0
) -> dict[str, Any]:
    """The trials of one method, cut and side -> the numbers of a row of ``thresholds.csv``.

    A limit of an interval that lies beyond what was tried is 1 (no change at all) or infinite.
    """
    counts = counted(trials)
    n, hits = counts.n.sum(0), counts.hits.sum(0)
    row: dict[str, Any] = {"n": len(trials), "photos": len(counts.n)}
    if not counts.x.any():
        return row | {"verdict": TOO_FEW}
    fits = psychometric.fit(counts.x, n, hits, curve, unasked)
    row |= {"guess": fits.guess[0], "verdict": verdict(trials, counts, fits)}
    if row["verdict"]:
        return row
    low, high = _intervals(counts, curve, unasked)
    sign = -1 if side == "darker" else 1
    found = np.exp(sign * np.array([fits.threshold[0], low.threshold[0], high.threshold[0]]))
    found[1:].sort()
    grey = float(trials["brightness"].mean())
    with np.errstate(invalid="ignore"):
        weber = luminance.contrast(np.minimum(found, 1e6), grey)
    return row | {
        "lapse": fits.lapse[0],
        "threshold": found[0],
        "threshold_low": found[1],
        "threshold_high": found[2],
        "contrast_percent": weber[0],
        "contrast_low": weber[1],
        "contrast_high": np.inf if np.isinf(found[2]) else weber[2],
        "slope": fits.slope[0],
        "slope_low": low.slope[0],
        "slope_high": high.slope[0],
        "deviance": psychometric.deviance(counts.x, n, hits, fits, curve),
    }


def _resampled(counts: Counts) -> tuple[np.ndarray, np.ndarray]:
    """-> (DRAWS, L) trials and hits of bootstrap samples of photos."""
    weights = np.concatenate(list(metrics.resamples(len(counts.n), draws=DRAWS)))
    return weights @ counts.n, weights @ counts.hits


def _intervals(counts: Counts, curve: Curve, unasked: float) -> tuple[Fits, Fits]:
    """The limits of 95 % of bootstrap samples of photos; NaN with fewer than two photos."""
    if len(counts.n) < 2:
        nothing = np.full(1, np.nan)
        return (Fits(*[nothing] * 5),) * 2
    fields = vars(drawn(counts, curve, unasked))
    low, high = (
        Fits(**{name: np.atleast_1d(quantile(v, q)) for name, v in fields.items()})
        for q in (0.025, 0.975)
    )
    return low, high


def drawn(counts: Counts, curve: Curve, unasked: float) -> Fits:
    """-> the curves of DRAWS bootstrap samples of photos.

    Thresholds above the largest step that was tried are infinite, those below the least 0.
    """
    fits = psychometric.fit(counts.x, *_resampled(counts), curve, unasked)
    x, found = counts.x[counts.x > 0], fits.threshold
    clear = np.where(found > x[-1], np.inf, np.where(found < x[0], 0.0, found))
    return replace(fits, threshold=clear)


def quantile(values: np.ndarray, q: float) -> float:
    """(N,) values, infinite ones as well -> one of them."""
    return float(np.quantile(values, q, method="inverted_cdf"))


def band(trials: pd.DataFrame, x: np.ndarray, curve: Curve, unasked: float) -> np.ndarray:
    """(L,) steps -> (3, L): the curve of one method and side, and its 95 % limits."""
    counts = counted(trials)
    fits = psychometric.fit(counts.x, counts.n.sum(0), counts.hits.sum(0), curve, unasked)
    rates = fits.rate(x, curve)[0]
    if len(counts.n) < 2:
        return np.stack([rates, rates, rates])
    many = psychometric.fit(counts.x, *_resampled(counts), curve, unasked).rate(x, curve)
    return np.stack([rates, *np.quantile(many, [0.025, 0.975], axis=0)])


def of_side(trials: pd.DataFrame, side: str) -> pd.DataFrame:
    """The trials of a side, or of both, with those at ratio 1."""
    return trials if side == "both" else trials[trials["side"].isin((side, "none"))]


def sides(trials: pd.DataFrame, together: bool = True) -> list[str]:
    """The sides to report: both where there are both and that is wanted, and each."""
    single = [side for side in ("brighter", "darker") if (trials["side"] == side).any()]
    return ["both", *single] if together and len(single) > 1 else single


def unasked_guess(trials: pd.DataFrame) -> float:
    """The guess rate of a method that was never asked at ratio 1: the centre guess's."""
    baseline = trials.loc[trials["method"] == BASELINE, "hit"]
    return float(baseline.mean()) if len(baseline) else 0.0


def all_thresholds(
    trials: pd.DataFrame,
    curve: Curve = "weibull",
    together: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """All trials -> ``thresholds.csv``.

    Args:
        together: fit both sides as one too; not where each has steps chosen for it.
    """
    unasked = unasked_guess(trials)
    parts = list(_parts(trials))
    rows = []
    for done, (name, part, of) in enumerate(parts):
        for side in sides(of, together):
            chosen = of_side(of, side)
            numbers = threshold(chosen, side, curve, unasked)
            rows.append(
                {"method": name, "cut": part.cut, "level": part.level, "side": side} | numbers
            )
        progress(done + 1, len(parts))
    return pd.DataFrame(rows).reindex(columns=list(THRESHOLDS))


def _parts(trials: pd.DataFrame) -> Iterator[tuple[str, strata.Part, pd.DataFrame]]:
    """Each method with each part; the limits of a cut are the same for all methods."""
    parts = list(strata.parts(trials))
    for name in dict.fromkeys(trials["method"]):
        for part in parts:
            of = trials[part.of & (trials["method"] == name).to_numpy()]
            if len(of):
                yield str(name), part, of


def all_rates(trials: pd.DataFrame) -> pd.DataFrame:
    """All trials -> ``rates.csv``: hit rates by ratio, at all radii and at each."""
    rows = []
    for r, of in [(np.nan, trials), *trials.groupby("r")]:
        cells = of.groupby(["method", "side", "discolor_ratio"], sort=False)
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
