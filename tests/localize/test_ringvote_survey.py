"""Where a region might be: squares that vote, coarse to fine."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from localize.localizer import Known, Range
from localize.methods.hough.border import NEAR
from localize.methods.hough.candidates import Candidate
from localize.methods.hough.step_likelihood import outward
from localize.methods.hough.voting import KINDS, TURNS, spokes
from localize.methods.ringvote import proposals
from localize.methods.ringvote.network import BANDS, HYPOTHESES, POOL, Trunk, band, nearest
from localize.methods.ringvote.tta import COLS, ROWS, exchanged

HEIGHT, WIDTH = 640, 840  # px


def about(ratio: float, share: float) -> Range:
    """From a weaker ratio to a stronger one, whose logarithms differ by a share from its own."""
    low, high = sorted((ratio ** (1 - share), ratio ** (1 + share)))
    return low, high


@pytest.fixture(scope="module")
def untaught() -> Trunk:
    return Trunk(8).eval()


def drawn(x: float, y: float, r: float, square: bool, ratio: float) -> torch.Tensor:
    """Squares of a picture in which only a region's edge is seen, and less surely beside it."""
    shape = (len(HYPOTHESES), len(BANDS) + 1, KINDS, HEIGHT // POOL, WIDTH // POOL)
    planes = torch.full(shape, -0.2)
    kinds, rows, cols, weights = spokes(int(square), r, x - round(x), y - round(y))
    some = weights > 0.2
    kinds, rows, cols = kinds[some], rows[some] + round(y), cols[some] + round(x)
    down, right = np.array([outward(turn, POOL) for turn in np.take(TURNS, kinds)]).T
    for by, nats in ((-1, 1.0), (1, 1.0), (0, 2.0)):
        at = np.rint(rows + by * down) // POOL, np.rint(cols + by * right) // POOL
        planes[nearest(ratio), band(r), kinds, *(each.astype(int) for each in at)] = nats
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
@settings(max_examples=25, deadline=None)
def test_a_region_of_any_size_is_where_its_edge_is_seen(
    untaught: Trunk, r: float, across: float, down: float, square: bool, ratio: float, told: str
) -> None:
    """To two squares: what is missing then, placing finds at full resolution."""
    x = NEAR + r + across * (WIDTH - 2 * (NEAR + r))
    y = NEAR + r + down * (HEIGHT - 2 * (NEAR + r))
    known = {
        "nothing": Known(),
        "r": Known(r=(r, r)),
        "ratio": Known(ratio=(ratio, ratio)),
        "both, roughly": Known((0.8 * r, 1.2 * r), about(ratio, 0.2)),
    }[told]
    found = proposals.coarse(untaught, drawn(x, y, r, square, ratio), (HEIGHT, WIDTH), known)
    best = found[0]
    assert math.hypot(best.x - x, best.y - y) <= 2 * POOL
    assert best.r == pytest.approx(r, abs=1.5 * POOL)
    assert best.ratio == (ratio if told != "both, roughly" else pytest.approx(ratio, rel=1e-12))


@pytest.mark.parametrize("r", [201.0, 225.0, 257.0, 281.0])
@pytest.mark.parametrize("square", [False, True])
def test_large_squares_do_not_end_with_the_image(untaught: Trunk, r: float, square: bool) -> None:
    """A region that ends beside its edges has its centre in one of them, not in the next one."""
    number, known = proposals.level(r), Known((r, r), (HYPOTHESES[0], HYPOTHESES[0]))
    planes = drawn(NEAR + r, NEAR + r, r, square, HYPOTHESES[0])[:1]
    for _ in range(number):
        planes = proposals.coarser(planes)
    planes = torch.nn.functional.pad(planes, (proposals.BEYOND,) * 4)
    found = proposals.listened(untaught.rough, planes, [r], known, number)
    gaps = [max(abs(one.x - NEAR - r), abs(one.y - NEAR - r)) for one in found]
    assert min(gaps) <= proposals.side(number) / 2


@pytest.mark.parametrize("size", [(480, 640), (800, 800), (2000, 900), (4000, 6000)])
def test_radii_are_searched_up_to_the_pictures_own_frame(size: tuple[int, int]) -> None:
    found = proposals.radii(*size)
    assert found[0] == proposals.SMALLEST
    assert 0.43 * min(size) < found[-1] <= proposals.LARGEST * min(size)
    assert len(found) < 150
    for one, next_ in itertools.pairwise(found):
        squares = proposals.side(proposals.level(one))
        assert next_ - one <= proposals.STEP * squares
        assert one / squares >= proposals.SMALLEST / POOL  # of no fewer squares than the smallest
    assert proposals.radii(40, 50) == []


@given(
    low=st.floats(1, 500),
    more=st.floats(0, 500),
    size=st.tuples(st.integers(40, 900), st.integers(40, 900)),
)
def test_known_radii_are_searched_with_no_gap(
    low: float, more: float, size: tuple[int, int]
) -> None:
    """From the smallest on, as far as they fit; each of them is near one that is tried."""
    found = proposals.radii(*size, (low, low + more))
    most = (min(size) - 1) / 2
    assert found[0] == min(low, most)
    assert found[-1] <= min(low + more, most)
    for one, next_ in itertools.pairwise([*found, min(low + more, most)]):
        assert next_ - one <= proposals.STEP * proposals.side(proposals.level(one)) + 1e-6
    assert proposals.radii(*size, (low, low)) == [min(low, most)]


@given(ends=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)), share=st.floats(0, 1))
def test_of_known_ratios_each_has_a_hypothesis(ends: tuple[float, float], share: float) -> None:
    """That which would serve it were nothing known, or all of them share one."""
    low, high = sorted(ends)
    found = proposals.ratios(Known(ratio=(math.exp(low), math.exp(high))))
    one = HYPOTHESES[nearest(math.exp(low + share * (high - low)))]
    if len(found) > 1:
        assert one in found
        assert set(found) <= set(HYPOTHESES)
    else:
        assert nearest(found[0]) == nearest(one)
        assert math.exp(low) <= found[0] * (1 + 1e-9)
        assert found[0] <= math.exp(high) * (1 + 1e-9)


