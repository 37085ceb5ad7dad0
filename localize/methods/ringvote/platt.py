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
from torch import Tensor

from localize.localizer import Source
from localize.methods.hough.aggregation import TYPICAL_RADIUS
from localize.methods.hough.candidates import Candidate
from localize.methods.platt_scaling import PlattScaling
from synth.anomaly import Anomaly

SIZES = ((768, 512), (800, 800), (512, 768))  # width and height of the images to fit on, px
DETAILS = (1.0, 0.7)  # shares of the size to which the photos are reduced first
NO_CANDIDATE = -20.0  # logit of an image without a candidate
INPUTS = 4


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
        detail = DETAILS[number // 2 % len(DETAILS)]
        images = source.resize(SIZES[number % len(SIZES)], detail)
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
