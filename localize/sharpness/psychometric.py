"""The psychometric curve: how the hit rate rises with the size of the step, and its threshold.

psi(x) = guess + (1 - guess - lapse) F(x), where x = |log ratio| and F rises from 0 at x = 0 to 1
and is one half at the threshold. The guess rate is counted where the ratio is exactly 1; the
threshold, the slope and the lapse rate are those of maximum likelihood.

Source: Wichmann and Hill, Perception & Psychophysics 63 (2001), for the model and for keeping the
lapse rate free but small; Osborne, Biometrics 48 (1992), for Fisher's scoring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Curve = Literal["weibull", "logistic"]
MOST_LAPSES = 0.05
SLOPES = (0.3, 20.0)  # of F, in units of log x; beyond these no data can tell
BEYOND = 2.5  # natural logs of x that a threshold may lie outside of what was tried
STEPS = 60  # of Fisher's scoring, at most
TINY = 1e-9


@dataclass(frozen=True)
class Fits:
    """One curve or many, as (B,) arrays.

    Args:
        guess: hit rate without a step.
        lapse: misses per trial however strong the step.
        threshold: x where F is one half.
        slope: of F: its exponent (Weibull), or the steepness in log x (logistic).
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


def shape(u: np.ndarray, curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """u = slope (log x - log threshold) -> F and dF/du; F(0) is one half.

    >>> [float(shape(np.zeros(1), curve)[0][0]) for curve in ("weibull", "logistic")]
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
    unasked: float = 0.0,
) -> Fits:
    """(L,) steps, (B, L) trials, (B, L) hits -> B curves of maximum likelihood.

    The guess rate is the hit rate at x = 0, or ``unasked`` where there is no such trial.
    """
    x, n, hits = np.asarray(x, float), np.atleast_2d(n).astype(float), np.atleast_2d(hits)
    still = x == 0
    asked = n[:, still].sum(1)
    guess = np.where(asked > 0, hits[:, still].sum(1) / np.maximum(asked, 1), unasked)
    at_rest = _log_likelihood(guess[:, None], asked[:, None], hits[:, still].sum(1)[:, None])
    x, n, hits = x[~still], n[:, ~still], hits[:, ~still].astype(float)
    low = np.array([np.log(x.min()) - BEYOND, np.log(SLOPES[0]), 0.0])
    high = np.array([np.log(x.max()) + BEYOND, np.log(SLOPES[1]), MOST_LAPSES])
    theta = _start(x, n, hits, guess, low, high, curve)
    psi, gradients = _psi(x, guess, theta, curve)
    best = _log_likelihood(psi, n, hits)
    damping = np.full(len(n), 1e-3)
    for _ in range(STEPS):
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
    return Fits(guess, theta[:, 2], np.exp(theta[:, 0]), np.exp(theta[:, 1]), best + at_rest)


def _psi(
    x: np.ndarray, guess: np.ndarray, theta: np.ndarray, curve: Curve
) -> tuple[np.ndarray, np.ndarray]:
    """(L,), (B,), (B, 3) log threshold, log slope, lapse -> psi (B, L), gradients (3, B, L)."""
    middle, steep, lapse = (theta[:, k, None] for k in range(3))
    with np.errstate(divide="ignore"):
        u = np.maximum(np.exp(steep) * (np.log(x)[None] - middle), -1e3)
    value, rise = shape(u, curve)
    span = 1 - guess[:, None] - lapse
    gradients = np.stack([-span * rise * np.exp(steep), span * rise * u, -value])
    return guess[:, None] + span * value, np.moveaxis(gradients, 0, 1)


def _log_likelihood(psi: np.ndarray, n: np.ndarray, hits: np.ndarray) -> np.ndarray:
    psi = np.clip(psi, TINY, 1 - TINY)
    total: np.ndarray = (hits * np.log(psi) + (n - hits) * np.log1p(-psi)).sum(1)
    return total


def _start(
    x: np.ndarray, n: np.ndarray, hits: np.ndarray, guess: np.ndarray,
    low: np.ndarray, high: np.ndarray, curve: Curve,
) -> np.ndarray:  # fmt: skip
    """The best of a coarse grid of curves, for each problem."""
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
    """A damped step of Fisher's scoring that keeps to the box; what leans on its wall stays."""
    psi = np.clip(psi, TINY, 1 - TINY)
    weight = 1 / (psi * (1 - psi))
    score = np.einsum("bl,bkl->bk", (hits - n * psi) * weight, gradients)
    information = np.einsum("bl,bjl,bkl->bjk", n * weight, gradients, gradients)
    stuck = ((theta <= low) & (score < 0)) | ((theta >= high) & (score > 0))
    score = np.where(stuck, 0.0, score)
    diagonal = np.einsum("bkk->bk", information)
    free = ~stuck[:, :, None] & ~stuck[:, None, :]
    matrix = np.where(free, information, 0.0)
    eye = np.eye(3)
    matrix += eye * (damping[:, None] * diagonal + TINY + stuck)[:, None, :]
    step = np.linalg.solve(matrix, score[..., None])[..., 0]
    return np.clip(theta + step, low, high)


def deviance(x: np.ndarray, n: np.ndarray, hits: np.ndarray, fits: Fits, curve: Curve) -> float:
    """How far one curve is from the rates themselves: 2 (log L of the rates - log L)."""
    n, hits = np.asarray(n, float), np.asarray(hits, float)
    rates = hits / np.maximum(n, 1)
    curve_rates = np.where(np.asarray(x) == 0, fits.guess[0], fits.rate(x, curve)[0])
    at_best, fitted = (
        float(_log_likelihood(psi[None], n[None], hits[None])[0]) for psi in (rates, curve_rates)
    )
    return max(0.0, 2 * (at_best - fitted))


def rises(x: np.ndarray, hit: np.ndarray) -> float:
    """(N,) steps, (N,) hits -> z of the rise of the hit rate with the step.

    The hits of a method at chance fall on any trial alike, as the steps were drawn without
    regard to the photo: so the covariance of hit and step has mean 0 and a known variance.

    Source: the trend test of Armitage, Biometrics 11 (1955), as a randomisation test.
    """
    steps, found = (np.asarray(v, float) - np.mean(v) for v in (x, hit))
    variance = (steps @ steps) * (found @ found) / max(len(steps) - 1, 1)
    return float(steps @ found) / float(variance) ** 0.5 if variance > 0 else 0.0
