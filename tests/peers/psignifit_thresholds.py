"""Compares the thresholds of a sharpness run with those that psignifit fits to the same trials.

    make peers
    .peers/psignifit/bin/python tests/peers/psignifit_thresholds.py RUN

Both fit guess + (1 - guess - lapse) F(log x), where x = |log ratio| and F is a Weibull curve whose
value at the threshold is 0.5. The guess rate is the hit rate at ratio 1 in both. psignifit adds
priors to the likelihood and takes all trials as independent; Acuity draws whole photos for its
intervals, so its intervals may be wider. Trials beyond the peak of a curve that falls again
(column rises_to) are left out in both.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import psignifit


def fit(trials: pd.DataFrame) -> tuple[float, float, float]:
    """Trials of one method and side, with those at ratio 1 -> threshold and its 95 % interval."""
    step = np.log(trials["discolor_ratio"]).abs().round(9)
    at_ratio_1 = step == 0
    guess = float(trials.loc[at_ratio_1, "hit"].mean())
    counts = trials[~at_ratio_1].groupby(step[~at_ratio_1])["hit"].agg(["sum", "count"])
    data = np.column_stack([np.log(counts.index), counts["sum"], counts["count"]])
    result = psignifit.psignifit(
        data,
        experiment_type="yes/no",
        sigmoid="weibull",
        fixed_parameters={"gamma": guess},
    )
    low, high = result.confidence_intervals["threshold"]["0.95"]
    return tuple(float(np.exp(x)) for x in (result.parameter_estimate["threshold"], low, high))


def main() -> None:
    run = Path(sys.argv[1])
    trials, thresholds = (pd.read_csv(run / f"{name}.csv") for name in ("trials", "thresholds"))
    thresholds = thresholds[thresholds["side"].isin(["brighter", "darker"])]
    thresholds = thresholds[thresholds["cut"] == "all"]
    print(f"{'method':<16} {'side':<9} {'Acuity':<24} {'psignifit':<24} step, ratio of both")
    for row in thresholds.to_dict("records"):
        if not np.isfinite(row["threshold"]):
            continue
        own = trials[trials["method"] == row["method"]]
        own = own[own["side"].isin([row["side"], "none"])]
        if np.isfinite(row.get("rises_to", np.nan)):
            limit = abs(np.log(row["rises_to"])) + 1e-6
            own = own[np.log(own["discolor_ratio"]).abs() <= limit]
        sign = 1 if row["side"] == "brighter" else -1
        value, low, high = (np.exp(sign * step) for step in fit(own))
        ours = "{threshold:.3f} [{threshold_low:.3f}, {threshold_high:.3f}]".format(**row)
        theirs = f"{value:.3f} [{min(low, high):.3f}, {max(low, high):.3f}]"
        ratio = np.log(row["threshold"]) / np.log(value)
        print(f"{row['method']:<16} {row['side']:<9} {ours:<24} {theirs:<24} {ratio:.3f}")


if __name__ == "__main__":
    main()
