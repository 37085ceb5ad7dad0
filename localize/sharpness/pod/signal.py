"""POD from a continuous signal: the share of signals above a decision value, by size.

POD(s) = Phi((intercept + slope s - decision) / noise), which is a probit curve. Its bounds are
those of the delta method.

Source: MIL-HDBK-1823A (2009), appendix G (a-hat against a); Berens, ASM Handbook 17 (1989).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from localize.sharpness.pod import resampling, tobit
from localize.sharpness.pod.models import FALLS, SCALES
from localize.sharpness.pod.resampling import DRAWS, SEED, Bounds
from localize.sharpness.pod.tobit import Signals
from synth.console import Progress

Z90 = float(stats.norm.ppf(0.9))
Z_ONE_SIDED = float(stats.norm.ppf(0.95))


@dataclass(frozen=True)
class SignalModel:
    """A regression line and the POD that follows from it; sizes are in the unit of the table.

    Args:
        scale: whether the signal depends on the size or on its natural logarithm.
        signal_scale: whether the signal or its natural logarithm is regressed.
        noise: standard deviation of the residuals (of the logarithms, if signal_scale is log).
        intercept, slope: of the POD, as of a probit model of hits.
        variance_intercept, variance_slope, covariance: of these.
        line_intercept, line_slope: of the regression line.
        deviance: minus twice the log likelihood.
        a90_95, a90_95_one_sided: the one-sided upper bound of a90 of 95 %, by the delta method. The
            handbook has only this one for signals, so that both are equal.
        far: 1 if a size far beyond those tried was left out (:mod:`localize.sharpness.pod.limits`).
    """

    link: str
    scale: str
    signal_scale: str
    intercept: float
    slope: float
    variance_intercept: float
    variance_slope: float
    covariance: float
    line_intercept: float
    line_slope: float
    noise: float
    deviance: float
    aic: float
    a50: float
    a90: float
    a90_95: float
    a90_95_one_sided: float
    verdict: str = ""
    far: int = 0
    chosen: bool = False
    model: str = "signal"

    def as_row(self) -> dict[str, Any]:
        """The row of ``pod.csv``."""
        return asdict(self) | {"chosen": int(self.chosen)}

    @property
    def name(self) -> str:
        """The model in words."""
        words = {"log": "log signal", "linear": "signal"}
        return f"{words[self.signal_scale]} against {'log ' if self.scale == 'log' else ''}size"

    def pod(self, size: np.ndarray) -> np.ndarray:
        """(L,) sizes -> (L,) POD."""
        eta = self.intercept + self.slope * SCALES[self.scale][0](size)
        value: np.ndarray = stats.norm.cdf(eta)
        return value

    def band(self, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(L,) sizes -> (L,) lower and upper bound of the POD, each one-sided 95 %.

        They are the bounds of the size at each POD, so that the lower one is 0.9 at a90/95.
        """
        eta = np.linspace(-8, 8, 3201)
        s = (eta - self.intercept) / self.slope
        variance = self.variance_intercept + 2 * s * self.covariance + s**2 * self.variance_slope
        error = Z_ONE_SIDED * np.sqrt(np.maximum(variance, 0.0)) / self.slope
        at = SCALES[self.scale][0](size)
        low, high = (
            stats.norm.cdf(np.interp(at, np.maximum.accumulate(each), eta))
            for each in (s + error, s - error)
        )
        return low, high


def fit(data: Signals, decision: float, scale: str, signal_scale: str) -> SignalModel:
    """Fits a line to the signals and derives the POD.

    Args:
        data: with the sizes and signals already on their scales.
        decision: the decision value, on the scale of the signals.
    """
    lines = tobit.fit(data, np.ones((1, len(data.s))))
    intercept, slope, noise = lines.parameters[0]
    matrix = tobit.covariance(data, lines)
    a = np.array([intercept - decision, slope]) / noise
    # derivatives of (intercept - decision, slope) / noise by (intercept, slope, noise)
    change = np.array([[1, 0, -a[0]], [0, 1, -a[1]]]) / noise
    of_pod = change @ matrix @ change.T
    back = SCALES[scale][1]
    s50, s90 = (decision - intercept) / slope, (decision - intercept + Z90 * noise) / slope
    gradient = np.array([-1.0, -s90, Z90]) / slope  # of s90 by (intercept, slope, noise)
    error = math.sqrt(max(float(gradient @ matrix @ gradient), 0.0))
    deviance = -2 * float(lines.log_likelihood[0])
    if signal_scale == "log":  # the density of the signal itself, so that deviances compare
        deviance += 2 * float(data.signal[data.exact].sum())
    verdict = FALLS if slope <= 0 else ""
    with np.errstate(over="ignore"):
        a50, a90, a90_95 = (
            math.nan if verdict else float(back(each))
            for each in (s50, s90, s90 + Z_ONE_SIDED * error)
        )
    return SignalModel(
        link="probit",
        scale=scale,
        signal_scale=signal_scale,
        intercept=float(a[0]),
        slope=float(a[1]),
        variance_intercept=float(of_pod[0, 0]),
        variance_slope=float(of_pod[1, 1]),
        covariance=float(of_pod[0, 1]),
        line_intercept=float(intercept),
        line_slope=float(slope),
        noise=float(noise),
        deviance=deviance,
        aic=deviance + 6,
        a50=a50,
        a90=a90,
        a90_95=a90_95,
        a90_95_one_sided=a90_95,
        verdict=verdict,
    )


def bootstrap(
    data: Signals, group: np.ndarray, decision: float, scale: str, draws: int = DRAWS,
    seed: int = SEED, progress: Progress = lambda done, total: None,
) -> Bounds:  # fmt: skip
    """The one-sided upper bound of a90 of 95 % by bootstrap over groups.

    Args:
        group: (N,) number of the group of each signal.
    """
    _, number = np.unique(group, return_inverse=True)

    def a90(weights: np.ndarray) -> np.ndarray:
        return a90_of_signals(data, weights[:, number], decision, scale)

    found = resampling.bounds(
        a90, number.max() + 1, len(number), draws=draws, seed=seed, progress=progress
    )
    return Bounds(found.a90_95_one_sided, found.a90_95_one_sided)


def a90_of_signals(data: Signals, weights: np.ndarray, decision: float, scale: str) -> np.ndarray:
    """(B, N) weights of the signals -> (B,) a90 of lines fitted to them; inf where a line falls."""
    lines = tobit.fit(data, weights.astype(float))
    with np.errstate(over="ignore", divide="ignore"):
        sizes = SCALES[scale][1]((decision - lines.intercept + Z90 * lines.noise) / lines.slope)
    return np.where(lines.slope > 0, sizes, np.inf)
