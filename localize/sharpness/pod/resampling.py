"""Bounds of a90 by bootstrap over groups, such as photos, whose trials are not independent.

Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from localize.evaluation import metrics
from localize.sharpness.pod.links import LINKS
from localize.sharpness.pod.models import GUESS_AND_LAPSE, Model, fit_model, sizes_at
from localize.sharpness.pod.trials import Trials, count
from synth.console import Progress

DRAWS = 1000  # bootstrap samples
SEED = 0
CHUNK = 2_000_000  # numbers of one array


@dataclass(frozen=True)
class Bounds:
    """Upper bounds of a90; inf where too many samples have no a90.

    Args:
        a90_95: the 97.5 % quantile of the samples: the upper end of their 95 % interval.
        a90_95_one_sided: the 95 % quantile.
    """

    a90_95: float
    a90_95_one_sided: float


def bounds(
    trials: Trials, model: Model, draws: int = DRAWS, seed: int = SEED,
    progress: Progress = lambda done, total: None,
) -> Bounds:  # fmt: skip
    """Refits a model to bootstrap samples of the groups.

    The hit rate of the blanks is measured again in each sample.
    """
    sizes = len(np.unique(trials.size))
    values: list[np.ndarray] = []
    done = 0
    for weights in metrics.resamples(trials.groups, draws=draws, seed=seed, row_size=sizes):
        parts = np.array_split(weights, 1 + len(weights) * sizes // CHUNK)
        for part in parts:
            counts = count(trials, part)
            fits = fit_model(counts, model.link, model.scale, model.model == GUESS_AND_LAPSE)
            values.append(sizes_at(fits, 0.9, LINKS[model.link], model.scale))
            done += len(part)
            progress(done, draws)
    return upper_limits(np.concatenate(values))


def upper_limits(values: np.ndarray) -> Bounds:
    """(B,) values of a90, inf where there is none -> their upper limits."""
    two, one = np.quantile(values, (0.975, 0.95), method="inverted_cdf")
    return Bounds(float(two), float(one))
