"""Proposals: the coarse search over place, radius and ratio."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from localize.localizer import Known, Range
from localize.methods.hough.aggregation import VoteAggregation
from localize.methods.hough.border import NEAR
from localize.methods.hough.mirroring import COLS, ROWS, mirrored_kinds
from localize.methods.hough.outlines import DIRECTIONS, KINDS, direction_vector, outline_votes
from localize.methods.ringvote import proposals
from localize.methods.ringvote.network import (
    BANDS,
    HYPOTHESES,
    POOL,
    RingVoteNet,
    band,
    nearest_hypothesis,
)

HEIGHT, WIDTH = 640, 840  # px


def range_around(ratio: float, share: float) -> Range:
    """The range of ratios whose logarithms differ from its own by at most a share of it."""
    low, high = sorted((ratio ** (1 - share), ratio ** (1 + share)))
    return low, high


@pytest.fixture(scope="module")
def untrained() -> RingVoteNet:
    return RingVoteNet(8).eval()


def draw_evidence(x: float, y: float, r: float, square: bool, ratio: float) -> torch.Tensor:
    """Coarse evidence of an image with one region: high on its edge, lower beside it."""
    shape = (len(HYPOTHESES), len(BANDS) + 1, KINDS, HEIGHT // POOL, WIDTH // POOL)
    planes = torch.full(shape, -0.2)
    kinds, rows, cols, weights = outline_votes(int(square), r, x - round(x), y - round(y))
    some = weights > 0.2
    kinds, rows, cols = kinds[some], rows[some] + round(y), cols[some] + round(x)
    down, right = np.array([direction_vector(turn, POOL) for turn in np.take(DIRECTIONS, kinds)]).T
    for by, nats in ((-1, 1.0), (1, 1.0), (0, 2.0)):
        at = np.rint(rows + by * down) // POOL, np.rint(cols + by * right) // POOL
        planes[nearest_hypothesis(ratio), band(r), kinds, *(each.astype(int) for each in at)] = nats
    return planes


@given(
    r=st.floats(25, 0.45 * HEIGHT),
    across=st.floats(0, 1),
    down=st.floats(0, 1),
    square=st.booleans(),
    ratio=st.sampled_from(HYPOTHESES),
    told=st.sampled_from(["nothing", "r", "ratio", "both, roughly"]),
)
@example(r=225.0, across=0.0, down=0.0, square=True, ratio=1.03, told="r")
@settings(max_examples=10, deadline=None)
def test_a_region_of_any_size_is_proposed(
    untrained: RingVoteNet,
    r: float,
    across: float,
    down: float,
    square: bool,
    ratio: float,
    told: str,
) -> None:
    """Its centre to two squares; refinement at full resolution does the rest."""
    x = NEAR + r + across * (WIDTH - 2 * (NEAR + r))
    y = NEAR + r + down * (HEIGHT - 2 * (NEAR + r))
    known = {
        "nothing": Known(),
        "r": Known(r=(r, r)),
        "ratio": Known(ratio=(ratio, ratio)),
        "both, roughly": Known((0.8 * r, 1.2 * r), range_around(ratio, 0.2)),
    }[told]
    found = proposals.propose(
        untrained, draw_evidence(x, y, r, square, ratio), (HEIGHT, WIDTH), known
    )
    best = found[0]
    assert math.hypot(best.x - x, best.y - y) <= 2 * POOL
    assert best.r == pytest.approx(r, abs=1.5 * POOL)
    assert best.ratio == (ratio if told != "both, roughly" else pytest.approx(ratio, rel=1e-12))


@pytest.mark.parametrize("r", [201.0, 225.0, 257.0, 281.0])
@pytest.mark.parametrize("square", [False, True])
def test_a_large_region_that_touches_the_images_edge_is_proposed(
    untrained: RingVoteNet, r: float, square: bool
) -> None:
    """Its centre is in the right one of the large squares, not in the next one."""
    number, known = proposals.level_of(r), Known((r, r), (HYPOTHESES[0], HYPOTHESES[0]))
    planes = draw_evidence(NEAR + r, NEAR + r, r, square, HYPOTHESES[0])[:1]
    for _ in range(number):
        planes = proposals.coarsen(planes)
    planes = torch.nn.functional.pad(planes, (proposals.PADDING,) * 4)
    found = proposals.score_level(untrained.coarse_aggregation, planes, [r], known, number)
    gaps = [max(abs(one.x - NEAR - r), abs(one.y - NEAR - r)) for one in found]
    assert min(gaps) <= proposals.square_side(number) / 2


@pytest.mark.parametrize("size", [(480, 640), (800, 800), (2000, 900), (4000, 6000)])
def test_radii_are_searched_up_to_nearly_half_the_shorter_side(size: tuple[int, int]) -> None:
    found = proposals.search_radii(*size)
    assert found[0] == proposals.SMALLEST
    assert 0.43 * min(size) < found[-1] <= proposals.LARGEST * min(size)
    assert len(found) < 150
    for one, next_ in itertools.pairwise(found):
        squares = proposals.square_side(proposals.level_of(one))
        assert next_ - one <= proposals.STEP * squares
        assert one / squares >= proposals.SMALLEST / POOL  # of no fewer squares than the smallest
    assert proposals.search_radii(40, 50) == []


@given(
    low=st.floats(1, 500),
    more=st.floats(0, 500),
    size=st.tuples(st.integers(40, 900), st.integers(40, 900)),
)
def test_known_radii_are_searched_without_a_gap(
    low: float, more: float, size: tuple[int, int]
) -> None:
    """From the smallest one, as far as they fit; each is near one that is searched."""
    found = proposals.search_radii(*size, (low, low + more))
    most = (min(size) - 1) / 2
    assert found[0] == min(low, most)
    assert found[-1] <= min(low + more, most)
    for one, next_ in itertools.pairwise([*found, min(low + more, most)]):
        assert next_ - one <= proposals.STEP * proposals.square_side(proposals.level_of(one)) + 1e-6
    assert proposals.search_radii(*size, (low, low)) == [min(low, most)]


@given(ends=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)), share=st.floats(0, 1))
def test_every_known_ratio_is_searched(ends: tuple[float, float], share: float) -> None:
    """The nearest hypothesis of each is searched, unless one is nearest to all of them."""
    low, high = sorted(ends)
    found = proposals.search_ratios(Known(ratio=(math.exp(low), math.exp(high))))
    one = HYPOTHESES[nearest_hypothesis(math.exp(low + share * (high - low)))]
    if len(found) > 1:
        assert one in found
        assert set(found) <= set(HYPOTHESES)
    else:
        assert nearest_hypothesis(found[0]) == nearest_hypothesis(one)
        assert math.exp(low) <= found[0] * (1 + 1e-9)
        assert found[0] <= math.exp(high) * (1 + 1e-9)


def test_a_ratio_that_is_known_exactly_is_searched_alone() -> None:
    assert proposals.search_ratios(Known()) == HYPOTHESES
    assert proposals.search_ratios(Known(ratio=(1.085, 1.085))) == (1.085,)
    assert proposals.search_ratios(Known(ratio=(1.02, 1.2))) == (1.03, 1.06, 1.12)
    assert proposals.search_ratios(Known(ratio=(0.85, 0.98))) == (1 / 1.03, 1 / 1.06, 1 / 1.12)


def test_the_best_places_bound_the_logits_of_their_ratios() -> None:
    """Each place has a candidate for all ratios on one side of 1, with a bound of their logits."""
    planes, aggregation = draw_evidence(300, 310, 60, False, HYPOTHESES[1]), VoteAggregation()
    planes = planes + torch.rand(planes.shape, generator=torch.Generator().manual_seed(0))
    found = proposals.score_level(aggregation, planes, [57.0, 60.0], Known(), 0)
    assert len(found) == 3 * 2 * 2 * proposals.PEAKS
    exact = proposals.refine_level(aggregation, planes, found, Known(), 0, 0)
    bounds = {(one.x, one.y, one.r, one.ratio): one.logit for one in found}
    assert len(exact) == len(bounds) == len(found)
    for one in exact:
        assert one.logit <= bounds[one.x, one.y, one.r, one.ratio] + 1e-4
    best = max(exact, key=lambda one: one.logit)
    assert math.hypot(best.x - 300, best.y - 310) <= POOL
    assert best.ratio == HYPOTHESES[1]


def test_the_bound_of_a_known_ratio_is_its_logit(untrained: RingVoteNet) -> None:
    known = Known(ratio=(HYPOTHESES[4], HYPOTHESES[4]))
    planes = draw_evidence(300, 310, 60, True, HYPOTHESES[4])[4:5]
    aggregation = untrained.coarse_aggregation
    found = proposals.score_level(aggregation, planes, [60.0, 63.0], known, 0)
    exact = proposals.refine_level(aggregation, planes, found, known, 0, 0)
    assert sorted(one.logit for one in exact) == pytest.approx(
        sorted(one.logit for one in found), abs=1e-3
    )


planes = st.integers(0, 99).map(
    lambda seed: torch.randn((2, KINDS, 10, 14), generator=torch.Generator().manual_seed(seed))
)


@given(evidence=planes, flip=st.sampled_from([(ROWS,), (COLS,), (ROWS, COLS)]))
def test_coarsening_commutes_with_mirroring(evidence: torch.Tensor, flip: tuple[int, ...]) -> None:
    def mirrored(planes: torch.Tensor) -> torch.Tensor:
        return planes.flip(flip)[:, mirrored_kinds(flip)]

    assert torch.allclose(
        proposals.coarsen(mirrored(evidence)), mirrored(proposals.coarsen(evidence)), atol=1e-5
    )


@given(evidence=planes)
def test_the_evidence_of_a_larger_square_is_a_mean_over_the_paths(evidence: torch.Tensor) -> None:
    """Of an edge whose outside is to the right: down the left or the right column of squares."""
    found = proposals.coarsen(evidence)[:, 0]
    down = evidence[:, 0, ::2] + evidence[:, 0, 1::2]
    paths = torch.stack([down[..., ::2], down[..., 1::2]])
    assert bool((found <= paths.amax(0) + 1e-5).all())
    assert bool((found >= paths.amax(0) - math.log(2) - 1e-5).all())


def test_no_evidence_is_no_evidence_at_any_level() -> None:
    nothing = torch.zeros(KINDS, 5, 7)  # of odd sides
    larger = proposals.coarsen(nothing)
    assert larger.shape == (KINDS, 3, 4)
    assert np.abs(larger.numpy()).max() < 1e-6
