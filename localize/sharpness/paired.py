"""How many times as strong a change one method needs as another does, photo by photo."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from localize.sharpness import thresholds
from localize.sharpness.psychometric import Curve
from localize.sharpness.thresholds import Counts

PAIRS = ("method", "than", "side", "photos", "factor", "factor_low", "factor_high")


def all_pairs(trials: pd.DataFrame, found: pd.DataFrame, curve: Curve = "weibull") -> pd.DataFrame:
    """All trials and their ``thresholds.csv`` -> ``pairs.csv``.

    A row says that ``than`` needs ``factor`` times the step \\|log ratio\\| of ``method``, the
    sharper one. The interval is that of the quotient over bootstrap samples of photos, the same
    samples for both: a photo that is hard for one is mostly hard for the other, so that two
    methods may differ clearly though their intervals overlap. Only methods that have a
    threshold and saw the same photos are compared.
    """
    unasked = thresholds.unasked_guess(trials)
    whole = found[(found["cut"] == "all") & (found["verdict"] == "")]
    rows: list[dict[str, Any]] = []
    for side, of_side in whole.groupby("side", sort=False):
        steps = {
            str(row["method"]): abs(float(np.log(row["threshold"])))
            for row in of_side.to_dict("records")
        }
        counts = {name: _counts(trials, name, str(side)) for name in steps}
        draws = {
            name: thresholds.drawn(each, curve, unasked).threshold
            for name, each in counts.items()
            if len(each.names) > 1
        }
        for sharp, blunt in combinations(sorted(draws, key=lambda name: steps[name]), 2):
            if counts[sharp].names != counts[blunt].names:
                continue
            low, high = _limits(draws[sharp], draws[blunt])
            rows.append({
                "method": sharp, "than": blunt, "side": side, "photos": len(counts[sharp].names),
                "factor": steps[blunt] / steps[sharp], "factor_low": low, "factor_high": high,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(PAIRS))


def _counts(trials: pd.DataFrame, name: str, side: str) -> Counts:
    return thresholds.counted(thresholds.of_side(trials[trials["method"] == name], side))


def _limits(sharp: np.ndarray, blunt: np.ndarray) -> tuple[float, float]:
    """(DRAWS,), (DRAWS,) -> the limits of 95 % of the quotients."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients = blunt / sharp
    quotients = quotients[~np.isnan(quotients)]
    if not len(quotients):
        return np.nan, np.nan
    return thresholds.quantile(quotients, 0.025), thresholds.quantile(quotients, 0.975)
