from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import paired_euclidean_distances

from localize.evaluation import metrics

points = st.lists(
    st.tuples(*[st.floats(-1e4, 1e4, allow_nan=False)] * 4), min_size=1, max_size=20
).map(np.array)


@given(points)
def test_distance_agrees_with_scikit_learn(rows: np.ndarray) -> None:
    found, true = rows[:, :2], rows[:, 2:]
    oracle = paired_euclidean_distances(found, true)  # which subtracts first, and so is exact
    np.testing.assert_allclose(metrics.distance(found, true), oracle, rtol=1e-9, atol=1e-9)


@given(points, st.integers(1, 4000), st.integers(1, 4000))
def test_normalised_distance_by_hand(rows: np.ndarray, width: int, height: int) -> None:
    found, true = rows[:, :2], rows[:, 2:]
    sizes = np.tile([width, height], (len(rows), 1))
    for row, got in zip(rows, metrics.normalised_distance(found, true, sizes), strict=True):
        by_hand = math.hypot((row[0] - row[2]) / width, (row[1] - row[3]) / height)
        assert got == pytest.approx(by_hand, abs=1e-9)


def test_hit_rate_takes_one_radius_for_each_row() -> None:
    assert metrics.hit_rate(np.array([10.0, 10.0, np.nan]), np.array([9.0, 10.0, 99.0])) == 1 / 3


def test_bootstrap_covers_the_mean_at_about_the_nominal_rate() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        photos = np.repeat(np.arange(30), 3)
        values = rng.normal(0, 1, 30)[photos] + rng.normal(0, 0.5, 90)
        low, high = metrics.bootstrap(values, photos.tolist(), draws=500, seed=trial)
        covered += low <= 0 <= high
    assert 0.88 <= covered / 200 <= 0.98


def test_bootstrap_is_wider_when_rows_share_photos() -> None:
    values = np.repeat(np.random.default_rng(1).normal(size=20), 10)
    alone = metrics.bootstrap(values, list(range(200)))
    shared = metrics.bootstrap(values, np.repeat(np.arange(20), 10).tolist())
    assert np.diff(shared) > 2 * np.diff(alone)


def test_bootstrap_weighs_photos_by_their_rows() -> None:
    """The interval belongs to the mean over rows, not to the mean over photos."""
    values = np.array([0.0] * 99 + [1.0] * 2)
    photos = [0] * 99 + [1, 2]
    low, high = metrics.bootstrap(values, photos)
    assert low == 0
    assert high == 1.0  # a resample may hold the small photos only


def test_bootstrap_of_one_photo_has_no_interval() -> None:
    assert all(math.isnan(v) for v in metrics.bootstrap(np.arange(5.0), ["a"] * 5))


def test_bootstrap_is_seeded() -> None:
    values, photos = np.arange(20.0), list(range(20))
    assert metrics.bootstrap(values, photos) == metrics.bootstrap(values, photos)
    assert metrics.bootstrap(values, photos, seed=1) != metrics.bootstrap(values, photos)


def test_resamples_do_not_depend_on_the_size_of_chunks() -> None:
    whole = list(metrics.resamples(7, draws=50, seed=3))
    parts = list(metrics.resamples(7, draws=50, seed=3, row_size=metrics.CHUNK // 8))
    assert len(whole) == 1
    assert [len(part) for part in parts] == [8] * 6 + [2]
    np.testing.assert_array_equal(whole[0], np.concatenate(parts))
    assert (whole[0].sum(axis=1) == 7).all()


def test_intervals_leave_out_samples_without_a_value() -> None:
    low, high = metrics.interval(np.r_[np.arange(101.0), np.nan])
    assert (low, high) == pytest.approx((2.5, 97.5))
    assert all(math.isnan(v) for v in metrics.interval(np.array([np.nan])))
