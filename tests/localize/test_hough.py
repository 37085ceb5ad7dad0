"""Outlines, votes along them, and the choice among candidates."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localize.localizer import HIT_RADIUS
from localize.methods.hough import centre_scores
from localize.methods.hough.aggregation import VoteAggregation, soft_saturate
from localize.methods.hough.candidates import (
    MISS_COST,
    TEMPERATURE,
    Candidate,
    best_of,
    non_max_suppression,
)
from localize.methods.hough.centre_scores import local_maxima, score_centres
from localize.methods.hough.fft import fast_length
from localize.methods.hough.outlines import ARCS, KINDS, SIDES, circle, outline_votes, square
from localize.methods.hough.refinement import CentreScorer
from localize.methods.hough.voting import (
    accumulate_sides,
    shift,
    sum_arcs,
    sum_sides,
    transform_arc_kernels,
    transform_arcs,
)
from synth import anomaly
from synth.anomaly import Anomaly


def random_evidence(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(KINDS, height, width))).float()


@pytest.mark.parametrize(("outline", "shape"), [(circle, "circle"), (square, "square")])
@pytest.mark.parametrize("r", [1.0, 7.3, 20.0])
def test_an_outline_is_the_last_pixels_inside(outline, shape: str, r: float) -> None:
    dx, dy = 0.25, -0.5
    mask = anomaly.mask(Anomaly(30 + dx, 30 + dy, r, 1.1, shape), 61, 61)  # type: ignore[arg-type]
    rows, cols, weights = outline(r, dx, dy)
    drawn = np.zeros_like(mask)
    drawn[rows + 30, cols + 30] = True
    closed = mask.copy()
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        closed &= np.roll(mask, step, axis)
    assert np.array_equal(drawn, mask & ~closed)
    assert np.allclose(weights.sum(axis=1), 1)
    assert weights.shape[1] == (ARCS if shape == "circle" else SIDES)


def sixty_fourths(low: float, high: float) -> st.SearchStrategy[float]:
    """Numbers whose squares and sums are exact."""
    return st.integers(round(64 * low), round(64 * high)).map(lambda n: n / 64)


@given(
    r=sixty_fourths(2, 60),
    dx=st.sampled_from([-0.5, -0.25, 0, 0.25, 0.5]),
    dy=sixty_fourths(-0.5, 0.5),
)
def test_a_circles_outline_is_that_of_its_mask(r: float, dx: float, dy: float) -> None:
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


def test_outward_directions_point_outward() -> None:
    rows, cols, weights = circle(20.0)
    main = weights.argmax(axis=1) * 2 * math.pi / ARCS
    assert (np.cos(main) * cols + np.sin(main) * rows > 0.9 * 19).all()


@given(n=st.integers(1, 3000))
def test_a_fast_length_is_the_next_one_of_small_prime_factors(n: int) -> None:
    def is_fast(length: int) -> bool:
        for prime in (2, 3, 5):
            while length % prime == 0:
                length //= prime
        return length == 1

    assert is_fast(fast_length(n))
    assert not any(is_fast(length) for length in range(n, fast_length(n)))


@given(
    r=st.one_of(st.integers(1, 12).map(float), sixty_fourths(1, 12)),
    height=st.integers(27, 45),
    width=st.integers(27, 45),
)
@settings(deadline=None)
def test_votes_are_summed_along_arcs_and_sides(r: float, height: int, width: int) -> None:
    """The sums by FFT and by cumulative sums are those over the pixels of the outline."""
    evidence, low = random_evidence(height, width), math.ceil(r)
    inside = slice(low, height - low), slice(low, width - low)
    spectrum = transform_arcs(evidence)
    kernels = transform_arc_kernels(r, spectrum.shape[1:], evidence.device)
    arcs = list(sum_arcs(spectrum, kernels, (height, width), *inside))
    sides = list(sum_sides(accumulate_sides(evidence), r, *inside))
    assert [shape for shape, _ in (*arcs, *sides)] == [0, 0, 1]
    given = torch.cat([sums for _, sums in (*arcs, *sides)])
    expected = torch.zeros_like(given)
    for shape in range(2):
        for kind, row, col, weight in zip(*outline_votes(shape, r), strict=True):
            expected[kind] += weight * shift(evidence[kind], *inside, row, col)
    assert torch.allclose(given, expected, atol=1e-3)


def test_arcs_summed_in_pairs_give_the_same_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence, aggregation = random_evidence(40, 50), VoteAggregation()
    whole = score_centres(aggregation, evidence, 9.5)[0]
    monkeypatch.setattr(centre_scores, "LARGE", 0)
    assert torch.allclose(score_centres(aggregation, evidence, 9.5)[0], whole, atol=1e-4)


@given(
    height=st.integers(15, 40), width=st.integers(15, 40), share=st.sampled_from([0.3, 0.8, 1.0])
)
@settings(deadline=None)
def test_single_centres_have_the_logits_of_the_map(height: int, width: int, share: float) -> None:
    """Of every centre around which the region fits, up to the largest one."""
    evidence, aggregation = random_evidence(height, width), VoteAggregation()
    r = share * (min(height, width) - 1) / 2
    whole, rows, cols = score_centres(aggregation, evidence, r)
    y, x = np.mgrid[rows, cols].reshape(2, -1)
    logits = CentreScorer(aggregation, evidence, np.array([r])).logits(x, y)
    assert torch.allclose(logits[0].logsumexp(0), whole.flatten(), atol=1e-3)


def test_a_single_centre_around_which_the_region_does_not_fit_has_no_logit() -> None:
    scorer = CentreScorer(VoteAggregation(), random_evidence(40, 50), np.array([9.5]))
    assert (scorer.logits(np.array([3]), np.array([20])) == -math.inf).all()


def test_centres_scored_together_have_the_logits_of_each_alone() -> None:
    """Of several radii and offsets, at different pixels; some regions leave the image."""
    rng = np.random.default_rng(0)
    evidence, aggregation, n = random_evidence(60, 70), VoteAggregation(), 12
    r, dx, dy = rng.uniform(0.3, 20, n), *rng.uniform(-0.5, 0.5, (2, n))
    r[:2], dx[1], dy[1] = 0.2, 0.5, 0.5  # one with a single pixel, one without any
    dx[0] = dy[0] = 0
    cols, rows = rng.integers(0, 70, (n, 5)), rng.integers(0, 60, (n, 5))
    together = CentreScorer(aggregation, evidence, r, dx, dy).logits(cols, rows)
    for k in range(n):
        scorer = CentreScorer(aggregation, evidence, r[k : k + 1], dx[k], dy[k])
        assert torch.allclose(together[k], scorer.logits(cols[k], rows[k])[0], atol=1e-4)
        inside = (abs(cols[k] + dx[k] - 34.5) <= 34.5 - r[k]) & (
            abs(rows[k] + dy[k] - 29.5) <= 29.5 - r[k]
        )
        assert torch.isfinite(together[k]).all(0).numpy()[inside].all() == (k != 1)
    assert (together[1] == -math.inf).all()


def test_one_clear_arc_counts_for_less_than_all_faint_ones() -> None:
    knee = torch.tensor(4.0)
    votes = soft_saturate(torch.tensor([-50.0, 0.0, 4.0, 80.0]), knee).tolist()
    assert votes == pytest.approx([-50, 0, 4 * math.log(2), 4 * math.log(21)])
    one, all_around = torch.zeros(8), torch.full((8,), 4.0)
    one[3] = 80
    assert float(soft_saturate(one, knee).sum()) < float(soft_saturate(all_around, knee).sum())


def test_local_maxima_are_the_highest_and_apart() -> None:
    logits = torch.zeros(30, 40)
    logits[4, 5], logits[4, 7], logits[20, 30] = 9.0, 8.0, 7.0
    assert local_maxima(logits, 2) == [(4, 5, 9.0), (20, 30, 7.0)]


def test_non_max_suppression_keeps_what_is_farther_than_the_distance() -> None:
    beside = [Candidate(100 + 16 * n, 100, 150.0, -float(n)) for n in range(3)]
    assert non_max_suppression(beside, 9, 12) == beside
    assert non_max_suppression(beside, 2, 12) == beside[:2]
    assert non_max_suppression(beside, 9, 17) == beside[::2]


candidate_lists = st.lists(
    st.builds(
        Candidate,
        st.integers(0, 800),
        st.integers(0, 800),
        r=st.just(40.0),
        logit=st.floats(-9, 30),
    ),
    min_size=1,
    max_size=12,
)


@given(candidates=candidate_lists, height=st.integers(100, 900), width=st.integers(100, 900))
def test_no_other_candidate_has_a_lower_expected_cost(
    candidates: list[Candidate], height: int, width: int
) -> None:
    def chance(one: Candidate) -> float:
        return math.exp(one.logit / TEMPERATURE)

    def cost(one: Candidate, true: Candidate) -> float:
        distance = math.dist((one.x, one.y), (true.x, true.y))
        return distance / math.sqrt(height * width) + MISS_COST * min(distance / HIT_RADIUS, 1)

    def expected(one: Candidate) -> float:
        total = sum(map(chance, candidates))
        return sum(chance(each) * cost(one, each) for each in candidates) / total

    least = min(map(expected, candidates))
    answer = best_of(candidates, (height, width))
    assert expected(answer) == pytest.approx(least, rel=1e-9, abs=1e-9)


@given(candidates=candidate_lists, where=st.integers(0, 11))
def test_a_candidate_likelier_than_all_others_together_is_the_answer(
    candidates: list[Candidate], where: int
) -> None:
    total = sum(math.exp(each.logit / TEMPERATURE) for each in candidates)
    sure = Candidate(400, 300, 40.0, TEMPERATURE * math.log(total) + 0.01)
    candidates.insert(where, sure)
    answer = best_of(candidates, (600, 800))
    assert (answer.x, answer.y) == (sure.x, sure.y)


def test_several_candidates_close_together_outweigh_a_likelier_one_elsewhere() -> None:
    together = [Candidate(500 + dx, 300, 40.0, 9.0) for dx in (-20, 0, 20)]
    assert best_of([Candidate(50, 50, 40.0, 10.0), *together], (600, 800)) in together


def test_a_likelier_candidate_outweighs_one_in_the_middle_of_the_others() -> None:
    """A miss costs more than its distance. Of equally likely candidates the middle one is best."""
    corners = [Candidate(x, y, 40.0, 8.0) for x in (50, 750) for y in (50, 550)]
    middle = Candidate(400, 300, 40.0, 7.9)
    assert best_of([*corners, middle], (600, 800)) == middle
    likelier = dataclasses.replace(corners[0], logit=10.0)
    assert best_of([likelier, *corners[1:], middle], (600, 800)) == likelier
