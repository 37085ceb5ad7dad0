"""`prewhitened`: a matched filter in the whitened image, without training; told r and the ratio.

The evidence of each pixel is the step likelihood of
:mod:`localize.methods.hough.step_likelihood`, summed along circles and squares of radius r.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from localize.localizer import Finding, Told
from localize.methods.hough.aggregation import VoteAggregation
from localize.methods.hough.centre_scores import rank_centres
from localize.methods.hough.refinement import refine_centre
from localize.methods.hough.step_likelihood import evidence
from localize.methods.matched_filter import MatchedFilter
from localize.training.devices import device_of

SCALE = 0.6  # weight of a vote, below 1 as the evidence of neighbouring pixels is correlated
KNEE = 10.0  # nats of an arc above which they count less


def fixed_aggregation() -> VoteAggregation:
    """The aggregation of votes: the same weight for all, independent of the radius."""
    aggregation = VoteAggregation()
    with torch.no_grad():
        aggregation.log_scale.fill_(math.log(SCALE))
        aggregation.power.zero_()
        aggregation.log_knee.fill_(math.log(KNEE))
    return aggregation.eval()


class Prewhitened(MatchedFilter):
    """The localizer; see the module.

    Args:
        device: the torch device that it runs on, or ``auto``.
    """

    name = "prewhitened"

    def __init__(self, device: str = "auto") -> None:
        self.device = device_of(device)
        self._aggregation = fixed_aggregation().to(self.device)

    @torch.inference_mode()
    def find(self, image: np.ndarray, told: Told) -> Finding:
        """(H, W, 3) uint8 -> the likeliest centre of a region of the told radius and ratio, px."""
        planes = evidence(image, told.discolor_ratio, self.device)
        candidates, logits = rank_centres(self._aggregation, planes, told, 1)
        x, y = refine_centre(self._aggregation, planes, candidates[0])
        score = candidates[0].logit
        return Finding(x, y, r=told.r, ratio=told.discolor_ratio, score=score, map=logits)
