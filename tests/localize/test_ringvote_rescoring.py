"""Rescoring: votes of the prewhitened filter along the outlines of candidates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from localize.methods.hough.candidates import Candidate
from localize.methods.hough.outlines import ARCS, SHAPES, SIDES
from localize.methods.hough.step_likelihood import dense
from localize.methods.ringvote import predict_image_only, tta
from localize.methods.ringvote.network import STEPS, RingVoteNet
from localize.methods.ringvote.rescoring import (
    LARGEST,
    OUTLIERS,
    allow_outliers,
    rescore,
    vote_weight,
)
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
def network(
    lively: RingVoteNet, with_views: Callable[[RingVoteNet, int], RingVoteNet]
) -> RingVoteNet:
    return with_views(lively, tta.MOST)


def test_the_evidence_of_a_pixel_is_bounded() -> None:
    nats = torch.tensor([-1e6, -50.0, 0.0, 3.0, LARGEST, 1e6])
    low, floor, none, some, *high = allow_outliers(nats).tolist()
    assert low == pytest.approx(floor, abs=1e-4)
    assert floor == pytest.approx(math.log(OUTLIERS), abs=1e-4)
    assert none == pytest.approx(0, abs=1e-6)
    assert 2 < some < 3
    assert high[0] == high[1] < math.inf


@pytest.mark.parametrize("ratio", [None, 1.1])
def test_the_sum_of_the_dense_evidence_along_the_outline_is_added(ratio: float | None) -> None:
    """For an unknown ratio the logarithm of the mean likelihood over several ratios."""
    rescored = rescore(REGIONS, IMAGE, ratio and (ratio, ratio), CPU)
    logits = [one.logit for one in rescored]
    assert logits == sorted(logits, reverse=True)
    for one in REGIONS:
        brighter = one.ratio > 1
        sizes = [ratio] if ratio else [math.exp(step) for step in STEPS if step > 0]
        sums = []
        for size in sizes:
            votes = allow_outliers(dense(IMAGE, size if brighter else 1 / size, CPU))
            rows, cols, weights = SHAPES[one.square](one.r)
            along = votes[:, rows + one.y, cols + one.x].T.numpy()
            along = along[:, :: ARCS // SIDES] if one.square else along
            sums.append((along * weights).sum() * vote_weight(one.r))
        expected = one.logit + math.log(np.mean(np.exp(sums)))
        same = dataclasses.replace(one, logit=0.0)
        given = next(e for e in rescored if dataclasses.replace(e, logit=0.0) == same)
        assert given.logit == pytest.approx(expected, abs=1e-3)
    assert rescored[0].logit > REGIONS[0].logit


def test_the_weight_of_a_vote_falls_more_slowly_than_the_outline_grows() -> None:
    assert vote_weight(30.0) / 4 < vote_weight(120.0) < vote_weight(30.0)


def test_no_candidates_give_no_candidates() -> None:
    assert rescore([], IMAGE, None, CPU) == []


def test_only_with_tta_are_candidates_rescored(network: RingVoteNet) -> None:
    """The candidates are those of the same evidence without rescoring."""
    rescored = predict_image_only.find_candidates(network, IMAGE)[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RingVoteNet, "uses_tta", False)
        plain = predict_image_only.find_candidates(network, IMAGE)[2]
    assert rescored == rescore(plain, IMAGE, None, CPU)
    assert {one.logit for one in rescored}.isdisjoint(one.logit for one in plain)
    assert {(o.x, o.y, o.r) for o in rescored} == {(o.x, o.y, o.r) for o in plain}
