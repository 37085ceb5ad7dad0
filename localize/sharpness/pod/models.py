"""The models of POD against size: four links, size linear or logarithmic, guess and lapse.

The eight models of the handbook have two parameters, intercept and slope. They assume a POD of 0
for the smallest and of 1 for the largest targets. A ninth model has the measured hit rate of blanks
as its lower limit and a fitted lapse rate; it is chosen where it fits significantly better.

Source: MIL-HDBK-1823A (2009), appendix G; Wichmann and Hill, Perception & Psychophysics 63 (2001).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from localize.evaluation.verdicts import NEVER
from localize.sharpness.pod import contour, likelihood
from localize.sharpness.pod.likelihood import Fits
from localize.sharpness.pod.links import LINKS, Link
from localize.sharpness.pod.trials import Counts

ScaleName = Literal["linear", "log"]
SCALES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "linear": (lambda size: size, lambda s: s),
    "log": (np.log, np.exp),
}
HANDBOOK, GUESS_AND_LAPSE = "handbook", "guess and lapse"
FALLS = "POD falls with size"
SIGNIFICANT = 0.05  # p below which a model with more parameters is chosen


@dataclass(frozen=True)
class Model:
    """A fitted model; sizes are in the unit of the table.

    Args:
        model: ``handbook`` or ``guess and lapse``.
        scale: whether POD depends on the size or on its natural logarithm.
        guess, lapse: 1 - lapse is the limit of POD for large targets; 0 in the handbook's model.
        deviance: minus twice the log likelihood of single trials.
        variance_intercept, variance_slope, covariance: by the Fisher information.
        a50, a90: size at which POD is 0.5 and 0.9; NaN if there is none.
        a90_95: upper bound of a90 by a likelihood ratio of 3.841; inf if there is none.
        a90_95_one_sided: the same by 2.706, the one-sided bound of 95 %.
        verdict: why there is no a90, or "".
        far: 1 if a size far beyond those tried was left out (:mod:`localize.sharpness.pod.limits`).
    """

    model: str
    link: str
    scale: str
    guess: float
    lapse: float
    intercept: float
    slope: float
    variance_intercept: float
    variance_slope: float
    covariance: float
    deviance: float
    aic: float
    a50: float
    a90: float
    a90_95: float
    a90_95_one_sided: float
    verdict: str = ""
    far: int = 0
    chosen: bool = False

    def as_row(self) -> dict[str, Any]:
        """The row of ``pod.csv``."""
        return asdict(self) | {"chosen": int(self.chosen)}

    @property
    def name(self) -> str:
        """The model in words, for example ``logit, log size``."""
        more = ", guess and lapse" if self.model == GUESS_AND_LAPSE else ""
        return f"{self.link}, {'log' if self.scale == 'log' else 'linear'} size{more}"

    @property
    def fits(self) -> Fits:
        """The curve as one of :class:`Fits`."""
        names = (self.intercept, self.slope, self.guess, self.lapse, -self.deviance / 2)
        return Fits(*(np.array([value]) for value in names))

    def pod(self, size: np.ndarray) -> np.ndarray:
        """(L,) sizes -> (L,) POD."""
        theta = np.array([[self.intercept, self.slope]])
        s = SCALES[self.scale][0](size)
        guess, lapse = np.array([self.guess]), np.array([self.lapse])
        value: np.ndarray = likelihood.curve(s, theta, guess, lapse, LINKS[self.link])[0, 0]
        return value


@dataclass(frozen=True)
class Comparison:
    """The likelihood-ratio test of the best handbook model against guess and lapse.

    Args:
        statistic: by how much the smallest deviance of the handbook's models is larger.
        p: of the chi-square distribution with one degree of freedom, since one parameter more, the
            lapse rate, is fitted; the guess rate is measured with blanks.
    """

    statistic: float
    p: float


def sizes_at(fits: Fits, pod: float, link: Link, scale: str) -> np.ndarray:
    """(B,) the sizes at which B curves reach ``pod``; inf where they never do."""
    with np.errstate(over="ignore"):
        value: np.ndarray = SCALES[scale][1](fits.size_at(pod, link))
    return value


def fit_model(counts: Counts, link: str, scale: str, guess_and_lapse: bool = False) -> Fits:
    """The B curves of one model."""
    s = SCALES[scale][0](counts.size)
    guess, lapse = (counts.guess, None) if guess_and_lapse else (0.0, 0.0)
    return likelihood.fit(s, counts.n, counts.hits, LINKS[link], guess=guess, lapse=lapse)


def region(counts: Counts, model: Model, level: float) -> contour.Region:
    """The confidence region of the parameters of a model."""
    s = SCALES[model.scale][0](counts.size)
    return contour.region(
        s, counts.n[0], counts.hits[0], model.fits, LINKS[model.link], level,
        model.model == GUESS_AND_LAPSE,
    )  # fmt: skip


def band(counts: Counts, model: Model, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(L,) sizes -> (L,) lower and upper bound of the POD, by a likelihood ratio of 3.841."""
    s = SCALES[model.scale][0](size)
    return region(counts, model, contour.TWO_SIDED).band(s, LINKS[model.link])


