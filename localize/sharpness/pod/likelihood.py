"""Maximum-likelihood fits of POD curves to hits and misses.

POD(s) = guess + (1 - guess - lapse) F(intercept + slope s), where s is the size or its logarithm.
The handbook's model has guess = lapse = 0. All functions fit B data sets at a time.

Source: MIL-HDBK-1823A (2009), appendix G; Wichmann and Hill, Perception & Psychophysics 63 (2001),
for guess and lapse; Osborne, Biometrics 48 (1992), for Fisher's scoring.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from localize.sharpness.pod.links import Link

MAX_ITERATIONS = 80  # of Fisher's scoring
MAX_SLOPE = 60.0  # per standard deviation of s: separated hits and misses have no finite slope
START_LAPSES = (0.02, 0.12, 0.3)  # from which a free lapse rate starts
TINY = 1e-300
RIDGE = 1e-9


@dataclass(frozen=True)
class Fits:
    """The parameters of B fitted curves, as (B,) arrays."""

    intercept: np.ndarray
    slope: np.ndarray
    guess: np.ndarray
    lapse: np.ndarray
    log_likelihood: np.ndarray

    @property
    def deviance(self) -> np.ndarray:
        """(B,) minus twice the log likelihood of single trials."""
        return -2 * self.log_likelihood

    def size_at(self, pod: float, link: Link) -> np.ndarray:
        """(B,) the s at which the curve reaches ``pod``; inf where it never does.

        A curve that falls, or that is always above ``pod``, gives inf and -inf.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (pod - self.guess) / (1 - self.guess - self.lapse)
            eta = link.inverse(np.clip(share, 0.0, 1.0))
            s = (eta - self.intercept) / self.slope
        s = np.where((share >= 1) | (self.slope <= 0), np.inf, s)
        value: np.ndarray = np.where(share <= 0, -np.inf, s)
        return value


@dataclass(frozen=True)
class Scale:
    """The shift and the factor that standardise s, so that the fit is well conditioned."""

    centre: float
    spread: float

    def apply(self, s: np.ndarray) -> np.ndarray:
        """(L,) s -> (L,) standardised."""
        return (s - self.centre) / self.spread

    def restore(self, theta: np.ndarray) -> np.ndarray:
        """(…, 2) intercept and slope in standardised s -> (…, 2) in s."""
        slope = theta[..., 1] / self.spread
        return np.stack([theta[..., 0] - slope * self.centre, slope], axis=-1)

    @classmethod
    def of(cls, s: np.ndarray) -> Scale:
        """The mean and the standard deviation of (L,) s."""
        return cls(float(s.mean()), float(s.std()) or 1.0)


def curve(
    z: np.ndarray, theta: np.ndarray, guess: np.ndarray, lapse: np.ndarray, link: Link
) -> np.ndarray:
    """(L,) z, (B, 2) parameters, (B,), (B,) -> (4, B, L): POD, 1 - POD, F, dPOD/deta."""
    rise, miss, density = link.values(theta[:, :1] + theta[:, 1:] * z)
    guess, lapse = guess[:, None], lapse[:, None]
    span = 1 - guess - lapse
    return np.stack([guess + span * rise, lapse + span * miss, rise, span * density])


def log_likelihood(
    pod: np.ndarray, miss: np.ndarray, n: np.ndarray, hits: np.ndarray
) -> np.ndarray:
    """(B, L) POD, 1 - POD, trials and hits -> (B,) log likelihood of single trials."""
    total: np.ndarray = (
        hits * np.log(np.maximum(pod, TINY)) + (n - hits) * np.log(np.maximum(miss, TINY))
    ).sum(1)
    return total


