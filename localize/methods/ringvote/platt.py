"""From logits to the odds that there is an anomaly at all.

A logit says how much likelier one place is than another. What the likeliest of a picture add up
to, against what they add up to in pictures with nothing in them, says whether there is anything;
and what kind of region the likeliest one is, as chance shows some kinds more often than others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.localizer import Source
from synth.anomaly import Anomaly

SIZES = ((768, 512), (800, 800), (512, 768))  # of whole pictures, px
NONE = -20.0  # logit of an image without a candidate
TYPICAL = 50.0  # px, a radius that counts neither way
FACTS = 4
PULL = 1.0  # towards weights of 0, as a Gaussian prior of that precision


class Odds(nn.Module):
    """What is known of an image's likeliest region -> log odds that there is any.

    True odds where half of the pictures have one, as half of those that it was fitted on.
    """

    weights: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.eye(FACTS)[0])
        self.register_buffer("shift", torch.zeros(()))

    def of(self, known: Tensor) -> float:
        """(FACTS,) of :func:`facts` -> log odds."""
        return float(known.to(self.weights) @ self.weights + self.shift)

    @torch.no_grad()
    def fit(self, known: Tensor, there: Tensor) -> None:
        """(n, FACTS) of :func:`facts`, (n,) bool: whether the picture has an anomaly.

        Source: logistic regression on scores, Platt (1999).
        """
        there = there.float()
        if there.min() == there.max():
            return
        with torch.enable_grad():
            fitted = torch.zeros(FACTS + 1, requires_grad=True)
            optimiser = torch.optim.LBFGS([fitted], max_iter=200, line_search_fn="strong_wolfe")

            def closure() -> Tensor:
                optimiser.zero_grad()
                odds = known @ fitted[:-1] + fitted[-1]
                # A weak pull keeps a set without mistakes from certainty.
                pull = PULL * (fitted[:-1] ** 2).sum() / len(known)
                loss = F.binary_cross_entropy_with_logits(odds, there) + pull
                loss.backward()
                return loss

            optimiser.step(closure)
        self.weights.copy_(fitted[:-1].detach())
        self.shift.copy_(fitted[-1].detach())


def facts(logits: Sequence[float], r: float, ratio: float, square: bool) -> Tensor:
    """Logits of an image's likeliest regions, and what the likeliest one is -> (FACTS,).

    Votes add up what neighbours say alike, and there are more small regions than large ones
    for chance to choose from: what a logit is worth depends on the region.
    """
    total = float(torch.logsumexp(torch.tensor(list(logits)), 0)) if logits else NONE
    size = math.log(max(r, 1.0) / TYPICAL)
    return torch.tensor([total / 10, size, 10 * abs(math.log(ratio)), float(square)])


def learn(
    odds: Odds,
    asked: Callable[[np.ndarray, Anomaly], Tensor],
    source: Source,
    pictures: int,
    progress: Callable[[int, int], None],
) -> None:
    """Fit the odds to pictures of a source, every other one without its anomaly.

    ``asked`` gives the facts of an image; what is told of a picture without an anomaly is its
    partner's.
    """
    known, there = [], []
    for number in range(pictures):
        whole = source.resized(SIZES[number % len(SIZES)])
        sample = whole[number % len(whole)]
        assert sample.truth is not None
        clean = sample.clean if number % 2 else None
        image = sample.image if clean is None else clean
        known.append(asked(image, sample.truth))
        there.append(clean is None)
        progress(number + 1, pictures)
    values = torch.stack(known)
    if math.isfinite(float(values.sum())):
        odds.fit(values, torch.tensor(there))
