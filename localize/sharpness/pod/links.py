"""Link functions: how the probability of detection (POD) depends on a linear predictor eta.

POD = F(eta) with eta = intercept + slope * size (or log size). Each link gives F and 1 - F without
loss of accuracy in either tail.

Source: McCullagh and Nelder, Generalized Linear Models (1989), section 4.3; MIL-HDBK-1823A (2009),
appendix G, for the use of these four links.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import special

LARGEST = 500.0  # |eta| beyond which F is 0 or 1 in double precision


@dataclass(frozen=True)
class Link:
    """A link function.

    Args:
        rise: eta -> F.
        miss: eta -> 1 - F.
        density: eta -> dF/deta.
        inverse: F -> eta.
    """

    name: str
    rise: Callable[[np.ndarray], np.ndarray]
    miss: Callable[[np.ndarray], np.ndarray]
    density: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray]

    def values(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Eta -> F, 1 - F and dF/deta.

        >>> [float(LINKS[name].values(np.zeros(1))[0][0].round(3)) for name in LINKS]
        [0.5, 0.5, 0.632, 0.368]
        """
        eta = np.clip(eta, -LARGEST, LARGEST)
        return self.rise(eta), self.miss(eta), self.density(eta)


def _cloglog(eta: np.ndarray) -> np.ndarray:
    value: np.ndarray = -np.expm1(-np.exp(eta))
    return value


def _loglog(eta: np.ndarray) -> np.ndarray:
    value: np.ndarray = np.exp(-np.exp(-eta))
    return value


def _normal_density(eta: np.ndarray) -> np.ndarray:
    value: np.ndarray = np.exp(-0.5 * eta**2) / np.sqrt(2 * np.pi)
    return value


LINKS = {
    link.name: link
    for link in (
        Link(
            "logit",
            special.expit,
            lambda eta: special.expit(-eta),
            lambda eta: special.expit(eta) * special.expit(-eta),
            special.logit,
        ),
        Link(
            "probit", special.ndtr, lambda eta: special.ndtr(-eta), _normal_density, special.ndtri
        ),
        Link(
            "cloglog",
            _cloglog,
            lambda eta: np.exp(-np.exp(eta)),
            lambda eta: np.exp(eta - np.exp(eta)),
            lambda p: np.log(-np.log1p(-p)),
        ),
        Link(
            "loglog",
            _loglog,
            lambda eta: _cloglog(-eta),
            lambda eta: np.exp(-eta - np.exp(-eta)),
            lambda p: -np.log(-np.log(p)),
        ),
    )
}
