"""`prewhitened`: a matched filter in the whitened picture, without training; told r and the ratio.

The evidence of each pixel is the step likelihood of
:mod:`localize.methods.hough.step_likelihood`, summed along circles and squares.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from localize.localizer import Finding, Told
from localize.methods.hough.aggregation import Rules
from localize.methods.hough.step_likelihood import evidence
from localize.methods.matched_filter import MatchedFilter
from localize.methods.ringvote.predict_told import placed, ranked
from localize.training.devices import device_of

WEIGHT, KNEE = 0.6, 10.0  # of votes, as neighbours say alike; nats


def rules_of_votes() -> Rules:
    """How the votes of an arc count: all alike, whatever the radius."""
    rules = Rules()
    with torch.no_grad():
        rules.log_scale.fill_(math.log(WEIGHT))
        rules.power.zero_()
        rules.log_knee.fill_(math.log(KNEE))
    return rules.eval()


class Prewhitened(MatchedFilter):
    """The localizer; see the module.

    Args:
        device: what it runs on.
    """

    name = "prewhitened"

    def __init__(self, device: str = "auto") -> None:
        self.device = device_of(device)
        self._rules = rules_of_votes().to(self.device)

    @torch.inference_mode()
    def find(self, image: np.ndarray, told: Told) -> Finding:
        """(H, W, 3) uint8 -> the likeliest centre of a region of the told radius and ratio, px."""
        planes = evidence(image, told.discolor_ratio, self.device)
        found, shown = ranked(self._rules, planes, told, 1)
        x, y = placed(self._rules, planes, found[0])
        score = found[0].logit
        return Finding(x, y, r=told.r, ratio=told.discolor_ratio, score=score, map=shown)
