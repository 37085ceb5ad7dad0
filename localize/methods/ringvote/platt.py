"""Platt scaling: from the logits of an image's candidates to log odds that it has an anomaly.

The logits compare the candidates of one image with each other. The scaling is fitted to images with
an anomaly and clean images, so that scores of different images can be compared. It also depends on
the radius, ratio and shape of the likeliest candidate, because clean images give high logits for
some of them more often than for others.

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
PRECISION = 1.0  # of the Gaussian prior of the weights, whose mean is 0


class PlattScaling(nn.Module):
    """Log odds of an anomaly: a weighted sum of the :func:`inputs` plus a shift.

    They are calibrated for sets in which half of the images have an anomaly, as in the images that
    the scaling is fitted to.
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
        """Fit by logistic regression; if all labels are the same, change nothing.

        Args:
            image_inputs: (n, INPUTS) of :func:`inputs`.
            has_anomaly: (n,) bool.
        """
        labels = has_anomaly.float()
        if labels.min() == labels.max():
            return
        with torch.enable_grad():
            values = torch.zeros(INPUTS + 1, requires_grad=True)
            optimiser = torch.optim.LBFGS([values], max_iter=200, line_search_fn="strong_wolfe")

            def closure() -> Tensor:
                optimiser.zero_grad()
                log_odds = image_inputs @ values[:-1] + values[-1]
                # Without the prior, the weights would have no bound for labels without errors.
                prior = PRECISION * (values[:-1] ** 2).sum() / len(image_inputs)
                loss = F.binary_cross_entropy_with_logits(log_odds, labels) + prior
                loss.backward()
                return loss

            optimiser.step(closure)
        self.weights.copy_(values[:-1].detach())
        self.shift.copy_(values[-1].detach())


def inputs(candidates: Sequence[Candidate]) -> Tensor:
    """Candidates of an image, the likeliest first -> (INPUTS,) inputs of the scaling.

    They are the logarithm of the sum of all likelihoods and, of the likeliest candidate, the
    logarithm of the radius, the absolute logarithm of the ratio, and whether it is a square.
    """
    best = candidates[0] if candidates else Candidate(0, 0, 0)
    logits = torch.tensor([candidate.logit for candidate in candidates])
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
    """Fit a scaling to images of a source; every other one is replaced by its clean twin.

    Args:
        inputs_of: (H, W, 3) uint8 and the truth (for a clean twin, that of its partner) ->
            (INPUTS,).
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
