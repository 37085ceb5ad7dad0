"""The second opinion: votes from what the texture does not predict, added to the evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from localize.localizer import Told
from localize.methods.ringvote import locating, looks, second
from localize.methods.ringvote.network import Rules, Trunk
from localize.methods.ringvote.voting import ARCS, KINDS
from synth import scenes

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