def test_of_one_ratio_the_evidence_is_that_ratios() -> None:
    assert proposals.ratios(Known()) == HYPOTHESES
    assert proposals.ratios(Known(ratio=(1.085, 1.085))) == (1.085,)
    assert proposals.ratios(Known(ratio=(1.02, 1.2))) == (1.03, 1.06, 1.12)
    assert proposals.ratios(Known(ratio=(0.85, 0.98))) == (1 / 1.03, 1 / 1.06, 1 / 1.12)


def test_what_is_followed_is_as_far_apart_as_squares() -> None:
    """Going down, what is next to the likeliest is kept: it may be nearer to the truth."""
    beside = [Candidate(100 + 16 * n, 100, 150.0, -float(n)) for n in range(3)]
    assert proposals.apart(beside, 9, proposals.STEP * 16) == beside
    assert proposals.apart(beside, 2, proposals.STEP * 16) == beside[:2]
    assert proposals.apart(beside, 9, 17) == beside[::2]


planes = st.integers(0, 99).map(
    lambda seed: torch.randn((2, KINDS, 10, 14), generator=torch.Generator().manual_seed(seed))
)


@given(seen=planes, flip=st.sampled_from([(ROWS,), (COLS,), (ROWS, COLS)]))
def test_larger_squares_of_the_mirror_image_are_the_mirror_images_larger_squares(
    seen: torch.Tensor, flip: tuple[int, ...]
) -> None:
    def mirrored(planes: torch.Tensor) -> torch.Tensor:
        return planes.flip(flip)[:, exchanged(flip)]

    assert torch.allclose(
        proposals.coarser(mirrored(seen)), mirrored(proposals.coarser(seen)), atol=1e-5
    )


@given(seen=planes)
def test_no_way_of_an_edge_is_likelier_than_the_likeliest(seen: torch.Tensor) -> None:
    """Outward to the right, down a column; a mean of likelihoods lies between them."""
    found = proposals.coarser(seen)[:, 0]
    down = seen[:, 0, ::2] + seen[:, 0, 1::2]
    ways = torch.stack([down[..., ::2], down[..., 1::2]])
    assert bool((found <= ways.amax(0) + 1e-5).all())
    assert bool((found >= ways.amax(0) - math.log(2) - 1e-5).all())


def test_nothing_seen_is_nothing_at_any_size() -> None:
    nothing = torch.zeros(KINDS, 5, 7)  # of odd sides
    larger = proposals.coarser(nothing)
    assert larger.shape == (KINDS, 3, 4)
    assert np.abs(larger.numpy()).max() < 1e-6
