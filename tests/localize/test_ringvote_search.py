"""Searching untold, and the second look at what was found."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from localize.methods.ringvote import judging, practice, searching
from localize.methods.ringvote.judging import BINS, FACTS, SEEN, Candidate, Judge
from localize.methods.ringvote.locating import Ballot, evidence, grey, peaks
from localize.methods.ringvote.network import Trunk
from localize.methods.ringvote.searching import Known
from localize.methods.ringvote.voting import ARCS, circle
from synth import anomaly, renderer, scenes
from synth.anomaly import Anomaly


def hidden(truth: Anomaly) -> np.ndarray:
    photo = scenes.scene(200, 160, np.random.default_rng(4))
    return renderer.decode(renderer.encode(anomaly.apply(photo, truth), "jpeg", 90))


@pytest.mark.parametrize("ratio", [0.87, 1.15])
@pytest.mark.parametrize("known", [Known(), Known(r=34), Known(ratio=1.15)])
def test_brightened_and_darkened_regions_are_found(ratio: float, known: Known) -> None:
    if known.ratio is not None:
        known = Known(ratio=ratio)
    found = searching.search(Trunk(8), hidden(Anomaly(91, 72, 34, ratio)), known)
    assert math.hypot(found.x - 91, found.y - 72) < 1
    assert found.r == pytest.approx(34, abs=1)
    assert found.ratio == pytest.approx(ratio, abs=0.03)


@given(r=st.floats(2, 60), dx=st.sampled_from([-0.5, -0.25, 0, 0.25, 0.5]), dy=st.floats(-0.5, 0.5))
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
    assert peaks(logits, 2) == [(4, 5), (20, 30)]


def test_a_look_sees_the_edge_where_it_is() -> None:
    """Evidence peaks on the edge, and the step is the ratio's, for either sign."""
    network = Trunk(8)
    for ratio in (1.12, 1 / 1.12):
        image = hidden(Anomaly(91, 72, 34, ratio))
        planes = evidence(network, image, 1.12)[0].numpy()
        one = Candidate(91, 72, 34.0, 0.0, False, ratio, 0, ratio < 1)
        here = judging.look(planes, grey(image), one)
        away = judging.look(planes, grey(image), dataclasses.replace(one, x=80))
        assert here.shape == (BINS, SEEN)
        assert np.isfinite(here).all()
        middle = judging.BESIDE.index(0)
        assert here[:, middle].mean() > max(here[:, 0].mean(), away[:, middle].mean()) + 1
        step = here[:, len(judging.BESIDE) + 1]
        assert np.median(step) == pytest.approx(1, abs=0.4)


def test_a_dark_ballot_is_of_the_surrounding() -> None:
    """It counts what the same evidence with all directions reversed says one px further out."""
    planes = np.random.default_rng(0).normal(size=(ARCS, 60, 60)).astype(np.float32)
    network, here = Trunk(4), (np.array([30]), np.array([31]))
    dark = Ballot(network, planes, 12.0, dark=True).logits(*here)
    turned = Ballot(network, np.roll(planes, ARCS // 2, axis=0), 13.0).logits(*here)
    scales = network.scales(12.0) / network.scales(13.0)
    assert bool((scales != 1).all())
    assert (np.sign(dark) == np.sign(turned)).all()


def lessons(count: int, seed: int) -> list[practice.Lesson]:
    """The truth has all bins high; impostors, which had more votes, some."""
    rng = torch.Generator().manual_seed(seed)
    made = []
    for number in range(count):
        there = number % 2 == 0
        seen = torch.randn(6, BINS, SEEN, generator=rng)
        seen[:, : BINS // 3] += 3
        facts = torch.zeros(6, FACTS)
        facts[:, 0] = torch.rand(6, generator=rng)
        right = torch.zeros(6, dtype=torch.bool)
        if there:
            right[2] = True
            seen[2] += 1
            facts[2, 0] = 0
        made.append((seen, facts, right, torch.tensor(there)))
    return made


def test_a_judge_learns_what_votes_do_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    judge = Judge()
    monkeypatch.setattr(practice, "PASSES", 8)
    practice.learn(judge, lessons(60, 0), seed=0)
    fresh = lessons(40, 1)
    practice.calibrate(judge, fresh)
    with torch.no_grad():
        found = [bool(r[judge(x, f).argmax()]) for x, f, r, there in fresh if there]
        odds = np.array([judge.odds(judge(x, f)) for x, f, *_ in fresh])
    there = np.array([bool(lesson[3]) for lesson in fresh])
    assert np.mean(found) > 0.9
    assert odds[there].min() > odds[~there].max()
    sure = 1 / (1 + np.exp(-odds))
    assert sure[there].mean() > 0.8 > 0.2 > sure[~there].mean()


def test_lessons_are_kept_as_they_were() -> None:
    before = lessons(4, 0)
    empty = (torch.zeros(0, BINS, SEEN), torch.zeros(0, FACTS), torch.zeros(0).bool())
    before.append((*empty, torch.tensor(True)))
    for one, two in zip(before, practice._unpacked(practice._packed(before)), strict=True):
        assert all(torch.equal(a.half(), b.half()) for a, b in zip(one, two, strict=True))


def test_nothing_stands_against_the_candidates() -> None:
    """Where the truth is not among them, all should be less likely than nothing."""
    none = torch.zeros(3, dtype=torch.bool)
    low, high = torch.full((3,), -4.0), torch.full((3,), 4.0)
    assert practice.lesson_loss(low, none) < practice.lesson_loss(high, none)
    first = torch.tensor([True, False, False])
    assert practice.lesson_loss(torch.tensor([4.0, -4, -4]), first) < 0.1
