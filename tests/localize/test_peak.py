"""The maximum of a map: the exact centre of a mask, for any values, shape and position."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from localize.evaluation.validity import FLAT, has_no_place, validate
from localize.external import caller
from localize.external.function import to_finding
from localize.methods.peak import TOLERANCE, blob_centroid, peak, plateau, resize_place
from synth import Anomaly, anomaly

SHAPE = (60, 80)
places = st.tuples(st.floats(20, 59), st.floats(20, 39))
radii = st.floats(1, 18)
shapes = st.sampled_from(["circle", "square"])


def disc(place: tuple[float, float], r: float, shape: str = "circle") -> np.ndarray:
    region = Anomaly(*place, r=r, discolor_ratio=1.1, shape=shape)  # type: ignore[arg-type]
    return anomaly.mask(region, *SHAPE)


def place_of(map: np.ndarray) -> tuple[float, float]:
    answer = peak(map)
    assert answer is not None
    return answer


@given(places, radii, shapes)
def test_the_peak_of_a_mask_is_its_centre(place: tuple[float, float], r: float, shape: str) -> None:
    assert place_of(disc(place, r, shape)) == pytest.approx(place, abs=0.5)


@pytest.mark.parametrize(
    "form",
    [
        lambda mask: mask.astype(np.uint8) * 255,
        lambda mask: mask.astype(np.float16),
        lambda mask: mask.astype(np.int64) - 7,
        lambda mask: np.where(mask, -1e-9, -4.0),
        lambda mask: np.where(mask, np.inf, -np.inf),
        lambda mask: np.where(mask, np.float32(3e38), np.float32(-3e38)),
        lambda mask: np.clip(3 * cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2), 0, 1),
    ],
)
def test_the_kind_of_numbers_does_not_matter(form: Callable[[np.ndarray], np.ndarray]) -> None:
    assert place_of(form(disc((31.5, 24.0), 9.0))) == pytest.approx((31.5, 24.0), abs=1e-6)


@given(places, radii, st.integers(0, 2**32 - 1), st.sampled_from([1e-5, 1.0, 3e7]))
def test_rounding_noise_does_not_matter(
    place: tuple[float, float], r: float, seed: int, size: float
) -> None:
    mask = disc(place, r)
    noise = np.random.default_rng(seed).uniform(-1, 1, SHAPE)
    noisy = (size * (mask + 1e-6 * noise)).astype(np.float32)
    assert place_of(noisy) == place_of(mask)


def test_a_difference_of_one_level_of_16_bits_matters() -> None:
    map = np.full(SHAPE, 65534, np.uint16)
    map[7, 9] = 65535
    assert place_of(map) == place_of(map.astype(np.float32)) == (9, 7)


levels = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(0, 6, (12, 15))
)


@given(levels, st.floats(1e-3, 1e3))
def test_scaling_that_keeps_the_order_changes_nothing(map: np.ndarray, factor: float) -> None:
    where = peak(map)
    assert peak(map * factor) == where
    assert peak(np.exp(map.astype(np.float32))) == where
    assert peak(np.sqrt(map) - 100) == where


@given(levels, st.integers(0, 9), st.integers(0, 9))
def test_the_peak_moves_with_the_contents_of_the_map(map: np.ndarray, dx: int, dy: int) -> None:
    canvas = np.full((24, 27), -1)
    still, moved = canvas.copy(), canvas.copy()
    still[1:13, 1:16] = map
    moved[1 + dy : 13 + dy, 1 + dx : 16 + dx] = map
    assert place_of(moved) == pytest.approx(np.add(place_of(still), (dx, dy)))


def test_the_largest_component_counts_then_the_highest_then_the_first() -> None:
    map = np.zeros(SHAPE)
    map[5, 5], map[50, 60:63] = 1, 1
    assert place_of(map) == (61, 50)
    map[51, 63:65] = 1  # touches at a corner
    assert place_of(map)[0] == 62
    map[5, 5:10] = 1
    assert place_of(map) == (7, 5)
    map[50, 60] += TOLERANCE / 2
    assert place_of(map)[1] > 50


def test_the_centre_of_a_ring_is_not_on_it() -> None:
    ring = disc((40, 30), 15) & ~disc((40, 30), 11)
    assert place_of(ring) == (40, 30)
    assert not ring[30, 40]


@pytest.mark.parametrize("value", [0, 255, 0.25, np.inf, -np.inf])
def test_a_flat_map_has_no_peak(value: float) -> None:
    map = np.full(SHAPE, value)
    assert peak(map) is None
    assert plateau(map) is None
    assert blob_centroid(map) is None


@given(places, radii)
def test_the_centroid_of_the_blob_is_the_same_for_a_mask(
    place: tuple[float, float], r: float
) -> None:
    mask = disc(place, r)
    answer = blob_centroid(mask.astype(np.float32))
    assert answer == pytest.approx(place_of(mask), abs=1e-6)


def test_a_smaller_map_is_mapped_back() -> None:
    small = cv2.resize(
        disc((41.5, 29.5), 16).astype(np.float32), (40, 30), interpolation=cv2.INTER_AREA
    )
    answer = to_finding(caller.to_message(small, SHAPE), SHAPE)
    assert (answer.x, answer.y) == pytest.approx((41.5, 29.5), abs=0.5)
    assert (answer.x, answer.y) == pytest.approx(resize_place(place_of(small), (30, 40), SHAPE))
    assert answer.map is not None
    assert answer.map.shape == SHAPE
    assert answer.score == 1


@pytest.mark.parametrize("shape", [(2, 1), (1, 2), (7, 9), (30, 41 - 4), (61, 80), (120, 160)])
def test_another_shape_is_no_map(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="the image"):
        caller.to_message(np.zeros(shape), SHAPE)


def test_a_flat_map_has_a_score_and_no_position() -> None:
    answer = to_finding(caller.to_message(np.full(SHAPE, 0.5), SHAPE), SHAPE)
    assert has_no_place(answer)
    finding, reason = validate(answer)
    assert (finding.score, reason) == (0.5, FLAT)


def test_numbers_that_float32_cannot_hold_are_no_map() -> None:
    with pytest.raises(ValueError, match="1e\\+305"):
        caller.to_message(disc((40, 30), 9) * 1e305, SHAPE)
    assert np.isinf(caller.to_message(np.where(disc((40, 30), 9), np.inf, 0.0), SHAPE)["score"])
