"""Compares the thresholds of two methods on the same photos."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from localize.sharpness import thresholds
from localize.sharpness.psychometric import Curve
from localize.sharpness.thresholds import Counts

PAIRS = ("method", "than", "side", "photos", "factor", "factor_low", "factor_high")


def pair_table(
    trials: pd.DataFrame, threshold_rows: pd.DataFrame, curve: Curve = "weibull"
) -> pd.DataFrame:
    """All trials and their ``thresholds.csv`` -> ``pairs.csv``.

    A row says that the step \\|log ratio\\| at the threshold of ``than`` is ``factor`` times that
    of ``method``, which has the smaller one. Its interval is that of the quotient over bootstrap
    samples of photos, the same samples for both methods. A photo that is difficult for one
    method is usually difficult for the other, so two methods may differ significantly although
    their intervals overlap. Only methods that have a threshold and saw the same photos are
    compared.
    """
    guess = thresholds.default_guess(trials)
    fitted = threshold_rows[(threshold_rows["cut"] == "all") & (threshold_rows["verdict"] == "")]
    rows: list[dict[str, Any]] = []
    for side, rows_of_side in fitted.groupby("side", sort=False):
        steps = {
            str(row["method"]): abs(float(np.log(row["threshold"])))
            for row in rows_of_side.to_dict("records")
        }
        counts = {name: _counts(trials, name, str(side)) for name in steps}
        samples = {
            name: thresholds.bootstrap_fits(each, curve, guess).threshold
            for name, each in counts.items()
            if len(each.photos) > 1
        }
        for better, worse in combinations(sorted(samples, key=lambda name: steps[name]), 2):
            if counts[better].photos != counts[worse].photos:
                continue
            low, high = quotient_limits(samples[better], samples[worse])
            rows.append({
                "method": better, "than": worse, "side": side,
                "photos": len(counts[better].photos), "factor": steps[worse] / steps[better],
                "factor_low": low, "factor_high": high,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(PAIRS))


def _counts(trials: pd.DataFrame, name: str, side: str) -> Counts:
    own = trials[trials["method"] == name]
    rising, _ = thresholds.rising_trials(thresholds.trials_of_side(own, side))
    return thresholds.count_by_photo(rising)


def quotient_limits(better: np.ndarray, worse: np.ndarray) -> tuple[float, float]:
    """(DRAWS,), (DRAWS,) bootstrap thresholds -> the 95 % interval of worse / better."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients = worse / better
    quotients = quotients[~np.isnan(quotients)]
    if not len(quotients):
        return np.nan, np.nan
    return thresholds.quantile(quotients, 0.025), thresholds.quantile(quotients, 0.975)
