"""Searching untold, and the second look at what was found."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localize.data.endless import Endless, Mix
from localize.localizer import Known, Range
from localize.methods.hough.candidates import FOUND, MISSED, TEMPERATURE, Candidate, best_of
from localize.methods.hough.voting import circle
from localize.methods.ringvote import platt, predict_image_only
from localize.methods.ringvote.network import Trunk
from localize.methods.ringvote.platt import Odds
from localize.methods.ringvote.predict_told import peaks
from synth import anomaly, renderer, scenes
from synth.anomaly import Anomaly
from synth.renderer import Sample


def hidden(truth: Anomaly) -> np.ndarray:
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    return renderer.decode(renderer.encode(anomaly.apply(photo, truth), "jpeg", 90))


@pytest.mark.parametrize("ratio", [0.87, 1.15])
@pytest.mark.parametrize("radii", [None, (34, 34), (27, 44)])
@pytest.mark.parametrize("strength", [None, (1, 1), (0.3, 2)])
def test_brightened_and_darkened_regions_are_found(
    trained: Trunk, ratio: float, radii: Range | None, strength: Range | None
) -> None:
    """Whatever is known of them."""
    ratios = None
    if strength:
        low, high = sorted(ratio**power for power in strength)
        ratios = low, high
    image = hidden(Anomaly(91, 72, 34, ratio))
    found = predict_image_only.search(trained, image, Known(radii, ratios))
    assert math.hypot(found.x - 91, found.y - 72) < 1
    assert found.r == pytest.approx(34, abs=1)
    assert found.ratio == pytest.approx(ratio, abs=0.03)


def test_what_is_known_says_which_of_two_regions_is_meant(trained: Trunk) -> None:
    one, other = Anomaly(70, 90, 30, 1.15), Anomaly(220, 100, 60, 0.87)
    photo = scenes.scene(320, 200, np.random.default_rng(4))
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
def test_no_other_radius_is_answered_than_those_known(
    trained: Trunk, low: float, more: float
) -> None:
    """Where none of them fits, the centre of the image, and no radius."""
    found = predict_image_only.search(
        trained, hidden(Anomaly(91, 72, 34, 1.15)), Known(r=(low, low + more))
    )
    assert found.r is None or low <= found.r <= low + more
    if found.r is None:
        assert (found.x, found.y) == (99.5, 79.5)


def sixty_fourths(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers whose squares and sums are exact."""
    return st.integers(round(64 * low), round(64 * high)).map(lambda n: n / 64)


@given(
    r=sixty_fourths(2, 60),
    dx=st.sampled_from([-0.5, -0.25, 0, 0.25, 0.5]),
    dy=sixty_fourths(-0.5, 0.5),
)
def test_a_circles_outline_is_what_a_mask_has(r: float, dx: float, dy: float) -> None:
    span = np.arange(-64, 65)
    inside = (span[None] - dx) ** 2 + (span[:, None] - dy) ** 2 <= r * r
    closed = inside.copy()
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        closed &= np.roll(inside, step, axis)
    rows, cols, _ = circle(r, dx, dy)
    drawn = np.zeros_like(inside)
    drawn[rows + 64, cols + 64] = True
    assert np.array_equal(drawn, inside & ~closed)
    assert len(set(zip(rows.tolist(), cols.tolist(), strict=True))) == len(rows)


def test_peaks_are_the_highest_and_apart() -> None:
    logits = torch.zeros(30, 40)
    logits[4, 5], logits[4, 7], logits[20, 30] = 9.0, 8.0, 7.0
    assert peaks(logits, 2) == [(4, 5, 9.0), (20, 30, 7.0)]


regions = st.builds(
    Candidate, st.integers(0, 800), st.integers(0, 800), r=st.just(40.0), logit=st.floats(-9, 30)
)


@given(
    found=st.lists(regions, min_size=1, max_size=12),
    height=st.integers(100, 900),
    width=st.integers(100, 900),
)
def test_no_other_region_is_expected_to_cost_less(
    found: list[Candidate], height: int, width: int
) -> None:
    def chance(one: Candidate) -> float:
        return math.exp(one.logit / TEMPERATURE)

    def cost(one: Candidate, true: Candidate) -> float:
        far = math.dist((one.x, one.y), (true.x, true.y))
        return far / math.sqrt(height * width) + MISSED * min(far / FOUND, 1)

    def expected(one: Candidate) -> float:
        return sum(chance(each) * cost(one, each) for each in found) / sum(map(chance, found))

    least = min(map(expected, found))
    assert expected(best_of(found, (height, width))) == pytest.approx(least, rel=1e-9, abs=1e-9)


