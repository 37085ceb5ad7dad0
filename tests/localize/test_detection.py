from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from localize.evaluation import detection
from localize.evaluation.detection import Estimate

TIED = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=40)


def split(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores, hidden = zip(*rows, strict=True)
    return np.array(scores, float), np.array(hidden)


def oracle_f1(hidden: np.ndarray, scores: np.ndarray) -> float:
    precision, recall, _ = precision_recall_curve(hidden, scores)
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(2 * precision * recall / (precision + recall)))


def slow_aupro(maps: list[np.ndarray], masks: list[np.ndarray], limit: float = 0.3) -> float:
    """Threshold by threshold; every mask is one region. Its area by the rule of trapezia."""
    clean = np.concatenate([m[~mask] for m, mask in zip(maps, masks, strict=True)])
    regions = [m[mask] for m, mask in zip(maps, masks, strict=True) if mask.any()]
    area, rate, overlap = 0.0, 0.0, 0.0
    for level in np.unique(np.concatenate([clean, *regions]))[::-1]:
        next_rate = float((clean >= level).mean())
        next_overlap = float(np.mean([(region >= level).mean() for region in regions]))
        if next_rate > limit:
            last = overlap + (next_overlap - overlap) * (limit - rate) / (next_rate - rate)
            return (area + (limit - rate) * (overlap + last) / 2) / limit
        area += (next_rate - rate) * (overlap + next_overlap) / 2
        rate, overlap = next_rate, next_overlap
    raise AssertionError


@settings(deadline=None)
@given(TIED)
def test_presence_agrees_with_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores, hidden = split(rows)
    found = detection.image_metrics(scores, hidden, range(len(rows)), draws=3)
    if hidden.all() or not hidden.any():
        assert all(math.isnan(v) for estimate in found.values() for v in estimate)
        assert math.isnan(detection.best_f1_threshold(scores, hidden))
        return
    assert found["image_auroc"].value == pytest.approx(roc_auc_score(hidden, scores))
    assert found["average_precision"].value == pytest.approx(
        average_precision_score(hidden, scores)
    )
    assert found["best_f1"].value == pytest.approx(oracle_f1(hidden, scores))
    called = scores >= detection.best_f1_threshold(scores, hidden)
    by_hand = 2 * (called & hidden).sum() / (called.sum() + hidden.sum())
    assert by_hand == pytest.approx(found["best_f1"].value)


@settings(deadline=None)
@given(TIED)
def test_the_curve_agrees_with_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    scores, hidden = split(rows)
    if hidden.all() or not hidden.any():
        return
    expected = roc_curve(hidden, scores, drop_intermediate=False)
    false_alarm_rate, hit_rate = detection.roc(scores, hidden)
    np.testing.assert_allclose(false_alarm_rate, expected[0])
    np.testing.assert_allclose(hit_rate, expected[1])


def test_only_the_order_of_scores_counts() -> None:
    rng = np.random.default_rng(0)
    scores, hidden = rng.normal(size=60).round(1), rng.random(60) < 0.4
    photos = np.arange(60) // 3
    plain = detection.image_metrics(scores, hidden, photos)
    assert detection.image_metrics(np.exp(3 * scores), hidden, photos) == plain
    ends = np.where(scores == scores.max(), np.inf, np.where(scores < -1, -np.inf, scores))
    assert np.isfinite(detection.image_metrics(ends, hidden, photos)["image_auroc"]).all()


def test_no_answers_no_metrics() -> None:
    found = detection.image_metrics(np.empty(0), np.empty(0, bool), [])
    assert all(math.isnan(v) for estimate in found.values() for v in estimate)
    assert all(math.isnan(v) for e in detection.pixel_metrics([], []).values() for v in e)


