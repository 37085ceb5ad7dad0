"""A region that may be there."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass


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