@given(found=st.lists(regions, min_size=1, max_size=12), where=st.integers(0, 11))
def test_a_region_likelier_than_all_others_is_the_answer(
    found: list[Candidate], where: int
) -> None:
    total = sum(math.exp(each.logit / TEMPERATURE) for each in found)
    sure = Candidate(400, 300, 40.0, TEMPERATURE * math.log(total) + 0.01)
    found.insert(where, sure)
    answer = best_of(found, (600, 800))
    assert (answer.x, answer.y) == (sure.x, sure.y)


def test_many_that_lie_together_outweigh_a_likelier_one_apart() -> None:
    together = [Candidate(500 + dx, 300, 40.0, 9.0) for dx in (-20, 0, 20)]
    assert best_of([Candidate(50, 50, 40.0, 10.0), *together], (600, 800)) in together


def test_who_is_likelier_outweighs_who_lies_amid_the_others() -> None:
    """A miss costs more than its distance. Where all are as likely, who lies amid them is best."""
    corners = [Candidate(x, y, 40.0, 8.0) for x in (50, 750) for y in (50, 550)]
    amid = Candidate(400, 300, 40.0, 7.9)
    assert best_of([*corners, amid], (600, 800)) == amid
    far = dataclasses.replace(corners[0], logit=10.0)
    assert best_of([far, *corners[1:], amid], (600, 800)) == far


@given(
    scale=st.floats(0.3, 5), size=st.floats(-1, 1), shift=st.floats(-3, 3), seed=st.integers(0, 99)
)
@settings(max_examples=20, deadline=None)
def test_odds_are_recovered(scale: float, size: float, shift: float, seed: int) -> None:
    """Of facts whose odds are known the fit finds the chances, to sampling error."""
    rng = np.random.default_rng(seed)
    logits, radii = rng.normal(0, 20 / scale, 4000), rng.uniform(20, 200, 4000)
    true = 1 / (1 + np.exp(-(scale * logits / 10 + size * np.log(radii / 50) + shift)))
    known = torch.stack(
        [platt.facts([v], r, 1.05, True) for v, r in zip(logits, radii, strict=True)]
    )
    fitted = Odds()
    fitted.fit(known, torch.from_numpy(rng.random(4000) < true))
    said = [1 / (1 + math.exp(-fitted.of(each))) for each in known[:200]]
    assert np.abs(said - true[:200]).mean() < 0.05


def test_brighter_and_darker_count_alike() -> None:
    one, other = (platt.facts([3.0, 2.0], 30, ratio, False) for ratio in (1.1, 1 / 1.1))
    assert torch.allclose(one, other)
    assert float(one[0]) == pytest.approx(math.log(math.exp(3) + math.exp(2)) / 10)


def test_odds_of_pictures_that_differ(photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is asked tells the picture from its clean twin, the odds do so too."""
    monkeypatch.setattr(platt, "SIZES", ((64, 48), (48, 64)))
    mix = Mix({"size": [64, 64], "margin": 0, "ratio": [1.3, 1.4], "radius": [8, 12]})
    source = Endless(photo_folder, (mix,), 3, augment=False)
    clean = {sample.clean.tobytes() for sample in asked_of(source, 12) if sample.clean is not None}

    def asked(image: np.ndarray, truth: Anomaly) -> torch.Tensor:
        return absent if image.tobytes() in clean else there

    there, absent = (platt.facts([top, 1.0], 10, 1.3, False) for top in (26.0, -3.0))
    fitted, steps = Odds(), []
    platt.learn(fitted, asked, source, 12, lambda done, total: steps.append((done, total)))
    assert steps[-1] == (12, 12)
    assert fitted.of(there) > 1
    assert fitted.of(absent) < -1
    assert fitted.of(platt.facts([], 10, 1.3, False)) < -1


def asked_of(source: Endless, count: int) -> list[Sample]:
    return [source.resized(platt.SIZES[n % len(platt.SIZES)])[n] for n in range(count)]


def test_odds_stay_where_there_is_nothing_to_tell_apart() -> None:
    fitted = Odds()
    known = platt.facts([15.0], 50, 1.0, False)
    fitted.fit(torch.stack([known, 2 * known]), torch.tensor([True, True]))
    assert fitted.of(known) == pytest.approx(1.5)
