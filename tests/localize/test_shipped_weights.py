"""The accuracy of the shipped weights: weights that find clearly less fail these tests."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

import localize
from synth import Anomaly, apply, renderer, scenes

SIDE, COUNT, FEW, RATIO = 256, 40, 10, 1.06
RADII = (24.0, 48.0)  # px
HIT = 5.0  # px

# Hits among the 40 images. Almost every hit is at most 1 px away and almost every miss more than
# 10 px, so numeric differences between platforms hardly change a count (MARGIN below).
MEASURED = {"ringvote-told": 27, "ringvote": 24}
# A count has a binomial standard deviation of sqrt(40 * 0.5 * 0.5) = 3.2 hits at most. Weights
# whose hit rate is 20 points lower find 8 images fewer: 5 fewer than the test asks for, which is
# 1.6 standard deviations.
MARGIN = 3
# ringvote-told finds 8 of the first 10 images. Weights that find nothing hit 0.1 on average.
LEAST_OF_FEW = 6


@cache
def sample(number: int) -> tuple[np.ndarray, Anomaly]:
    """A scene of 256 x 256 px, darker if odd, encoded as the preset ``default`` does."""
    photo = scenes.scene(SIDE, SIDE, np.random.default_rng([20260101, number]))
    rng = np.random.default_rng([7, number])
    r = round(rng.uniform(*RADII), 2)
    x, y = np.round(rng.uniform(r + 8, SIDE - 9 - r, 2), 2).tolist()
    anomaly = Anomaly(x, y, r, round(1 / RATIO, 4) if number % 2 else RATIO)
    data = renderer.encode(apply(photo, anomaly), "jpeg", 90)
    return renderer.decode(data), anomaly


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("method", "count", "least"),
    [
        ("ringvote-told", FEW, LEAST_OF_FEW),
        *(
            pytest.param(method, COUNT, hits - MARGIN, marks=pytest.mark.slow)
            for method, hits in MEASURED.items()
        ),
    ],
)
def test_the_shipped_weights_find_as_much_as_measured(method: str, count: int, least: int) -> None:
    localizer = localize.load(method, device="cpu")
    hits = 0
    for image, truth in map(sample, range(count)):
        told = {"r": truth.r, "ratio": truth.discolor_ratio} if localizer.told else {}
        finding = localize.locate(localizer, image, **told)
        hits += math.hypot(finding.x - truth.x, finding.y - truth.y) <= HIT
    assert hits >= least, f"{method} finds {hits} of {count} regions, at least {least} expected"
