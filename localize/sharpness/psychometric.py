"""Maximum-likelihood fits of psychometric curves: hit rate as a function of the step |log ratio|.

psi(x) = guess + (1 - guess - lapse) F(x), where x = |log ratio| and the core function F rises
from 0 at x = 0 to 1 and is 0.5 at the threshold. The guess rate is the hit rate at ratio exactly
1; the threshold, the slope and the lapse rate are fitted.

Source: Wichmann and Hill, Perception & Psychophysics 63 (2001), for the model with a free but
small lapse rate; Osborne, Biometrics 48 (1992), for Fisher's scoring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Curve = Literal["weibull", "logistic"]
MAX_LAPSE = 0.05
SLOPES = (0.3, 20.0)  # bounds of the slope of F in log x
THRESHOLD_MARGIN = 2.5  # natural logs by which the threshold may lie outside the steps tried
MAX_ITERATIONS = 60  # of Fisher scoring
EPSILON = 1e-9


@dataclass(frozen=True)
class Fits:
    """The parameters of B fitted curves, as (B,) arrays.

    Args:
        guess: hit rate at x = 0.
        lapse: miss rate for arbitrarily large steps.
        threshold: the x at which F is 0.5.
        slope: the exponent of F (Weibull), or its steepness in log x (logistic).
        log_likelihood: of all trials, without the binomial coefficients.
    """

    guess: np.ndarray
    lapse: np.ndarray
    threshold: np.ndarray
    slope: np.ndarray
    log_likelihood: np.ndarray

    def rate(self, x: np.ndarray, curve: Curve) -> np.ndarray:
        """(L,) steps |log ratio| -> (B, L) hit rates."""
        theta = np.stack([np.log(self.threshold), np.log(self.slope), self.lapse], axis=1)
        return _psi(np.asarray(x, float), self.guess, theta, curve)[0]


def core_function(u: np.ndarray, curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """u = slope (log x - log threshold) -> F(u) and dF/du; F(0) = 0.5.

    >>> [float(core_function(np.zeros(1), curve)[0][0]) for curve in ("weibull", "logistic")]
    [0.5, 0.5]
    """
    if curve == "logistic":
        value = 0.5 * (1 + np.tanh(u / 2))
        return value, value * (1 - value)
    power = np.log(2) * np.exp(np.minimum(u, 50.0))
    return -np.expm1(-power), power * np.exp(-power)


def fit(
    x: np.ndarray,
    n: np.ndarray,
    hits: np.ndarray,
    curve: Curve = "weibull",
    default_guess: float = 0.0,
) -> Fits:
    """(L,) steps, (B, L) trials, (B, L) hits -> B curves of maximum likelihood.

    Args:
        default_guess: the guess rate where there are no trials at x = 0.
    """
    x, n, hits = np.asarray(x, float), np.atleast_2d(n).astype(float), np.atleast_2d(hits)
    at_ratio_1 = x == 0
    n_at_ratio_1 = n[:, at_ratio_1].sum(1)
    guess = np.where(
        n_at_ratio_1 > 0, hits[:, at_ratio_1].sum(1) / np.maximum(n_at_ratio_1, 1), default_guess
    )
    guess_log_likelihood = _log_likelihood(
        guess[:, None], n_at_ratio_1[:, None], hits[:, at_ratio_1].sum(1)[:, None]
    )
    x, n, hits = x[~at_ratio_1], n[:, ~at_ratio_1], hits[:, ~at_ratio_1].astype(float)
    low = np.array([np.log(x.min()) - THRESHOLD_MARGIN, np.log(SLOPES[0]), 0.0])
    high = np.array([np.log(x.max()) + THRESHOLD_MARGIN, np.log(SLOPES[1]), MAX_LAPSE])
    theta = _start(x, n, hits, guess, low, high, curve)
    psi, gradients = _psi(x, guess, theta, curve)
    best = _log_likelihood(psi, n, hits)
    damping = np.full(len(n), 1e-3)
    for _ in range(MAX_ITERATIONS):
        proposal = _step(theta, psi, gradients, n, hits, damping, low, high)
        new_psi, new_gradients = _psi(x, guess, proposal, curve)
        value = _log_likelihood(new_psi, n, hits)
        better = value > best
        done = ~better & (damping > 1e6) | better & (value - best < 1e-10)
        theta = np.where(better[:, None], proposal, theta)
        psi = np.where(better[:, None], new_psi, psi)
        gradients = np.where(better[:, None, None], new_gradients, gradients)
        best = np.where(better, value, best)
        damping = np.where(better, damping / 10, damping * 10)
        if done.all():
            break
    return Fits(
        guess, theta[:, 2], np.exp(theta[:, 0]), np.exp(theta[:, 1]), best + guess_log_likelihood
    )


def _psi(
    x: np.ndarray, guess: np.ndarray, theta: np.ndarray, curve: Curve
) -> tuple[np.ndarray, np.ndarray]:
    """(L,), (B,), (B, 3) log threshold, log slope, lapse -> psi (B, L), gradients (3, B, L)."""
    middle, steep, lapse = (theta[:, k, None] for k in range(3))
    with np.errstate(divide="ignore"):
        u = np.maximum(np.exp(steep) * (np.log(x)[None] - middle), -1e3)
    value, rise = core_function(u, curve)
    span = 1 - guess[:, None] - lapse
    gradients = np.stack([-span * rise * np.exp(steep), span * rise * u, -value])
    return guess[:, None] + span * value, np.moveaxis(gradients, 0, 1)


def _log_likelihood(psi: np.ndarray, n: np.ndarray, hits: np.ndarray) -> np.ndarray:
    psi = np.clip(psi, EPSILON, 1 - EPSILON)
    total: np.ndarray = (hits * np.log(psi) + (n - hits) * np.log1p(-psi)).sum(1)
    return total


def _start(
    x: np.ndarray, n: np.ndarray, hits: np.ndarray, guess: np.ndarray,
    low: np.ndarray, high: np.ndarray, curve: Curve,
) -> np.ndarray:  # fmt: skip
    """(B, 3): the best curve of a coarse grid, for each of B fits."""
    middles = np.linspace(low[0] + 1, high[0] - 1, 25)
    grid = np.array([(m, b, 0.02) for m in middles for b in np.log([0.7, 1.5, 3.0, 6.0])])
    psi = _psi(x, np.full(len(grid), guess.mean()), grid, curve)[0]
    psi = np.clip(psi, 1e-4, 1 - 1e-4)
    values = hits @ np.log(psi).T + (n - hits) @ np.log1p(-psi).T
    return np.clip(grid[values.argmax(1)], low, high)


def _step(
    theta: np.ndarray, psi: np.ndarray, gradients: np.ndarray, n: np.ndarray, hits: np.ndarray,
    damping: np.ndarray, low: np.ndarray, high: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """A damped step of Fisher scoring within bounds; parameters pushed against a bound stay."""
    psi = np.clip(psi, EPSILON, 1 - EPSILON)
    weight = 1 / (psi * (1 - psi))
    score = np.einsum("bl,bkl->bk", (hits - n * psi) * weight, gradients)
    information = np.einsum("bl,bjl,bkl->bjk", n * weight, gradients, gradients)
    at_bound = ((theta <= low) & (score < 0)) | ((theta >= high) & (score > 0))
    score = np.where(at_bound, 0.0, score)
    diagonal = np.einsum("bkk->bk", information)
    free = ~at_bound[:, :, None] & ~at_bound[:, None, :]
    matrix = np.where(free, information, 0.0)
    eye = np.eye(3)
    matrix += eye * (damping[:, None] * diagonal + EPSILON + at_bound)[:, None, :]
    step = np.linalg.solve(matrix, score[..., None])[..., 0]
    return np.clip(theta + step, low, high)


def deviance(x: np.ndarray, n: np.ndarray, hits: np.ndarray, fits: Fits, curve: Curve) -> float:
    """The deviance of one curve: 2 (log likelihood of the observed rates - that of the curve)."""
    n, hits = np.asarray(n, float), np.asarray(hits, float)
    rates = hits / np.maximum(n, 1)
    curve_rates = np.where(np.asarray(x) == 0, fits.guess[0], fits.rate(x, curve)[0])
    saturated, fitted = (
        float(_log_likelihood(psi[None], n[None], hits[None])[0]) for psi in (rates, curve_rates)
    )
    return max(0.0, 2 * (saturated - fitted))


def trend_z(x: np.ndarray, hit: np.ndarray) -> float:
    """(N,) steps, (N,) hits -> z of the trend test that the hit rate rises with the step.

    Under the null hypothesis the hits are independent of the steps, which were assigned to
    the photos at random: the covariance of hit and step has mean 0 and a known variance.

    Source: the trend test of Armitage, Biometrics 11 (1955), as a randomisation test.
    """
    steps, hits = (np.asarray(v, float) - np.mean(v) for v in (x, hit))
    variance = (steps @ steps) * (hits @ hits) / max(len(steps) - 1, 1)
    return float(steps @ hits) / float(variance) ** 0.5 if variance > 0 else 0.0
