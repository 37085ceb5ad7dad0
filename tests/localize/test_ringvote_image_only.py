"""The search from the image alone, and Platt scaling of its scores."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localize.data.endless import Endless
from localize.data.recipe_stages import Stage
from localize.localizer import Known, Range
from localize.methods.hough.candidates import Candidate
from localize.methods.platt_scaling import PlattScaling
from localize.methods.ringvote import platt, predict_image_only
from localize.methods.ringvote.network import RingVoteNet
from localize.methods.ringvote.platt import INPUTS, inputs
from synth import anomaly, renderer, scenes
from synth.anomaly import Anomaly
from synth.renderer import Sample


@cache
def landscape(width: int, height: int) -> np.ndarray:
    """(H, W, 3) uint8; not to be changed."""
    return scenes.scene(width, height, np.random.default_rng(4))


def hidden(truth: Anomaly) -> np.ndarray:
    photo = landscape(200, 160)
    return renderer.decode(renderer.encode(anomaly.apply(photo, truth), "jpeg", 90))


@pytest.mark.parametrize("ratio", [0.87, 1.15])
@pytest.mark.parametrize("radii", [None, (34, 34), (27, 44)])
@pytest.mark.parametrize("strength", [None, (1, 1), (0.3, 2)])
def test_brightened_and_darkened_regions_are_found(
    trained: RingVoteNet, ratio: float, radii: Range | None, strength: Range | None
) -> None:
    """With every combination of known ranges."""
    ratios = None
    if strength:
        low, high = sorted(ratio**power for power in strength)
        ratios = low, high
    image = hidden(Anomaly(91, 72, 34, ratio))
    found = predict_image_only.search(trained, image, Known(radii, ratios))
    assert math.hypot(found.x - 91, found.y - 72) < 1
    assert found.r == pytest.approx(34, abs=1)
    assert found.ratio == pytest.approx(ratio, abs=0.03)


def test_known_ranges_select_one_of_two_regions(trained: RingVoteNet) -> None:
    one, other = Anomaly(70, 90, 30, 1.15), Anomaly(220, 100, 60, 0.87)
    photo = landscape(320, 200)
    image = anomaly.apply(anomaly.apply(photo, one), other)
    for truth, known in (
        (one, Known(r=(25, 38))),
        (one, Known(ratio=(1.05, 1.3))),
        (other, Known(r=(50, 75))),
        (other, Known(ratio=(0.8, 0.95))),
        (other, Known((50, 75), (0.8, 0.95))),
    ):
        found = predict_image_only.search(trained, image, known)
        assert math.hypot(found.x - truth.x, found.y - truth.y) < 1
        assert found.r == pytest.approx(truth.r, abs=1)


@given(low=st.floats(1, 120), more=st.floats(0, 60))
@settings(max_examples=10, deadline=None)
def test_the_answer_has_a_possible_radius(trained: RingVoteNet, low: float, more: float) -> None:
    """Where no possible radius fits, the answer is the centre of the image without a radius."""
    found = predict_image_only.search(
        trained, hidden(Anomaly(91, 72, 34, 1.15)), Known(r=(low, low + more))
    )
    assert found.r is None or low <= found.r <= low + more
    if found.r is None:
        assert (found.x, found.y) == (99.5, 79.5)


def candidate(logit: float, r: float, ratio: float = 1.05, square: bool = False) -> Candidate:
    return Candidate(0, 0, r, logit, square, ratio)


@given(
    scale=st.floats(0.3, 5), size=st.floats(-1, 1), shift=st.floats(-3, 3), seed=st.integers(0, 99)
)
@settings(max_examples=10, deadline=None)
def test_known_log_odds_are_recovered(scale: float, size: float, shift: float, seed: int) -> None:
    """For candidates with known log odds, the fit gives the probabilities to sampling error."""
    rng = np.random.default_rng(seed)
    logits, radii = rng.normal(0, 20 / scale, 4000), rng.uniform(20, 200, 4000)
    true = 1 / (1 + np.exp(-(scale * logits / 10 + size * np.log(radii / 50) + shift)))
    rows = torch.stack(
        [inputs([candidate(v, r, square=True)]) for v, r in zip(logits, radii, strict=True)]
    )
    fitted = PlattScaling(INPUTS)
    fitted.fit(rows, torch.from_numpy(rng.random(4000) < true))
    probabilities = [1 / (1 + math.exp(-fitted.log_odds(each))) for each in rows[:200]]
    assert np.abs(probabilities - true[:200]).mean() < 0.05


def test_brighter_and_darker_candidates_have_the_same_inputs() -> None:
    one, other = (
        inputs([candidate(logit, 30, ratio) for logit in (3.0, 2.0)]) for ratio in (1.1, 1 / 1.1)
    )
    assert torch.allclose(one, other)
    assert float(one[0]) == pytest.approx(math.log(math.exp(3) + math.exp(2)) / 10)


def test_images_and_clean_twins_are_told_apart(
    photo_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the inputs of an image differ from those of its clean twin, so do the log odds."""
    monkeypatch.setattr(platt, "SIZES", ((64, 48), (48, 64)))
    monkeypatch.setattr(platt, "DETAILS", (1.0,))
    stage = Stage({"size": [64, 64], "margin": 0, "ratio": [1.3, 1.4], "radius": [8, 12]})
    source = Endless(photo_folder, (stage,), 3, augment=False)
    clean = {each.clean.tobytes() for each in samples_of(source, 12) if each.clean is not None}

    def inputs_of(image: np.ndarray, truth: Anomaly) -> torch.Tensor:
        return absent if image.tobytes() in clean else there

    there, absent = (
        inputs([candidate(logit, 10, 1.3) for logit in (top, 1.0)]) for top in (26.0, -3.0)
    )
    fitted, steps = PlattScaling(INPUTS), []
    platt.fit_on_source(
        fitted, inputs_of, source, 12, lambda done, total: steps.append((done, total))
    )
    assert steps[-1] == (12, 12)
    assert fitted.log_odds(there) > 1
    assert fitted.log_odds(absent) < -1
    assert fitted.log_odds(inputs([])) < -1


def samples_of(source: Endless, count: int) -> list[Sample]:
    return [source.resize(platt.SIZES[n % len(platt.SIZES)])[n] for n in range(count)]


def test_a_scaling_is_kept_where_all_labels_are_the_same() -> None:
    fitted = PlattScaling(INPUTS)
    row = inputs([candidate(15.0, 50, 1.0)])
    fitted.fit(torch.stack([row, 2 * row]), torch.tensor([True, True]))
    assert fitted.log_odds(row) == pytest.approx(1.5)
