"""How often the interval of the rate of false calls holds it, where pictures of a photo are alike.

python tests/bench/call_intervals.py [--runs N] [--seed N]

Scores are normal; a share of their variance is between photos. A fixed threshold calls a known
share of them.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import stats

from localize.evaluation import metrics
from localize.evaluation.calibration import clopper_pearson_interval, effective_count

CASES = ((24, 5, 0.0, 0.05), (24, 5, 0.5, 0.05), (24, 5, 0.5, 0.2), (16, 8, 0.5, 0.1),
         (10, 12, 0.5, 0.05), (60, 5, 0.5, 0.05), (24, 5, 0.9, 0.05))  # fmt: skip


def intervals(call: np.ndarray, photo: np.ndarray) -> list[tuple[float, float]]:
    """Exact as if independent, the wider of that and the bootstrap, exact for alike pictures."""
    exact = clopper_pearson_interval(int(call.sum()), len(call))
    low, high = metrics.bootstrap(call, photo.tolist(), draws=1000)
    count = effective_count(call, photo.tolist())
    return [exact, (min(exact[0], low), max(exact[1], high)),
            clopper_pearson_interval(call.mean() * count, count)]  # fmt: skip


def main() -> None:
    """Prints the shares that hold the rate, and the mean widths."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{'photos':>6} {'pictures':>8} {'between':>8} {'rate':>6}  held; width, three intervals")
    for photos, each, between, rate in CASES:
        rng = np.random.default_rng(given.seed)
        photo, limit = np.arange(photos).repeat(each), stats.norm.ppf(1 - rate)
        held, width = [], []
        for _ in range(given.runs):
            of_photo, own = rng.normal(size=photos)[photo], rng.normal(size=len(photo))
            call = np.sqrt(between) * of_photo + np.sqrt(1 - between) * own >= limit
            found = intervals(call.astype(int), photo)
            held.append([low <= rate <= high for low, high in found])
            width.append([high - low for low, high in found])
        texts = [
            f"{share:.3f}; {mean:.3f}"
            for share, mean in zip(np.mean(held, axis=0), np.mean(width, axis=0), strict=True)
        ]
        print(f"{photos:>6} {each:>8} {between:>8} {rate:>6}  {'   '.join(texts)}", flush=True)


if __name__ == "__main__":
    main()
