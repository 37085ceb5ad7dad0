"""Bounds of a90 by bootstrap over groups, such as photos, whose trials are not independent.

Source: Efron, Journal of the American Statistical Association 82 (1987), for the bias-corrected and
accelerated (BCa) quantiles; Hesterberg, The American Statistician 69 (2015), for their expansion by
the t distribution, without which few groups give too narrow intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from localize.evaluation import metrics
from localize.sharpness.pod.links import LINKS
from localize.sharpness.pod.models import GUESS_AND_LAPSE, Model, fit_model, sizes_at
from localize.sharpness.pod.trials import Trials, count
from synth.console import Progress

DRAWS = 1000  # bootstrap samples
SEED = 0
CHUNK = 2_000_000  # numbers of one array
MAX_JACKKNIFE = 500  # groups; with more, the acceleration is negligible and not computed


@dataclass(frozen=True)
class Bounds:
    """Upper bounds of a90; inf where too many samples have no a90.

    Args:
        a90_95: the upper end of the 95 % interval.
        a90_95_one_sided: the one-sided bound of 95 %.
        far: 1 if a bound far beyond the sizes tried was left out.
    """

    a90_95: float
    a90_95_one_sided: float
    far: int = 0


def of_hits(
    trials: Trials, model: Model, draws: int = DRAWS, seed: int = SEED,
    progress: Progress = lambda done, total: None,
) -> Bounds:  # fmt: skip
    """Refits a model of hits to bootstrap samples of the groups.

    The hit rate of the blanks is measured again in each sample.
    """

    def a90(weights: np.ndarray) -> np.ndarray:
        return a90_of_hits(trials, weights, model.model, model.link, model.scale)

    row_size = len(np.unique(trials.size))
    return bounds(a90, trials.groups, row_size, draws=draws, seed=seed, progress=progress)


def a90_of_hits(
    trials: Trials, weights: np.ndarray, model: str, link: str, scale: str
) -> np.ndarray:
    """(B, G) weights of the groups -> (B,) a90 of a model fitted to the hits; inf for none.

    Args:
        model: ``handbook`` or ``guess and lapse``.
    """
    fits = fit_model(count(trials, weights), link, scale, model == GUESS_AND_LAPSE)
    return sizes_at(fits, 0.9, LINKS[link], scale)


def bounds(
    a90: Callable[[np.ndarray], np.ndarray],
    groups: int,
    row_size: int,
    *,
    draws: int = DRAWS,
    seed: int = SEED,
    progress: Progress = lambda done, total: None,
) -> Bounds:
    """Bootstrap bounds of an a90 that is computed from the weights of the groups.

    Args:
        a90: (B, G) weights -> (B,) a90, inf where there is none.
        groups: G, at least 2.
        row_size: how many numbers are computed from one row of weights, to limit the memory.
    """
    samples = np.concatenate(list(metrics.resamples(groups, draws=draws, seed=seed)))
    left_out = 1.0 - np.eye(groups) if groups <= MAX_JACKKNIFE else np.empty((0, groups))
    weights = np.concatenate([np.ones((1, groups)), left_out, samples])
    values: list[np.ndarray] = []
    done = 0
    for part in np.array_split(weights, 1 + weights.shape[0] * row_size // CHUNK):
        values.append(a90(part))
        done += len(part)
        progress(done, len(weights))
    estimate, jackknife, of_samples = np.split(np.concatenate(values), [1, 1 + len(left_out)])
    two_sided, one_sided = (
        upper_limit(of_samples, estimate[0], jackknife, groups, p) for p in (0.975, 0.95)
    )
    return Bounds(two_sided, one_sided)


def upper_limit(
    values: np.ndarray, estimate: float, jackknife: np.ndarray, groups: int, level: float
) -> float:
    """(B,) a90 of samples -> the expanded BCa limit that a90 exceeds with probability 1 - level.

    Args:
        estimate: a90 of all groups.
        jackknife: (G,) a90 without each group; empty for no acceleration.
    """
    below = np.mean(values < estimate) + 0.5 * np.mean(values == estimate)
    bias = stats.norm.ppf(np.clip(below, 1 / len(values), 1 - 1 / len(values)))
    z = math.sqrt(groups / (groups - 1)) * stats.t.ppf(level, groups - 1)
    shifted = bias + z
    slant = 1 - _acceleration(jackknife) * shifted
    corrected = stats.norm.cdf(bias + shifted / slant) if slant > 0 else 1.0
    return float(np.quantile(values, corrected, method="inverted_cdf"))


def _acceleration(jackknife: np.ndarray) -> float:
    """Efron's a: a sixth of the skewness of the influence of the groups."""
    if not len(jackknife) or not np.isfinite(jackknife).all():
        return 0.0
    influence = jackknife.mean() - jackknife
    squares = float((influence**2).sum())
    return float((influence**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
