"""How often the test of pooling calls equal lines of signals different.

python tests/bench/pod_pooling.py [--runs N] [--seed N]

Signals are 1 + 2 size + normal noise, for sizes from 0.5 to 5. Runs in which a part has too few
signals for the test count with the other parts.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from localize.sharpness.pod import pooling, signal
from localize.sharpness.pod.models import SIGNIFICANT
from localize.sharpness.pod.tobit import Signals
from localize.sharpness.pod.trials import Trials
from synth.errors import InputError

NONE, SOME, MANY = (-np.inf, np.inf), (2.5, 9.5), (4.0, 7.0)
CASES = ((2, 60, NONE), (2, 20, NONE), (4, 10, NONE), (8, 5, NONE),
         (2, 30, SOME), (4, 10, SOME), (2, 20, MANY))  # fmt: skip


def p_values(rng: np.random.Generator, parts: int, each: int, limits: tuple[float, float]) -> list[
    float
]:  # fmt: skip
    """One run: p without Bartlett's factor and with it; [] if it cannot be tested."""
    size = rng.uniform(0.5, 5, parts * each)
    data = Signals(size, 1 + 2 * size + rng.standard_normal(len(size)), *limits)
    index = np.arange(len(size))
    names = np.array([f"part {k}" for k in index % parts], dtype=object)
    trials = Trials(size, (data.signal >= 5).astype(int), index, index, names)
    try:
        found = pooling.pool_signals(
            trials, data, "part", signal.fit(data, 5.0, "linear", "linear"), 5.0
        )
    except InputError:
        return []
    exact = [int(data.exact[names == row["part"]].sum()) for row in found.rows
             if row["verdict"] != pooling.TOO_FEW]  # fmt: skip
    plain = found.statistic * pooling.expected_statistic(exact) / found.degrees
    return [float(stats.chi2.sf(plain, found.degrees)), found.p]


def main() -> None:
    """Prints the shares of p below 0.05."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{'parts':>5} {'signals':>7} {'censored beyond':>16} {'without':>8} {'with':>8}")
    for parts, each, limits in CASES:
        rng = np.random.default_rng(given.seed)
        p = [found for _ in range(given.runs) if (found := p_values(rng, parts, each, limits))]
        plain, factor = (np.array(p) < SIGNIFICANT).mean(axis=0)
        ends = f"{limits[0]:g}, {limits[1]:g}"
        print(f"{parts:>5} {each:>7} {ends:>16} {plain:>8.3f} {factor:>8.3f}", flush=True)


if __name__ == "__main__":
    main()