def describe(counts: Counts, link: str, scale: str, guess_and_lapse: bool = False) -> Model:
    """Fits one model to all trials, without its bounds."""
    fits = fit_model(counts, link, scale, guess_and_lapse)
    s = SCALES[scale][0](counts.size)
    matrix = likelihood.information(s, counts.n, fits, LINKS[link])[0]
    covariance = np.linalg.inv(matrix) if np.linalg.cond(matrix) < 1e15 else np.full((2, 2), np.nan)
    a50, a90 = (float(sizes_at(fits, pod, LINKS[link], scale)[0]) for pod in (0.5, 0.9))
    deviance = float(fits.deviance[0])
    verdict = FALLS if fits.slope[0] <= 0 else NEVER if math.isinf(a90) else ""
    return Model(
        model=GUESS_AND_LAPSE if guess_and_lapse else HANDBOOK,
        link=link,
        scale=scale,
        guess=float(fits.guess[0]),
        lapse=float(fits.lapse[0]),
        intercept=float(fits.intercept[0]),
        slope=float(fits.slope[0]),
        variance_intercept=float(covariance[0, 0]),
        variance_slope=float(covariance[1, 1]),
        covariance=float(covariance[0, 1]),
        deviance=deviance,
        aic=deviance + 2 * (3 if guess_and_lapse else 2),
        a50=a50 if math.isfinite(a50) else math.nan,
        a90=a90 if math.isfinite(a90) else math.nan,
        a90_95=math.nan,
        a90_95_one_sided=math.nan,
        verdict=verdict,
    )


def with_bounds(counts: Counts, model: Model) -> Model:
    """The model with the bounds of a90; NaN if POD falls or never reaches 0.9."""
    if model.verdict:
        return model
    levels = (contour.TWO_SIDED, contour.ONE_SIDED)
    with np.errstate(over="ignore"):
        bounds = [
            float(SCALES[model.scale][1](
                region(counts, model, level).largest_size(0.9, LINKS[model.link])
            ))
            for level in levels
        ]  # fmt: skip
    return replace(model, a90_95=bounds[0], a90_95_one_sided=bounds[1])


def all_models(
    counts: Counts, link: str = "auto", scale: str = "auto", model: str = "auto"
) -> tuple[list[Model], Comparison]:
    """The eight models of the handbook, the best one with guess and lapse, and their comparison.

    One is chosen: the one with the smallest deviance of those with the given link and scale. With
    ``model="auto"``, the one with guess and lapse is chosen only if its deviance is significantly
    smaller than that of all the handbook's models that may be chosen.
    """

    def may_be_chosen(model: Model) -> bool:
        return link in ("auto", model.link) and scale in ("auto", model.scale)

    pairs = [(name, each) for each in SCALES for name in LINKS]
    handbook = [describe(counts, *pair) for pair in pairs]
    best = smallest([model for model in handbook if may_be_chosen(model)])
    extended = smallest(
        [each for each in (describe(counts, *pair, True) for pair in pairs) if may_be_chosen(each)]
    )
    statistic = best.deviance - extended.deviance
    test = Comparison(statistic, float(stats.chi2.sf(max(statistic, 0.0), 1)))
    better = test.p < SIGNIFICANT and extended.verdict != FALLS and not is_step(counts, extended)
    winner = extended if model == "guess-and-lapse" or (better and model == "auto") else best
    models = [
        replace(with_bounds(counts, each), chosen=each is winner) for each in (*handbook, extended)
    ]
    return models, test


def is_step(counts: Counts, model: Model) -> bool:
    """Whether a curve is a step between two sizes, which always fits well and says nothing."""
    spread = likelihood.Scale.of(SCALES[model.scale][0](counts.size)).spread
    return model.slope * spread > 0.99 * likelihood.MAX_SLOPE


def may_reach(counts: Counts, model: Model, pod: float) -> bool:
    """Whether the trials do not exclude (at 95 %) that POD has a limit above ``pod``."""
    s = SCALES[model.scale][0](counts.size)
    limited = likelihood.fit(
        s, counts.n, counts.hits, LINKS[model.link], guess=model.guess, lapse=1 - pod
    )
    return float(limited.deviance[0]) - model.deviance < contour.TWO_SIDED


def smallest(models: Sequence[Model]) -> Model:
    """The model with the smallest deviance; one whose POD rises, if there is one."""
    return min(models, key=lambda model: (model.verdict == FALLS, model.deviance))