def test_one_photo_has_no_interval() -> None:
    found = detection.image_metrics(np.arange(4.0), np.arange(4) > 1, ["a"] * 4)["image_auroc"]
    assert found.value == 1
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_the_bootstrap_is_that_of_repeated_rows() -> None:
    """A sample's weights give what scikit-learn gives for the rows written out."""
    rng = np.random.default_rng(1)
    scores, hidden = rng.integers(0, 9, 50).astype(float), rng.random(50) < 0.5
    for _ in range(20):
        weights = rng.multinomial(50, np.full(50, 1 / 50))
        levels = np.arange(9)
        clean, found = (
            np.array([(weights * of * (scores == level)).sum() for level in levels])
            for of in (~hidden, hidden)
        )
        often = np.repeat(np.arange(50), weights)
        assert detection.auroc(clean, found) == pytest.approx(
            roc_auc_score(hidden[often], scores[often])
        )
        assert detection.average_precision(clean, found) == pytest.approx(
            average_precision_score(hidden[often], scores[often])
        )
        assert detection.best_f1(clean, found) == pytest.approx(
            oracle_f1(hidden[often], scores[often])
        )


def test_intervals_cover_the_known_area_at_about_the_nominal_rate() -> None:
    """Scores N(0, 1) and N(1, 1): the area is Phi(1 / sqrt 2)."""
    true = 0.5 * (1 + math.erf(0.5))
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(200):
        hidden = np.arange(120) % 2 == 1
        scores = rng.normal(size=120) + hidden
        found = detection.image_metrics(scores, hidden, np.arange(120) // 2, draws=300)[
            "image_auroc"
        ]
        covered += found.low <= true <= found.high
    assert 0.88 <= covered / 200 <= 0.985


def test_rows_of_one_photo_widen_the_interval() -> None:
    rng = np.random.default_rng(3)
    photos = np.repeat(np.arange(20), 10)
    hidden = np.arange(200) % 2 == 1
    scores = rng.normal(size=20)[photos] * np.where(hidden, 1, -1) + 0.1 * rng.normal(size=200)
    shared = detection.image_metrics(scores, hidden, photos)["image_auroc"]
    alone = detection.image_metrics(scores, hidden, range(200))["image_auroc"]
    assert shared.value == alone.value
    assert shared.high - shared.low > 1.5 * (alone.high - alone.low)


