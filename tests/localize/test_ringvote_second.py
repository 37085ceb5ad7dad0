"""Rescoring: votes of the prewhitened filter along the outlines of candidates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from localize.methods.hough.candidates import Candidate
from localize.methods.hough.step_likelihood import heard
from localize.methods.hough.voting import ARCS, SHAPES, SIDES
from localize.methods.ringvote import predict_image_only, rescoring, tta
from localize.methods.ringvote.network import STEPS, Trunk
from localize.methods.ringvote.rescoring import DOUBT, LARGEST, doubted, trusted
from synth import scenes
from synth.anomaly import Anomaly, apply

CPU = torch.device("cpu")
IMAGE = apply(scenes.scene(88, 60, np.random.default_rng(5)), Anomaly(44, 30, 18.5, 1.1))
REGIONS = [
    Candidate(44, 30, 18.5, logit=3.0, ratio=1.06),
    Candidate(40, 29, 21.0, logit=2.5, square=True, ratio=1 / 1.03),
    Candidate(60, 30, 12.0, logit=2.0, ratio=1.12),
]


@pytest.fixture
def careful(lively: Trunk, looking: Callable[[Trunk, int], Trunk]) -> Trunk:
    return looking(lively, tta.MOST)


def test_no_vote_counts_without_bound() -> None:
    nats = torch.tensor([-1e6, -50.0, 0.0, 3.0, LARGEST, 1e6])
    low, floor, none, some, *high = doubted(nats).tolist()
    assert low == pytest.approx(floor, abs=1e-4)
    assert floor == pytest.approx(math.log(DOUBT), abs=1e-4)
    assert none == pytest.approx(0, abs=1e-6)
    assert 2 < some < 3
    assert high[0] == high[1] < math.inf


@pytest.mark.parametrize("ratio", [None, 1.1])
def test_a_region_hears_what_lies_along_its_edge(ratio: float | None) -> None:
    """As the sum over its outline of what all pixels say; of an unknown ratio the mean chance."""
    found = rescoring.reconsidered(REGIONS, IMAGE, ratio and (ratio, ratio), CPU)
    assert [one.logit for one in found] == sorted((one.logit for one in found), reverse=True)
    for one in REGIONS:
        brighter = one.ratio > 1
        sizes = [ratio] if ratio else [math.exp(step) for step in STEPS if step > 0]
        sums = []
        for size in sizes:
            votes = doubted(heard(IMAGE, size if brighter else 1 / size, CPU))
            rows, cols, weights = SHAPES[one.square](one.r)
            there = votes[:, rows + one.y, cols + one.x].T.numpy()
            there = there[:, :: ARCS // SIDES] if one.square else there
            sums.append((there * weights).sum() * trusted(one.r))
        expected = one.logit + math.log(np.mean(np.exp(sums)))
        same = dataclasses.replace(one, logit=0.0)
        given = next(e for e in found if dataclasses.replace(e, logit=0.0) == same)
        assert given.logit == pytest.approx(expected, abs=1e-3)
    assert found[0].logit > REGIONS[0].logit


def test_votes_along_a_longer_edge_count_less_in_the_sum_than_they_are_more() -> None:
    """They fade with the radius, and not so fast that a larger region would be seen worse."""
    assert trusted(30.0) / 4 < trusted(120.0) < trusted(30.0)


def test_of_no_region_nothing_is_said() -> None:
    assert rescoring.reconsidered([], IMAGE, None, CPU) == []


def test_only_several_looks_are_rescored(careful: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    rescored = predict_image_only.blind_candidates(careful, IMAGE)[2]
    monkeypatch.setattr(predict_image_only, "reconsidered", lambda found, *rest: found)
    plain = predict_image_only.blind_candidates(careful, IMAGE)[2]
    assert {one.logit for one in rescored}.isdisjoint(one.logit for one in plain)
    assert {(o.x, o.y, o.r) for o in rescored} == {(o.x, o.y, o.r) for o in plain}
    monkeypatch.delattr(predict_image_only, "reconsidered")
    careful.flips = tta.FLIPS[:1]
    assert predict_image_only.blind_candidates(careful, IMAGE)[2]
