"""The accuracy of the shipped weights: weights that find clearly less fail these tests."""

from __future__ import annotations

import math

import numpy as np
import pytest

import localize
from synth import Anomaly, apply, renderer, scenes

SIDE, COUNT, RATIO = 256, 40, 1.06
RADII = (24.0, 48.0)  # px
HIT = 5.0  # px

# Hits among the 40 images. Almost every hit is at most 1 px away and almost every miss more than
# 10 px, so numeric differences between platforms hardly change a count (MARGINS below).
MEASURED = {"ringvote-told": 27, "ringvote": 24}
# A count has a binomial standard deviation of sqrt(40 * 0.5 * 0.5) = 3.2 hits at most. Weights
# whose hit rate is 20 points lower find 8 images fewer: 5 fewer than the test asks for, which is
# 1.6 standard deviations.
MARGIN = 3


@pytest.fixture(scope="module")
def samples() -> list[tuple[np.ndarray, Anomaly]]:
    """40 scenes of 256 x 256 px, every other one darker, encoded as the preset ``default`` does."""
    made = []
    for number in range(COUNT):
        photo = scenes.scene(SIDE, SIDE, np.random.default_rng([20260101, number]))
        rng = np.random.default_rng([7, number])
        r = round(rng.uniform(*RADII), 2)
        x, y = np.round(rng.uniform(r + 8, SIDE - 9 - r, 2), 2).tolist()
        ratio = round(1 / RATIO, 4) if number % 2 else RATIO
        anomaly = Anomaly(x, y, r, ratio)
        data = renderer.encode(apply(photo, anomaly), "jpeg", 90)
        made.append((renderer.decode(data), anomaly))
    return made


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("method", sorted(MEASURED))
def test_the_shipped_weights_find_as_much_as_measured(
    method: str, samples: list[tuple[np.ndarray, Anomaly]]
) -> None:
    localizer = localize.load(method, device="cpu")
    hits = 0
    for image, truth in samples:
        told = {"r": truth.r, "ratio": truth.discolor_ratio} if localizer.told else {}
        finding = localize.locate(localizer, image, **told)
        hits += math.hypot(finding.x - truth.x, finding.y - truth.y) <= HIT
    least = MEASURED[method] - MARGIN
    assert hits >= least, f"{method} finds {hits} of {COUNT} regions, at least {least} expected"
