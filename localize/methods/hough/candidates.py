"""A region that may be there, and which of several to answer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TEMPERATURE = 2.0  # of the logits: neighbours vote alike, so a difference claims too much
FOUND = 5.0  # px from the truth within which an answer is right
MISSED = 0.3  # sides of the picture, what an answer costs that is not, beside its distance


@dataclass(frozen=True)
class Candidate:
    """A region that may be there, px.

    Args:
        x, y: a whole pixel, the centre.
        logit: of the votes.
        square: which of the shapes it is likelier to be.
        ratio: the hypothesis under which it was found.
    """

    x: int
    y: int
    r: float
    logit: float = -math.inf
    square: bool = False
    ratio: float = 1.0

    def moved(self, dx: int, dy: int) -> Candidate:
        """The same, so many px to the right and down."""
        return dataclasses.replace(self, x=self.x + dx, y=self.y + dy)


def best_of(found: Sequence[Candidate], size: Sequence[int]) -> Candidate:
    """The candidate, of an image of (H, W), that is expected to cost least as an answer.

    An answer costs its distance from the truth in sides of the image, and MISSED more from FOUND
    px on, nearer in proportion. The best is the likeliest if that is more likely than all the
    others together; else maybe one of many that lie close to each other.

    Source: Bayes' estimate for a loss; for a distance a spatial median, Weber's problem.
    """
    x, y = np.array([(one.x, one.y) for one in found]).T
    logs = np.array([one.logit / TEMPERATURE for one in found])
    apart = np.hypot(x[:, None] - x, y[:, None] - y)
    costs = apart / math.sqrt(math.prod(size)) + MISSED * np.minimum(apart / FOUND, 1)
    return found[int((costs @ np.exp(logs - logs.max())).argmin())]
