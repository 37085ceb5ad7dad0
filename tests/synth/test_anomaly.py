"""Anomalies change pixels as specified; compared with a slow oracle that handles single pixels."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth import Anomaly, InputError, apply, mask
from synth.anomaly import change

# Multiples of a quarter: the oracle's geometry is exact, as is that of binary floats.
quarters = st.integers(-16, 80).map(lambda n: n / 4)
radii = st.integers(0, 32).map(lambda n: n / 4)
ratios = st.one_of(
    st.sampled_from([0.1, 0.3, 0.5, 1.0, 1.5, 1.05, 1.1, 1.15, 2.5]),
    st.floats(0.01, 4.0, allow_nan=False),
)
images = st.builds(
    lambda height, width, seed: np.random.default_rng(seed).integers(
        0, 256, (height, width, 3), dtype=np.uint8
    ),
    st.integers(1, 14),
    st.integers(1, 14),
    st.integers(0, 2**32),
)


def anomalies(**fixed: Any) -> st.SearchStrategy[Anomaly]:
    fields: dict[str, Any] = {
        "x": st.integers(0, 13 * 4).map(lambda n: n / 4),
        "y": st.integers(0, 13 * 4).map(lambda n: n / 4),
        "r": radii,
        "discolor_ratio": ratios,
        "shape": st.sampled_from(["circle", "square"]),
        "overflow": st.sampled_from(["clip", "wrap"]),
        "rounding": st.sampled_from(["nearest", "floor"]),
    }
    return st.builds(Anomaly, **fields | fixed)


def is_inside(a: Anomaly, column: int, row: int) -> bool:
    dx, dy = abs(Fraction(column) - Fraction(a.x)), abs(Fraction(row) - Fraction(a.y))
    r = Fraction(a.r)
    return dx * dx + dy * dy <= r * r if a.shape == "circle" else dx <= r and dy <= r


def bounded(value: int, a: Anomaly) -> int:
    return value % 256 if a.overflow == "wrap" else min(value, 255)


def changed(value: int, factor: float, a: Anomaly) -> int:
    product = value * factor
    return bounded(round(product) if a.rounding == "nearest" else math.floor(product), a)


@given(anomalies(x=quarters, y=quarters), st.integers(1, 14), st.integers(1, 14))
def test_mask_is_the_stated_region(a: Anomaly, height: int, width: int) -> None:
    wanted = [[is_inside(a, i, j) for i in range(width)] for j in range(height)]
    found = mask(a, height, width)
    assert found.dtype == bool
    assert found.tolist() == wanted


@given(images, anomalies())
@settings(max_examples=150, deadline=None)
def test_apply_changes_each_pixel_as_stated(image: np.ndarray, a: Anomaly) -> None:
    before = image.copy()
    after = apply(image, a)
    assert np.array_equal(image, before)
    assert after.dtype == np.uint8
    assert after is not image
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            for value, got in zip(before[row, column], after[row, column], strict=True):
                factor = a.discolor_ratio if is_inside(a, column, row) else 1.0
                assert int(got) == changed(int(value), factor, a)


@pytest.mark.parametrize(("x", "y"), [(-10, 3), (3, -10), (20, 3), (3, 20), (-10, -10), (-3.5, 2)])
@pytest.mark.parametrize("feather", [0.0, 1.0])
def test_a_region_wholly_outside_changes_nothing(x: float, y: float, feather: float) -> None:
    image = np.full((7, 7, 3), 100, np.uint8)
    a = Anomaly(x, y, 2, 1.5, feather=feather)
    assert not mask(a, 7, 7).any()
    assert np.array_equal(apply(image, a), image)


@pytest.mark.parametrize("ratio", [0.1, 0.2, 0.3, 0.4, 0.7, 1.1, 2.2, 3.3])
def test_the_ratio_itself_is_the_factor(ratio: float) -> None:
    image = np.arange(255, dtype=np.uint8)[None, :, None].repeat(3, 2)
    after = apply(image, Anomaly(127, 0, 200, ratio, "square", "wrap", "floor"))
    assert after[0, :, 0].tolist() == [math.floor(v * ratio) % 256 for v in range(255)]


def test_ties_go_to_the_even_number() -> None:
    image = np.array([1, 3, 5, 7, 9], np.uint8)[None, :, None].repeat(3, 2)
    after = apply(image, Anomaly(2, 0, 9, 1.5, "square"))
    assert after[0, :, 0].tolist() == [2, 4, 8, 10, 14]  # of 1.5, 4.5, 7.5, 10.5, 13.5


def test_overflow_clips_or_wraps() -> None:
    image = np.array([[[200, 255, 171]]], np.uint8)
    assert apply(image, Anomaly(0, 0, 0, 1.5)).tolist() == [[[255, 255, 255]]]
    wrapped = apply(image, Anomaly(0, 0, 0, 1.5, overflow="wrap", rounding="floor"))
    assert wrapped.tolist() == [[[300 - 256, 382 - 256, 256 - 256]]]
    far = apply(image, Anomaly(0, 0, 0, 3.5, overflow="wrap", rounding="floor"))
    assert far.tolist() == [[[700 % 256, 892 % 256, 598 % 256]]]


@given(images, anomalies(rounding=st.just("stochastic")), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_stochastic_rounding_goes_up_or_down(image: np.ndarray, a: Anomaly, seed: int) -> None:
    after = apply(image, a, np.random.default_rng(seed))
    assert np.array_equal(after, apply(image, a, np.random.default_rng(seed)))
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            for value, got in zip(image[row, column], after[row, column], strict=True):
                product = int(value) * (a.discolor_ratio if is_inside(a, column, row) else 1.0)
                choices = {math.floor(product - 1e-9), math.ceil(product + 1e-9)}
                choices |= {math.floor(product), math.ceil(product)}
                assert int(got) in {bounded(choice, a) for choice in choices}


@pytest.mark.parametrize(("value", "ratio"), [(100, 1.037), (201, 1.1), (3, 0.95), (50, 1.004)])
def test_stochastic_rounding_keeps_the_mean(value: int, ratio: float) -> None:
    image = np.full((120, 120, 3), value, np.uint8)
    a = Anomaly(60, 60, 500, ratio, "square", rounding="stochastic")
    after = apply(image, a, np.random.default_rng(5))
    error = 0.5 / math.sqrt(after.size)  # standard deviation of the mean, at most
    assert after.mean() == pytest.approx(value * ratio, abs=5 * error)
    channels = after.reshape(-1, 3)
    assert not np.array_equal(channels[:, 0], channels[:, 1])  # each value draws for itself


@given(images, anomalies(feather=st.sampled_from([0.5, 1.0, 3.0, 7.0])))
@settings(max_examples=100, deadline=None)
def test_feather_fades_the_change(image: np.ndarray, a: Anomaly) -> None:
    after = apply(image, a)
    region = mask(a, *image.shape[:2])
    for row in range(image.shape[0]):
        for column in range(image.shape[1]):
            dx, dy = abs(column - a.x), abs(row - a.y)
            distance = math.sqrt(dx * dx + dy * dy) if a.shape == "circle" else max(dx, dy)
            weight = min(1.0, max(0.0, (a.r - distance) / a.feather + 0.5))
            if abs(weight - 0.5) > 1e-9:
                assert region[row, column] == (weight > 0.5)
            factor = 1 + (a.discolor_ratio - 1) * weight
            for value, got in zip(image[row, column], after[row, column], strict=True):
                if weight == 0:
                    assert got == value
                    continue
                # A product within rounding error of a tie or of a whole number may go either way.
                near = {changed(int(value), factor + e, a) for e in (-1e-12, 0, 1e-12)}
                assert int(got) in near


def test_feather_is_half_at_the_radius_and_gone_beyond_reach() -> None:
    image = np.full((1, 41, 3), 100, np.uint8)
    a = Anomaly(20, 0, 10, 2.0, feather=8)
    assert a.reach == 14
    row = apply(image, a)[0, :, 0]
    assert row[20 + 6] == 200
    assert row[20 + 10] == 150
    assert row[20 + 13] == round(100 * (1 + 0.125))
    assert row[20 + 14] == 100
    assert np.array_equal(row, row[::-1])


@given(images, anomalies(feather=st.sampled_from([0.0, 0.0, 2.0])))
@settings(max_examples=100, deadline=None)
def test_effect_measures_what_happened(image: np.ndarray, a: Anomaly) -> None:
    after, effect = change(image, a)
    assert np.array_equal(after, apply(image, a))
    region = mask(a, *image.shape[:2])
    before_sum = after_sum = over = count = 0
    for row, column in zip(*np.nonzero(region), strict=True):
        dx, dy = abs(column - a.x), abs(row - a.y)
        distance = math.sqrt(dx * dx + dy * dy) if a.shape == "circle" else max(dx, dy)
        weight = min(1.0, (a.r - distance) / a.feather + 0.5) if a.feather else 1.0
        factor = a.discolor_ratio if weight == 1 else 1 + (a.discolor_ratio - 1) * weight
        for channel in range(3):
            value = int(image[row, column, channel])
            product = value * factor
            over += (round(product) if a.rounding == "nearest" else math.floor(product)) > 255
            before_sum += value
            after_sum += int(after[row, column, channel])
            count += 1
    assert effect.clipped_fraction == pytest.approx(over / count if count else 0)
    assert effect.realised_ratio == pytest.approx(after_sum / before_sum if before_sum else 1)


def test_effect_of_a_black_region_is_nothing() -> None:
    _, effect = change(np.zeros((5, 5, 3), np.uint8), Anomaly(2, 2, 1, 1.5))
    assert (effect.clipped_fraction, effect.realised_ratio) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("x", "y", "r", "feather", "fits"),
    [
        (4.5, 3, 3, 0, True),
        (3, 3, 3, 0, True),
        (2.99, 3, 3, 0, False),
        (6, 3, 3, 0, True),
        (6.01, 3, 3, 0, False),
        (4.5, 3.01, 3, 0, False),
        (4.5, 3, 2, 2, True),
        (4.5, 3, 2, 2.01, False),
        (0, 0, 0, 0, True),
        (9, 6, 0, 0, True),
        (9, 6.5, 0, 0, False),
    ],
)
def test_fits(x: float, y: float, r: float, feather: float, fits: bool) -> None:
    assert Anomaly(x, y, r, 1.1, feather=feather).fits(10, 7) is fits


@given(anomalies(x=quarters, y=quarters), st.integers(1, 14), st.integers(1, 14))
def test_regions_that_fit_have_all_their_pixels(a: Anomaly, height: int, width: int) -> None:
    if a.fits(width, height):
        pad = 12
        moved = Anomaly(a.x + pad, a.y + pad, a.r, a.discolor_ratio, a.shape)
        whole = mask(moved, height + 2 * pad, width + 2 * pad)
        assert mask(a, height, width).sum() == whole.sum()


def test_a_non_contiguous_view_is_fine() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    a = Anomaly(3, 4, 2, 1.3)
    view = image[::-1, ::2]
    assert np.array_equal(apply(view, a), apply(np.ascontiguousarray(view), a))
    image.flags.writeable = False
    apply(image, a)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"x": math.nan}, "x is nan"),
        ({"y": math.inf}, "y is inf"),
        ({"r": -1}, "r = -1"),
        ({"feather": -0.5}, "feather = -0.5"),
        ({"feather": math.nan}, "feather is nan"),
        ({"discolor_ratio": 0}, "discolor_ratio = 0"),
        ({"discolor_ratio": -1.1}, "discolor_ratio = -1.1"),
        ({"shape": "disc"}, "shape 'disc'"),
        ({"overflow": "neon"}, "overflow 'neon'"),
        ({"rounding": "up"}, "rounding 'up'"),
    ],
)
def test_impossible_anomalies_are_refused(fields: dict[str, Any], word: str) -> None:
    good = {"x": 1, "y": 1, "r": 1, "discolor_ratio": 1.1}
    with pytest.raises(InputError, match=word):
        Anomaly(**good | fields)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((5, 5), np.uint8),
        np.zeros((5, 5, 4), np.uint8),
        np.zeros((5, 5, 3), np.float32),
        np.zeros((1, 5, 5, 3), np.uint8),
    ],
)
def test_only_rgb_bytes_are_taken(image: np.ndarray) -> None:
    with pytest.raises(InputError, match="uint8"):
        apply(image, Anomaly(2, 2, 1, 1.1))


def test_stochastic_rounding_asks_for_its_generator() -> None:
    with pytest.raises(InputError, match="rng"):
        apply(np.zeros((5, 5, 3), np.uint8), Anomaly(2, 2, 1, 1.1, rounding="stochastic"))
