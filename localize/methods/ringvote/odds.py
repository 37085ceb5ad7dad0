"""From logits to the odds that there is an anomaly at all.

A logit says how much likelier one place is than another. What the likeliest of a picture add up
to, against what they add up to in pictures with nothing in them, says whether there is anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.endless import Endless
from localize.localizer import Source
from synth.anomaly import Anomaly

SIZES = ((768, 512), (800, 800), (512, 768))  # of whole pictures, px
NONE = -20.0  # logit of an image without a candidate


class Odds(nn.Module):
    """Logits of an image's likeliest places -> log odds that there is an anomaly.

    True odds where half of the pictures have one, as half of those that it was fitted on.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("shift", torch.zeros(()))

    def of(self, logits: Tensor) -> float:
        """(N,) -> log odds; there may be none."""
        return float(self.scale * total(logits) + self.shift)

    @torch.no_grad()
    def fit(self, totals: Tensor, there: Tensor) -> None:
        """(n,) of :func:`total`, (n,) bool: whether the picture has an anomaly.

        Source: Platt (1999).
        """
        there = there.float()
        if there.min() == there.max():
            return
        with torch.enable_grad():
            # Votes add up what neighbours say alike, so that they are too sure: begin lower.
            fitted = torch.tensor([0.2, 0.0], requires_grad=True)
            optimiser = torch.optim.LBFGS([fitted], max_iter=200, line_search_fn="strong_wolfe")

            def closure() -> Tensor:
                optimiser.zero_grad()
                odds = fitted[0] * totals + fitted[1]
                # A weak pull keeps a set without mistakes from certainty.
                loss = F.binary_cross_entropy_with_logits(odds, there) + 0.01 * fitted[0] ** 2
                loss.backward()
                return loss

            optimiser.step(closure)
        self.scale.copy_(fitted[0].detach())
        self.shift.copy_(fitted[1].detach())


def total(logits: Tensor) -> Tensor:
    """(N,) logits of an image's likeliest places -> () logit of any."""
    return torch.logsumexp(logits, 0) if len(logits) else logits.new_tensor(NONE)


def learn(
    odds: Odds,
    asked: Callable[[np.ndarray, Anomaly], Tensor],
    source: Source,
    pictures: int,
    progress: Callable[[int, int], None],
) -> None:
    """Fit the odds to pictures of a source, every other one without its anomaly.

    ``asked`` gives the logits of the likeliest places of an image; what is told of a picture
    without an anomaly is its partner's.
    """
    totals, there = [], []
    for number in range(pictures):
        whole = source.whole(SIZES[number % len(SIZES)]) if isinstance(source, Endless) else source
        sample = whole[number % len(whole)]
        assert sample.truth is not None
        clean = sample.clean if number % 2 else None
        image = sample.image if clean is None else clean
        totals.append(total(asked(image, sample.truth)).cpu())
        there.append(clean is None)
        progress(number + 1, pictures)
    values = torch.stack(totals)
    if math.isfinite(float(values.sum())):
        odds.fit(values, torch.tensor(there))
