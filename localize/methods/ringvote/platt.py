"""Platt scaling: from the logits of an image's candidates to log odds that it has an anomaly.

A logit says how much likelier one place is than another. How high the logits of an image with an
anomaly are compared with those of a clean one is fitted on both; it depends on the radius, the
ratio and the shape of the likeliest candidate, as chance produces some kinds more often.

Source: logistic regression on scores, Platt (1999).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from localize.localizer import Source
from localize.methods.hough.aggregation import TYPICAL_RADIUS
from localize.methods.hough.candidates import Candidate
from synth.anomaly import Anomaly

SIZES = ((768, 512), (800, 800), (512, 768))  # width and height of the images to fit on, px
NO_CANDIDATE = -20.0  # logit of an image without a candidate
INPUTS = 4
PRECISION = 1.0  # of a Gaussian prior of the weights, mean 0


class PlattScaling(nn.Module):
    """Log odds of an anomaly: a weighted sum of the :func:`inputs` plus a shift.

    They are calibrated for sets in which half of the images have an anomaly, as half of those
    do that it is fitted on.
    """

    weights: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.eye(INPUTS)[0])
        self.register_buffer("shift", torch.zeros(()))

    def log_odds(self, image_inputs: Tensor) -> float:
        """(INPUTS,) of :func:`inputs` -> log odds that the image has an anomaly."""
        return float(image_inputs.to(self.weights) @ self.weights + self.shift)

    @torch.no_grad()
    def fit(self, image_inputs: Tensor, has_anomaly: Tensor) -> None:
        """Fit by logistic regression; leave the scaling as it is where all labels are the same.

        Args:
            image_inputs: (n, INPUTS) of :func:`inputs`.
            has_anomaly: (n,) bool.
        """
        labels = has_anomaly.float()
        if labels.min() == labels.max():
            return
        with torch.enable_grad():
            fitted = torch.zeros(INPUTS + 1, requires_grad=True)
            optimiser = torch.optim.LBFGS([fitted], max_iter=200, line_search_fn="strong_wolfe")

            def closure() -> Tensor:
                optimiser.zero_grad()
                log_odds = image_inputs @ fitted[:-1] + fitted[-1]
                # Without the prior, the weights of a set without errors would grow for ever.
                prior = PRECISION * (fitted[:-1] ** 2).sum() / len(image_inputs)
                loss = F.binary_cross_entropy_with_logits(log_odds, labels) + prior
                loss.backward()
                return loss

            optimiser.step(closure)
        self.weights.copy_(fitted[:-1].detach())
        self.shift.copy_(fitted[-1].detach())


def inputs(candidates: Sequence[Candidate]) -> Tensor:
    """Candidates of an image, the likeliest first -> (INPUTS,) what its log odds depend on.

    The logarithm of the sum of all likelihoods; of the likeliest candidate the logarithms of
    radius and ratio (without sign), and whether it is a square.
    """
    best = candidates[0] if candidates else Candidate(0, 0, 0)
    logits = torch.tensor([one.logit for one in candidates])
    total = float(torch.logsumexp(logits, 0)) if candidates else NO_CANDIDATE
    size = math.log(max(best.r, 1.0) / TYPICAL_RADIUS)
    return torch.tensor([total / 10, size, 10 * abs(math.log(best.ratio)), float(best.square)])


def fit_on_source(
    scaling: PlattScaling,
    inputs_of: Callable[[np.ndarray, Anomaly], Tensor],
    source: Source,
    count: int,
    progress: Callable[[int, int], None],
) -> None:
    """Fit a scaling to images of a source, every other one replaced by its clean twin.

    Args:
        inputs_of: (H, W, 3) uint8 and the truth (a clean twin's is its partner's) -> (INPUTS,).
        count: number of images.
        progress: called with the number of finished images and ``count``.
    """
    rows, labels = [], []
    for number in range(count):
        images = source.resize(SIZES[number % len(SIZES)])
        sample = images[number % len(images)]
        assert sample.truth is not None
        clean = sample.clean if number % 2 else None
        image = sample.image if clean is None else clean
        rows.append(inputs_of(image, sample.truth))
        labels.append(clean is None)
        progress(number + 1, count)
    image_inputs = torch.stack(rows)
    if math.isfinite(float(image_inputs.sum())):
        scaling.fit(image_inputs, torch.tensor(labels))