def fit(
    s: np.ndarray,
    n: np.ndarray,
    hits: np.ndarray,
    link: Link,
    *,
    guess: np.ndarray | float = 0.0,
    lapse: np.ndarray | float | None = 0.0,
) -> Fits:
    """(L,) s, (B, L) trials, (B, L) hits -> B curves of maximum likelihood.

    Args:
        guess: hit rate without a target, known; (B,) or one number.
        lapse: miss rate for arbitrarily large targets; None: fitted.
    """
    n, hits = np.atleast_2d(n).astype(float), np.atleast_2d(hits).astype(float)
    free = lapse is None
    count = max(len(n), np.size(guess), 1 if lapse is None else np.size(lapse))
    n, hits = np.broadcast_to(n, (count, n.shape[1])), np.broadcast_to(hits, (count, n.shape[1]))
    guess = np.broadcast_to(np.asarray(guess, float), (count,))
    highest = np.array([np.inf, MAX_SLOPE, 1.0])
    scale = Scale.of(s)
    z = scale.apply(s)
    theta = _start(z, n, hits, guess, lapse, link)
    state = curve(z, theta[:, :2], guess, theta[:, 2], link)
    best = log_likelihood(state[0], state[1], n, hits)
    damping = np.full(count, 1e-6)
    for _ in range(MAX_ITERATIONS):
        step = _step(z, theta, state, n, hits, damping, free)
        proposal = np.clip(theta + step, [-np.inf, -MAX_SLOPE, 0.0], highest)
        proposal[:, 2] = np.minimum(proposal[:, 2], (1 - guess) * 0.999) if free else theta[:, 2]
        new = curve(z, proposal[:, :2], guess, proposal[:, 2], link)
        value = log_likelihood(new[0], new[1], n, hits)
        better = value > best
        equal = np.abs(value - best) < 1e-12 * (1 + np.abs(best))
        theta = np.where(better[:, None], proposal, theta)
        state = np.where(better[:, None], new, state)
        best = np.where(better, value, best)
        damping = np.where(better, damping / 10, damping * 10)
        if (equal | (damping > 1e4)).all():
            break
    intercept, slope = scale.restore(theta[:, :2]).T
    return Fits(intercept, slope, guess, theta[:, 2], best)


def _start(
    z: np.ndarray, n: np.ndarray, hits: np.ndarray, guess: np.ndarray,
    lapse: np.ndarray | float | None, link: Link,
) -> np.ndarray:  # fmt: skip
    """(B, 3) intercept, slope, lapse: the likeliest curves of a coarse grid."""
    lapses = START_LAPSES if lapse is None else (float(np.mean(lapse)),)
    grid = np.array(
        [
            (-b * m, b, each)
            for m in np.linspace(-1.5, 1.5, 7)
            for b in (-1.0, 0.7, 2.0, 6.0)
            for each in lapses
        ]
    )
    floor = np.full(len(grid), min(float(guess.mean()), 1 - max(lapses)))
    pod, miss, _, _ = curve(z, grid[:, :2], floor, grid[:, 2], link)
    pod, miss = np.log(np.maximum(pod, 1e-9)), np.log(np.maximum(miss, 1e-9))
    theta: np.ndarray = grid[(hits @ pod.T + (n - hits) @ miss.T).argmax(1)]
    if lapse is not None:
        theta[:, 2] = lapse
    theta[:, 2] = np.minimum(theta[:, 2], 1 - guess)
    return theta


def _step(
    z: np.ndarray, theta: np.ndarray, state: np.ndarray, n: np.ndarray, hits: np.ndarray,
    damping: np.ndarray, free: bool,
) -> np.ndarray:  # fmt: skip
    """(B, 3): a damped step of Fisher's scoring; a lapse rate that is pushed below 0 stays."""
    pod, miss, rise, slope = state
    weight = 1 / np.maximum(pod * miss, TINY)
    surplus = (hits * miss - (n - hits) * pod) * weight
    gradients = [slope, slope * z, -rise][: 3 if free else 2]
    size = len(gradients)
    score = np.stack([(surplus * each).sum(1) for each in gradients], axis=1)
    matrix = np.empty((len(theta), size, size))
    for i in range(size):
        weighted = n * weight * gradients[i]
        for j in range(i + 1):
            matrix[:, i, j] = matrix[:, j, i] = (weighted * gradients[j]).sum(1)
    if free:
        fixed = (theta[:, 2] <= 0) & (score[:, 2] < 0)
        score[:, 2] = np.where(fixed, 0.0, score[:, 2])
        keep = ~fixed
        matrix[:, 2, :2] *= keep[:, None]
        matrix[:, :2, 2] *= keep[:, None]
    diagonal = np.einsum("bii->bi", matrix)
    matrix += np.eye(size) * (damping[:, None] * diagonal + RIDGE)[:, None, :]
    step = np.zeros_like(theta)
    step[:, :size] = np.linalg.solve(matrix, score[..., None])[..., 0]
    return step


def information(s: np.ndarray, n: np.ndarray, fits: Fits, link: Link) -> np.ndarray:
    """(L,) s, (B, L) trials -> (B, 2, 2) Fisher information of intercept and slope."""
    theta = np.stack([fits.intercept, fits.slope], axis=1)
    pod, miss, _, slope = curve(s, theta, fits.guess, fits.lapse, link)
    weight = n * slope**2 / np.maximum(pod * miss, TINY)
    design = np.stack([np.ones_like(s), s])
    matrix: np.ndarray = np.einsum("bl,il,jl->bij", weight, design, design)
    return matrix
