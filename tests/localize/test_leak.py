"""The leak that the eye chart shows apart: gaps in the histogram, which only a PNG keeps."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from localize import registry
from synth import renderer, scenes
from synth.anomaly import Anomaly, Rounding, apply

COMB = Path(__file__).parents[2] / "tools" / "comb.py"


@pytest.mark.parametrize(
    ("codec", "rounding", "found"),
    [("png", "nearest", True), ("png", "stochastic", False), ("jpeg", "nearest", False)],
)
def test_a_comb_finds_what_rounding_left_in_a_png(
    codec: renderer.Codec, rounding: Rounding, found: bool
) -> None:
    photo = scenes.scene(320, 256, np.random.default_rng(5))
    truth = Anomaly(150, 130, 50, 1.1, rounding=rounding)
    changed = apply(photo, truth, np.random.default_rng(0))
    image = renderer.decode(renderer.encode(changed, codec, 90))
    answer = registry.load(f"{COMB}:find").locate([image])[0]
    assert (math.hypot(answer.x - truth.x, answer.y - truth.y) <= truth.r / 2) == found
