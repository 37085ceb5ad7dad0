"""How often the bounds of a90 hold the true a90, in simulated inspections.

python tests/bench/pod_coverage.py [--runs N] [--seed N]

Hits follow a probit curve in the logarithm of the size, at 20 sizes; signals a line with normal
noise. Photos differ normally in the intercept, with a standard deviation of 1.2.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy import stats

from localize.sharpness.pod import contour, models, resampling, signal
from localize.sharpness.pod.tobit import Signals
from localize.sharpness.pod.trials import Counts, Trials, count

SIZES = np.exp(np.linspace(-1.5, 1.5, 20))
Z90 = float(stats.norm.ppf(0.9))
DRAWS = 200


def chosen_by_deviance(rng: np.random.Generator, per_size: int) -> list[bool]:
    """One run: whether the prescribed, the chosen and the largest bound among like models hold."""
    slope, intercept = 1.2, 0.2
    truth = math.exp((Z90 - intercept) / slope)
    n = np.full((1, len(SIZES)), float(per_size))
    hits = rng.binomial(per_size, stats.norm.cdf(intercept + slope * np.log(SIZES)), n.shape)
    found, _ = models.all_models(Counts(SIZES, n, hits.astype(float), np.zeros(1)))
    handbook = [model for model in found if model.model == models.HANDBOOK]
    least = min(model.deviance for model in handbook)
    like = [model.a90_95 for model in handbook if model.deviance < least + 2]
    prescribed = next(m for m in handbook if (m.link, m.scale) == ("probit", "log"))
    chosen = next(model for model in found if model.chosen)
    # A model without a90, or without a bound, makes no claim that could be wrong.
    bounds = (prescribed.a90_95, chosen.a90_95, float(np.nanmax(like)))
    return [not bound < truth for bound in bounds]


def grouped(rng: np.random.Generator) -> list[bool]:
    """One run with 30 photos of 12 targets: whether the likelihood and the larger bound hold."""
    slope, intercept, spread, groups, each = 1.6, 0.2, 1.2, 30, 12
    truth = math.exp((Z90 * math.sqrt(1 + spread**2) - intercept) / slope)
    group = np.arange(groups).repeat(each)
    size = rng.choice(SIZES, len(group))
    eta = intercept + slope * np.log(size) + spread * rng.standard_normal(groups)[group]
    hit = (rng.random(len(size)) < stats.norm.cdf(eta)).astype(int)
    trials = Trials(size, hit, np.arange(len(size)), group)
    counts = count(trials)
    model = models.with_bounds(counts, models.describe(counts, "probit", "log"))
    bound = resampling.of_hits(trials, model, draws=DRAWS).a90_95
    return [model.a90_95 >= truth, max(model.a90_95, bound) >= truth]


def censored(rng: np.random.Generator) -> list[bool]:
    """One run with 60 signals: whether the delta method's and the larger bound hold."""
    size = rng.uniform(0.5, 5, 60)
    data = Signals(size, 1 + 2 * size + rng.standard_normal(60), 2.5, 9.5)
    truth = (5 - 1 + Z90) / 2
    delta = signal.fit(data, 5.0, "linear", "linear").a90_95
    bound = signal.bootstrap(data, np.arange(60), 5.0, "linear", draws=DRAWS).a90_95
    return [delta >= truth, max(delta, bound) >= truth]


def main() -> None:
    """Prints the shares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    contour.DIRECTIONS, contour.LAPSE_DIRECTIONS, contour.LAPSES = 60, 24, 7  # faster
    contour.SEARCHED_LAPSES = 60
    for name, run, bounds in (
        ("120 targets", lambda rng: chosen_by_deviance(rng, 6),
         ("prescribed model", "smallest deviance", "largest within 2")),
        ("400 targets", lambda rng: chosen_by_deviance(rng, 20),
         ("prescribed model", "smallest deviance", "largest within 2")),
        ("30 photos x 12", grouped, ("likelihood", "larger with bootstrap")),
        ("60 signals", censored, ("delta method", "larger with bootstrap")),
    ):  # fmt: skip
        rng = np.random.default_rng(given.seed)
        shares = np.mean([run(rng) for _ in range(given.runs)], axis=0)
        for bound, share in zip(bounds, shares, strict=True):
            print(f"{name:<16}{bound:<24}{share:.3f}", flush=True)


if __name__ == "__main__":
    main()
