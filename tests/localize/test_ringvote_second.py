"""The second opinion: votes from what the texture does not predict, added to the evidence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from localize.localizer import Told
from localize.methods.ringvote import locating, looks, searching, second
from localize.methods.ringvote.candidate import Candidate
from localize.methods.ringvote.network import STEPS, Rules, Trunk
from localize.methods.ringvote.voting import ARCS, KINDS, SHAPES, SIDES
from localize.methods.texture import heard
from synth import scenes
from synth.anomaly import Anomaly, apply

CPU = torch.device("cpu")
TOLD = Told(24, 1.1)


@pytest.fixture
def careful(lively: Trunk, looking: Callable[[Trunk, int], Trunk]) -> Trunk:
    return looking(lively, looks.MOST)


def added(votes: torch.Tensor, r: float = 50.0) -> torch.Tensor:
    """What a rule of scale 1 at any radius counts of (ARCS, H, W) votes -> (KINDS, H, W)."""
    rules = Rules()
    with torch.no_grad():
        rules.log_scale.zero_()
        rules.power.zero_()
    evidence = torch.randn(KINDS, *votes.shape[1:])
    return (second.seconded(rules, evidence, votes, r) - evidence).detach()


def test_votes_of_an_arc_serve_the_arc_and_the_side() -> None:
    votes = torch.rand(ARCS, 5, 7)
    found = added(votes)
    expected = second.TRUST * torch.log((1 - second.DOUBT) * votes.exp() + second.DOUBT)
    assert torch.allclose(found[:ARCS], expected, atol=1e-5)
    assert torch.allclose(found[ARCS:], expected[[0, 2, 4, 6]], atol=1e-5)


def test_no_pixel_speaks_against_without_bound() -> None:
    nats = torch.tensor([-1e6, -50.0, 0.0, 3.0, 50.0, 1e6]).view(1, 1, -1).expand(ARCS, 1, -1)
    found = added(nats)[0, 0] / second.TRUST
    low, floor, none, some, *high = found.tolist()
    assert low == pytest.approx(floor, abs=1e-4)
    assert floor == pytest.approx(np.log(second.DOUBT), abs=1e-4)
    assert none == pytest.approx(0, abs=1e-4)
    assert 2 < some < 3
    assert high[0] == high[1] < np.inf


def test_votes_along_a_longer_edge_count_less_in_the_sum_than_they_are_more() -> None:
    """They fade with the radius, and not so fast that a larger region would be seen worse."""
    votes = torch.full((ARCS, 1, 1), 2.0)
    small, large = (float(added(votes, r)[0, 0, 0]) for r in (30.0, 120.0))
    assert small / 4 < large < small


def test_it_is_in_the_units_in_which_the_rules_count() -> None:
    """Of a scale twice as large half as much is added: the logits stay the same."""
    votes, evidence = torch.rand(ARCS, 4, 4), torch.zeros(KINDS, 4, 4)
    rules = Rules()
    once = second.seconded(rules, evidence, votes, 40.0) * rules.scales(40.0)[0]
    with torch.no_grad():
        rules.log_scale.add_(0.7)
    again = second.seconded(rules, evidence, votes, 40.0) * rules.scales(40.0)[0]
    assert torch.allclose(once, again, atol=1e-5)


@pytest.mark.parametrize("flip", looks.FLIPS)
def test_mirror_images_are_judged_alike(flip: tuple[int, ...], careful: Trunk) -> None:
    image = scenes.scene(88, 60, np.random.default_rng(5))
    axes = tuple(side - looks.ROWS for side in flip)
    ours, _, _ = locating.told_peaks(careful, image, TOLD)
    theirs, _, _ = locating.told_peaks(careful, np.ascontiguousarray(np.flip(image, axes)), TOLD)
    back = theirs[looks.exchanged(flip)].flip([1 + axis for axis in axes])
    assert torch.allclose(ours, back, atol=2e-2)


REGIONS = [
    Candidate(44, 30, 18.5, logit=3.0, ratio=1.06),
    Candidate(40, 29, 21.0, logit=2.5, square=True, ratio=1 / 1.03),
    Candidate(60, 30, 12.0, logit=2.0, ratio=1.12),
]


@pytest.mark.parametrize("ratio", [None, 1.1])
def test_a_region_hears_what_lies_along_its_edge(ratio: float | None) -> None:
    """As the sum over its outline of what all pixels say; of an unknown ratio the mean chance."""
    image = apply(scenes.scene(88, 60, np.random.default_rng(5)), Anomaly(44, 30, 18.5, 1.1))
    found = second.reconsidered(REGIONS, image, ratio, CPU)
    assert [one.logit for one in found] == sorted((one.logit for one in found), reverse=True)
    for one in REGIONS:
        brighter = one.ratio > 1
        sizes = [ratio] if ratio else [math.exp(step) for step in STEPS if step > 0]
        sums = []
        for size in sizes:
            votes = second.doubted(heard(image, size if brighter else 1 / size, CPU))
            rows, cols, weights = SHAPES[one.square](one.r)
            there = votes[:, rows + one.y, cols + one.x].T.numpy()
            there = there[:, :: ARCS // SIDES] if one.square else there
            sums.append((there * weights).sum() * second.trusted(one.r))
        expected = one.logit + math.log(np.mean(np.exp(sums)))
        same = dataclasses.replace(one, logit=0.0)
        given = next(e for e in found if dataclasses.replace(e, logit=0.0) == same)
        assert given.logit == pytest.approx(expected, abs=1e-3)
    assert found[0].logit > REGIONS[0].logit


def test_of_no_region_nothing_is_said() -> None:
    assert second.reconsidered([], np.zeros((9, 9, 3), np.uint8), None, CPU) == []


def test_only_who_looks_several_times_asks_for_it(
    careful: Trunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = scenes.scene(88, 60, np.random.default_rng(5))
    whole, _, _ = locating.told_peaks(careful, image, TOLD)
    seen = locating.looked(careful, image)
    alone = locating.evidence(careful, seen, TOLD.discolor_ratio, TOLD.r)[:, :60, :88]
    assert not torch.allclose(whole, alone, atol=0.1)
    monkeypatch.delattr(locating, "heard")
    careful.flips = looks.FLIPS[:1]
    locating.told_peaks(careful, image, TOLD)


def test_only_who_looks_several_times_asks_for_it_untold(
    careful: Trunk, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = scenes.scene(88, 60, np.random.default_rng(5))
    _, _, heeding = searching.blind_candidates(careful, image)
    monkeypatch.setattr(searching, "reconsidered", lambda found, *_: found)
    _, _, alone = searching.blind_candidates(careful, image)
    assert {one.logit for one in heeding}.isdisjoint(one.logit for one in alone)
    assert len(heeding) == len(alone) > 0
    monkeypatch.delattr(searching, "reconsidered")
    careful.flips = looks.FLIPS[:1]
    searching.blind_candidates(careful, image)
