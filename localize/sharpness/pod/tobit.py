"""Linear regression of a signal on size where some signals are censored (Tobit regression).

signal = intercept + slope s + normal noise. A signal at or below the lower limit, or at or above
the upper one, is known only to lie there. All functions fit B weightings of the rows at a time.

Source: Tobin, Econometrica 26 (1958); Olsen, Econometrica 46 (1978), for the parameters
(intercept, slope, 1) / noise, in which the log likelihood is concave.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from localize.sharpness.pod.likelihood import Scale

MAX_ITERATIONS = 60
RIDGE = 1e-10


@dataclass(frozen=True, eq=False)
class Signals:
    """Signals of N targets.

    Args:
        s: (N,) size, or its logarithm.
        signal: (N,) the answer of the inspection to the target.
        low, high: limits at which signals are censored; -inf and inf if they are not.
    """

    s: np.ndarray
    signal: np.ndarray
    low: float = -np.inf
    high: float = np.inf

    @property
    def exact(self) -> np.ndarray:
        """(N,) bool, which signals are not censored."""
        inside: np.ndarray = (self.signal > self.low) & (self.signal < self.high)
        return inside

    def select(self, mask: np.ndarray) -> Signals:
        """The signals of a mask."""
        return Signals(self.s[mask], self.signal[mask], self.low, self.high)


@dataclass(frozen=True)
class Lines:
    """B fitted lines, as (B,) arrays."""

    intercept: np.ndarray
    slope: np.ndarray
    noise: np.ndarray
    log_likelihood: np.ndarray

    @property
    def parameters(self) -> np.ndarray:
        """(B, 3) intercept, slope, noise."""
        return np.stack([self.intercept, self.slope, self.noise], axis=1)


def fit(data: Signals, weights: np.ndarray) -> Lines:
    """(B, N) weights of the signals -> B lines of maximum likelihood.

    The noise is the standard deviation of the residuals with the divisor N.
    """
    scale, unit = Scale.of(data.s), Scale.of(data.signal)
    z, y = scale.apply(data.s), unit.apply(data.signal)
    limits = unit.apply(np.array([data.low, data.high]))
    theta = _start(z, y, weights)
    value, score, matrix = _derivatives(z, y, limits, theta, weights)
    damping = np.full(len(weights), 1e-8)
    for _ in range(MAX_ITERATIONS):
        diagonal = np.einsum("bii->bi", matrix)
        damped = matrix + np.eye(3) * (damping[:, None] * diagonal + RIDGE)[:, None, :]
        proposal = theta + np.linalg.solve(damped, score[..., None])[..., 0]
        proposal[:, 2] = np.maximum(proposal[:, 2], theta[:, 2] / 10)
        new = _derivatives(z, y, limits, proposal, weights)
        better = new[0] > value
        done = (np.abs(new[0] - value) < 1e-12 * (1 + np.abs(value))) | (damping > 1e4)
        theta = np.where(better[:, None], proposal, theta)
        score = np.where(better[:, None], new[1], score)
        matrix = np.where(better[:, None, None], new[2], matrix)
        value = np.where(better, new[0], value)
        damping = np.where(better, damping / 10, damping * 10)
        if done.all():
            break
    noise = unit.spread / theta[:, 2]
    line = scale.restore(theta[:, :2] / theta[:, 2:] * unit.spread)
    value = value - (weights @ data.exact) * np.log(unit.spread)
    return Lines(line[:, 0] + unit.centre, line[:, 1], noise, value)


def covariance(data: Signals, lines: Lines, at: int = 0) -> np.ndarray:
    """(3, 3) covariance of intercept, slope and noise of one line, by the observed information."""
    intercept, slope, noise = lines.parameters[at]
    theta = np.array([[intercept, slope, 1.0]]) / noise
    limits = np.array([data.low, data.high])
    weights = np.ones((1, len(data.s)))
    matrix = _derivatives(data.s, data.signal, limits, theta, weights)[2][0]
    # (intercept, slope, noise) by (intercept / noise, slope / noise, 1 / noise)
    change = np.array(
        [[noise, 0, -intercept * noise], [0, noise, -slope * noise], [0, 0, -(noise**2)]]
    )
    value: np.ndarray = change @ np.linalg.inv(matrix) @ change.T
    return value


def _start(z: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(B, 3): weighted least squares with the limits taken as signals."""
    design = np.stack([np.ones_like(z), z])
    matrix = np.einsum("bn,in,jn->bij", weights, design, design) + RIDGE * np.eye(2)
    line = np.linalg.solve(matrix, np.einsum("bn,in->bi", weights, design * y)[..., None])[..., 0]
    residual = y - line @ design
    noise = np.sqrt((weights * residual**2).sum(1) / weights.sum(1))
    noise = np.maximum(noise, 1e-6)
    return np.concatenate([line / noise[:, None], 1 / noise[:, None]], axis=1)


def _derivatives(
    z: np.ndarray, y: np.ndarray, limits: np.ndarray, theta: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log likelihood (B,), its gradient (B, 3) and its negative second derivatives (B, 3, 3).

    Theta is (intercept, slope, 1) / noise.
    """
    below, above = y <= limits[0], y >= limits[1]
    exact = ~below & ~above
    level = theta[:, :1] + theta[:, 1:2] * z
    bound = np.where(below, limits[0], np.where(above, limits[1], y))
    sign = np.where(above, -1.0, 1.0)
    u = theta[:, 2:] * bound - level  # the standardised residual
    tail = special.log_ndtr(sign * u)
    mills = sign * np.exp(-0.5 * u**2 - 0.5 * np.log(2 * np.pi) - tail)
    log_density = np.log(theta[:, 2:]) - 0.5 * u**2 - 0.5 * np.log(2 * np.pi)
    value = (weights * np.where(exact, log_density, tail)).sum(1)
    first = np.where(exact, -u, mills)  # of the log likelihood by u
    second = np.where(exact, 1.0, mills * (u + mills))  # its negative second derivative by u
    design = np.stack([-np.ones_like(z), -z, bound])  # of u by theta
    score = np.einsum("bn,in->bi", weights * first, design)
    matrix = np.einsum("bn,in,jn->bij", weights * second, design, design)
    count = weights @ exact
    score[:, 2] += count / theta[:, 2]
    matrix[:, 2, 2] += count / theta[:, 2] ** 2
    return value, score, matrix
