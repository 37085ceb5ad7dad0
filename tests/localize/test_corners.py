"""Squares that share a corner with a candidate."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localize.methods.hough.aggregation import VoteAggregation
from localize.methods.hough.candidates import Candidate
from localize.methods.hough.corners import (
    rectangle_sums,
    search_corners,
)
from localize.methods.hough.outlines import KINDS, PLANES, outline_votes
from localize.methods.hough.voting import accumulate_sides

SIZE = (90, 110)  # height, width


def evidence_of(x: float, y: float, r: float, square: bool, nats: float = 2.0) -> torch.Tensor:
    """(KINDS, H, W): evidence against an edge everywhere but on one region's outline."""
    planes = torch.full((KINDS, *SIZE), -0.2)
    col, row = math.floor(x), math.floor(y)
    kinds, rows, cols, _ = outline_votes(int(square), r, x - col, y - row)
    planes[kinds, rows + row, cols + col] = nats
    return planes


@given(
    left=st.integers(0, 50), top=st.integers(0, 40), wide=st.integers(0, 59),
    high=st.integers(0, 49), seed=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_sums_along_the_sides_of_a_rectangle(
    left: int, top: int, wide: int, high: int, seed: int
) -> None:
    planes = torch.randn((KINDS, *SIZE), generator=torch.Generator().manual_seed(seed))
    right, bottom = left + wide, top + high
    lines = tuple(torch.tensor([each]) for each in (left, top, right, bottom))
    found = rectangle_sums(accumulate_sides(planes), lines)[:, 0]
    sides = planes[PLANES[1]]
    expected = [
        sides[0, top : bottom + 1, right].sum(), sides[1, bottom, left : right + 1].sum(),
        sides[2, top : bottom + 1, left].sum(), sides[3, top, left : right + 1].sum(),
    ]  # fmt: skip
    assert found.tolist() == pytest.approx([float(each) for each in expected], abs=1e-3)


@given(
    corner=st.integers(0, 3), change=st.integers(-14, 30).filter(bool), half=st.booleans()
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_a_square_with_a_wrong_radius_and_one_right_corner_is_corrected(
    corner: int, change: int, half: bool
) -> None:
    x, y, r = 52 + half / 2, 43 + half / 2, 24 + half / 2
    planes = evidence_of(x, y, r, True)
    right, down = (1, 1, -1, -1)[corner], (1, -1, 1, -1)[corner]
    locked = Candidate(x + right * change, y + down * change, r + change, 0.0, True, 1.05)
    found = search_corners(VoteAggregation(), accumulate_sides(planes), [locked], (10.0, 44.0))
    best = max(found, key=lambda one: one.logit)
    assert (best.x, best.y) == (math.floor(x), math.floor(y))
    assert best.r == r
    assert best.ratio == locked.ratio
    assert best.square


def test_squares_of_other_radii_and_outside_the_image_are_not_tried() -> None:
    planes = evidence_of(52, 43, 24, True)
    sides, one = accumulate_sides(planes), Candidate(58, 49, 30, 0.0, True)
    for limits in ((26.0, 40.0), (10.0, 20.0)):
        found = search_corners(VoteAggregation(), sides, [one], limits)
        assert found
        assert all(limits[0] <= each.r <= limits[1] for each in found)
    for each in search_corners(VoteAggregation(), sides, [one], (10.0, 1000.0)):
        assert each.r <= min(each.x, each.y, SIZE[1] - 1 - each.x, SIZE[0] - 1 - each.y) + 0.5
    assert search_corners(VoteAggregation(), sides, [one], (60.0, 90.0)) == []
    assert search_corners(VoteAggregation(), sides, [], (10.0, 40.0)) == []