def maps_and_masks(
    seed: int, count: int = 6, side: int = 40, digits: int = 6
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Noise that is brighter in a square; every third image is clean."""
    rng = np.random.default_rng(seed)
    maps, masks = [], []
    for i in range(count):
        mask = np.zeros((side, side), bool)
        if i % 3:
            x, y = rng.integers(2, side - 14, 2)
            mask[y : y + 4 + 2 * i, x : x + 9] = True
        strength = rng.uniform(0, 2)
        maps.append((rng.normal(size=mask.shape) + strength * mask).round(digits).astype("f4"))
        masks.append(mask)
    return maps, masks


def pixelwise(
    maps: list[np.ndarray], masks: list[np.ndarray], draws: int = 5
) -> dict[str, Estimate]:
    sketches = [detection.summarize_map(m, mask) for m, mask in zip(maps, masks, strict=True)]
    return detection.pixel_metrics(sketches, range(len(maps)), draws)


def flat(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([a.ravel() for a in arrays])


@pytest.mark.parametrize(("seed", "digits"), [(0, 6), (1, 1), (2, 0)])
def test_pixel_metrics_agree_with_slow_ones(seed: int, digits: int) -> None:
    """As binned, so within the bound that the docstring states; with many ties far below."""
    maps, masks = maps_and_masks(seed, digits=digits)
    found = pixelwise(maps, masks)
    close = 1e-5 if digits < 2 else 4e-4
    assert found["pixel_auroc"].value == pytest.approx(
        roc_auc_score(flat(masks), flat(maps)), abs=close
    )
    close = 1e-5 if digits < 2 else 1e-3
    assert found["aupro"].value == pytest.approx(slow_aupro(maps, masks), abs=close)


@pytest.mark.parametrize("scale", ["narrow", "wide", "atoms"])
def test_thinned_maps_stay_within_the_stated_bound(
    scale: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With few bins and points, so that the error is visible; for scores of different scales."""
    monkeypatch.setattr(detection, "POINTS", 64)
    monkeypatch.setattr(detection, "BINS", 32)
    auroc_bound = 2 / 64 + 1 / 64
    aupro_bound = 1 / 64 + (1 / 64 + 1 / 64) / 0.3
    for seed in range(3):
        maps, masks = maps_and_masks(seed, side=48)
        if scale == "narrow":
            maps = [20 + m / 1000 for m in maps]
        elif scale == "wide":
            maps = [np.exp(9 * m) for m in maps]
        else:
            maps = [np.maximum(m, 0.7) for m in maps]  # most pixels are at the minimum
        found = pixelwise(maps, masks)
        exact = roc_auc_score(flat(masks), flat(maps))
        assert abs(found["pixel_auroc"].value - exact) <= auroc_bound
        assert abs(found["aupro"].value - slow_aupro(maps, masks)) <= aupro_bound


def test_large_maps_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Real sizes: more pixels than are kept, of images of very different levels."""
    rng = np.random.default_rng(5)
    maps, masks = maps_and_masks(5, count=4, side=300)
    maps = [m + rng.normal() for m in maps]
    found = pixelwise(maps, masks)
    assert found["pixel_auroc"].value == pytest.approx(
        roc_auc_score(flat(masks), flat(maps)), abs=4e-4
    )
    monkeypatch.setattr(detection, "POINTS", 1 << 30)
    monkeypatch.setattr(detection, "BINS", 1 << 17)
    whole = pixelwise(maps, masks)
    assert found["aupro"].value == pytest.approx(whole["aupro"].value, abs=1e-3)
    assert whole["pixel_auroc"].value == pytest.approx(
        roc_auc_score(flat(masks), flat(maps)), abs=1e-6
    )


@settings(deadline=None)
@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=300), st.integers(1, 40))
def test_thinned_ranks_are_off_by_at_most_their_bound(values: list[float], points: int) -> None:
    array = np.array(values, "f4")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(detection, "POINTS", points)
        thin = detection.ValueQuantiles.from_values(array)
        weights = thin.weights
    assert len(thin.values) == len(weights) == min(points, len(array))
    assert weights.sum() == len(array)
    for level in array:
        exact, kept = (array >= level).mean(), weights[thin.values >= level].sum() / len(array)
        assert abs(exact - kept) <= (1 / points if len(array) > points else 0) + 1e-12


def test_regions_of_all_sizes_have_the_same_weight() -> None:
    """A small region that is found completely and a large one that is missed count equally."""
    mask = np.zeros((30, 30), bool)
    mask[2:4, 2:4] = True
    mask[10:26, 10:26] = True
    heat = np.zeros((30, 30), np.float32)
    heat[2:4, 2:4] = 1
    drawn = detection.summarize_map(heat, mask)
    assert sorted(region.count for region in drawn.regions) == [4, 256]
    found = detection.pixel_metrics([drawn], ["a"])
    # The mean overlap is 0.5 at rate 0 and rises linearly to 1 at rate 1: up to 0.3, 0.575.
    assert found["aupro"].value == pytest.approx(0.575)
    mask[4:10, 4:10] = np.eye(6, dtype=bool)
    assert len(detection.summarize_map(heat, mask).regions) == 1


def test_the_limit_may_be_one() -> None:
    clean, overlap = np.random.default_rng(4).random((2, 7, 50))
    np.testing.assert_allclose(
        detection.aupro(clean, overlap, limit=1.0), detection.auroc(clean, overlap)
    )


def test_the_worst_map_is_the_worst() -> None:
    _, masks = maps_and_masks(6)
    found = pixelwise([detection.worst_map(mask) for mask in masks], masks)
    assert found["pixel_auroc"].value == found["aupro"].value == 0
    best = pixelwise([-detection.worst_map(mask) for mask in masks], masks)
    assert best["pixel_auroc"].value == best["aupro"].value == 1


def test_pixel_intervals_hold_their_value_and_are_seeded() -> None:
    maps, masks = maps_and_masks(7, count=30)
    first, second = pixelwise(maps, masks, 200), pixelwise(maps, masks, 200)
    assert first == second
    for estimate in first.values():
        assert estimate.low < estimate.value < estimate.high
        assert estimate.high - estimate.low < 0.3


def test_maps_without_any_region_have_no_metrics() -> None:
    maps, masks = maps_and_masks(8, count=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pixelwise(maps, [np.zeros_like(mask) for mask in masks])
        everywhere = pixelwise(maps, [np.ones_like(mask) for mask in masks])
    assert all(math.isnan(v) for estimate in found.values() for v in estimate)
    assert all(math.isnan(v) for estimate in everywhere.values() for v in estimate)
