"""`prewhitened`: a matched filter for the texture at hand, without training; told r and the ratio.

What the texture around does not predict (:mod:`localize.methods.texture`) gives the evidence; the
votes are summed along circles and squares as :mod:`ringvote` sums its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from localize.devices import device_of
from localize.localizer import Finding, Learns, Source, Told
from localize.methods.ringvote.locating import Candidate, peaks, placed, scored
from localize.methods.ringvote.network import Rules
from localize.methods.texture import evidence
from synth.errors import InputError

WEIGHT, KNEE = 0.6, 10.0  # of votes, as neighbours say alike; nats


def rules_of_votes() -> Rules:
    """How the votes of an arc count: all alike, whatever the radius."""
    rules = Rules()
    with torch.no_grad():
        rules.log_scale.fill_(math.log(WEIGHT))
        rules.power.zero_()
        rules.log_knee.fill_(math.log(KNEE))
    return rules.eval()


class Prewhitened:
    """The localizer; see the module.

    Args:
        device: what it runs on.
    """

    told: frozenset[str] = frozenset({"r", "discolor_ratio"})
    learns: Learns = "nothing"
    parameters = 0

    def __init__(self, device: str = "auto") -> None:
        found = device_of(device)
        # Rules are fitted in double precision, which Apple's GPUs do not have.
        self.device = found if found.type != "mps" else device_of("cpu")
        self._rules = rules_of_votes().to(self.device)

    def fit(self, train: Source, val: Source, run: Path) -> None:
        """There is nothing to learn."""

    @torch.inference_mode()
    def find(self, image: np.ndarray, told: Told) -> Finding:
        """(H, W, 3) uint8 -> the likeliest centre of a region of the told radius and ratio, px."""
        r = min(told.r, (min(image.shape[:2]) - 1) / 2)
        planes = evidence(image, told.discolor_ratio, self.device)
        logits, rows, cols = scored(self._rules, planes, r)
        row, col, score = peaks(logits, 1)[0]
        best = Candidate(col + cols.start, row + rows.start, r, score)
        x, y = placed(self._rules, planes, best)
        shown = logits.min().expand(planes.shape[1:]).clone()
        shown[rows, cols] = logits
        return Finding(
            x, y, r=told.r, ratio=told.discolor_ratio, score=score, map=shown.cpu().numpy()
        )

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        """B x (H, W, 3) uint8 and what is told of each -> B findings, px.

        Raises:
            InputError: nothing is told.
        """
        if told is None:
            raise InputError("prewhitened must be told r and discolor_ratio: give both")
        return [self.find(image, each) for image, each in zip(images, told, strict=True)]
