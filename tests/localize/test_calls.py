"""Calls: thresholds set on clean pictures of other photos, and the rates of false calls."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from localize import comparison, external_predictions
from localize.cli import tables
from localize.data.folder import Folder
from localize.evaluation import call_scores, calls
from localize.evaluation.calibration import clopper_pearson_interval, effective_count
from localize.evaluation.results import Comparison
from localize.evaluation.scoring import SCORES as SCORES_OF_A_METHOD
from localize.evaluation.seeds import merge_seeds
from localize.sharpness import adaptive, trial_calls
from localize.sharpness.design import Design, grid_trials
from synth import InputError

NAMES = [f"{i}.jpg" for i in range(11)]
SCORES = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=60)


@given(SCORES, st.floats(0.001, 0.999))
def test_a_threshold_is_the_smallest_score_that_few_enough_reach(
    clean: list[float], rate: float
) -> None:
    values = np.array(clean)
    found = calls.call_threshold(values, rate)
    allowed = math.floor(rate * len(values) + 1e-9)
    assert (values >= found).sum() <= allowed
    for lower in values[values < found]:
        assert (values >= lower).sum() > allowed


def test_decimal_rates_count_as_written() -> None:
    assert (np.arange(100.0) >= calls.call_threshold(np.arange(100.0), 0.29)).sum() == 29
    assert calls.clean_needed(0.05) == 20


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(0, 7))
def test_the_threshold_of_a_photo_does_not_depend_on_its_own_scores(seed: int, chosen: int) -> None:
    rng = np.random.default_rng(seed)
    photo = np.repeat(np.arange(8), 12)
    clean = np.tile(np.arange(12) < 6, 8)
    scores = rng.normal(size=96)
    own = photo == chosen
    other = np.where(own & clean, 10 * rng.normal(size=96), scores)
    before, after = (calls.cross_fit(each, clean, photo.tolist(), 0.1) for each in (scores, other))
    assert (before.call[own & ~clean] == after.call[own & ~clean]).all()
    assert before.reason == after.reason == ""


@pytest.mark.parametrize(("spread", "most"), [(0.0, 0.05), (1.0, 0.053)])
def test_the_rate_of_false_calls_on_fresh_photos(spread: float, most: float) -> None:
    """60 photos with 5 clean pictures each; of independent pictures it is at most the wanted one.

    If the pictures of a photo are alike (half of the variance), it is a little more.
    """
    rng, wanted, fresh, measured = np.random.default_rng(1), 0.05, [], []
    photos = np.repeat(np.arange(60), 5)

    def draw() -> np.ndarray:
        return spread * rng.normal(size=60)[photos] + rng.normal(size=300)

    for _ in range(200):
        scores = draw()
        found = calls.cross_fit(scores, np.ones(300, bool), photos.tolist(), wanted)
        measured.append(found.false_calls / found.clean)
        fresh.append((draw() >= found.threshold).mean())
    for rates in (fresh, measured):
        error = np.std(rates) / math.sqrt(len(rates))
        assert wanted - 0.01 < np.mean(rates) < most + 2 * error


def test_without_cross_fitting_the_measured_rate_is_too_low() -> None:
    """Four photos, each with a level of its own: a photo's own scores decide its threshold."""
    rng, photos = np.random.default_rng(2), np.repeat(np.arange(4), 30)
    fitted, own = [], []
    for _ in range(100):
        scores = 3 * rng.normal(size=4)[photos] + rng.normal(size=120)
        found = calls.cross_fit(scores, np.ones(120, bool), photos.tolist(), 0.05)
        fitted.append(found.false_calls / 120)
        own.append((scores >= found.threshold).mean())
    assert np.mean(own) <= 0.05
    assert np.mean(fitted) > 0.1  # so much more often a new photo is called


@pytest.mark.parametrize(
    ("score", "clean", "reason"),
    [
        (math.nan, 30, calls.NO_SCORE),
        (1.0, 0, calls.NO_CLEAN),
        (1.0, 4, "3 clean pictures of other photos are too few: a rate of 0.1 needs 10"),
        (1.0, 30, ""),
    ],
)
def test_a_method_without_calls_has_a_reason(score: float, clean: int, reason: str) -> None:
    scores = np.full(40, score)
    photos = [i % 5 for i in range(40)]
    found = calls.cross_fit(scores, np.arange(40) < clean, photos, 0.1)
    assert found.reason == reason
    row = found.row("m", 0.1)
    assert row["reason"] == reason
    assert math.isnan(row["threshold"]) == bool(reason)
    if not reason:  # all scores are equal, so that none is called
        assert row["rate"] == 0
        assert not found.call.any()


def test_a_clean_picture_without_a_score_is_a_false_call() -> None:
    scores = np.arange(60.0)
    scores[[3, 40]] = math.nan
    clean = np.arange(60) < 40
    found = calls.cross_fit(scores, clean, [i % 10 for i in range(60)], 0.1)
    assert found.call[3]
    assert not found.call[40]
    scores[:10] = math.nan
    found = calls.cross_fit(scores, clean, [i % 10 for i in range(60)], 0.1)
    assert found.reason == "10 of 40 clean pictures have no score"


@pytest.mark.parametrize(("hits", "count"), [(0, 20), (3, 50), (20, 20)])
def test_the_exact_interval(hits: int, count: int) -> None:
    expected = stats.binomtest(hits, count).proportion_ci(0.95, method="exact")
    assert clopper_pearson_interval(hits, count) == pytest.approx((expected.low, expected.high))


def test_alike_pictures_count_as_fewer_independent_ones() -> None:
    groups = np.repeat(np.arange(8), 5).tolist()
    alike = np.repeat([0, 1, 0, 0, 1, 0, 1, 0], 5)
    assert effective_count(alike, groups) < 8 <= effective_count(alike[::-1], range(40))
    rng = np.random.default_rng(3)
    many = (rng.random(4000) < 0.1).astype(int)
    assert effective_count(many, np.repeat(np.arange(1000), 4).tolist()) > 3400
    assert effective_count(np.zeros(40), groups) == effective_count(np.ones(40), groups) == 40
    assert effective_count(alike, ["one photo"] * 40) == 40


@settings(deadline=None, max_examples=50)
@given(st.lists(st.booleans(), min_size=20, max_size=20), st.integers(2, 10))
def test_the_interval_is_never_narrower_than_for_independent_pictures(
    yes: list[bool], photos: int
) -> None:
    values = np.array(yes)
    count = effective_count(values, (np.arange(20) % photos).tolist())
    assert 0 < count <= 20
    own = clopper_pearson_interval(values.mean() * count, count)
    exact = clopper_pearson_interval(int(values.sum()), 20)
    assert own[0] <= exact[0] + 1e-12
    assert own[1] >= exact[1] - 1e-12


def test_the_interval_holds_the_rate_where_photos_differ() -> None:
    """16 photos with 8 clean pictures each; the level of the photo is half of the variance."""
    rng, photo = np.random.default_rng(4), np.repeat(np.arange(16), 8)
    held = []
    for _ in range(400):
        scores = math.sqrt(0.5) * (rng.normal(size=16)[photo] + rng.normal(size=128))
        call = scores >= stats.norm.ppf(0.9)
        ends = [
            clopper_pearson_interval(call.mean() * count, count)
            for count in (effective_count(call, photo.tolist()), 128)
        ]
        held.append([low <= 0.1 <= high for low, high in ends])
    for_alike, for_independent = np.mean(held, axis=0)
    assert for_alike >= 0.92
    assert for_independent < 0.86


DESIGN = Design(ratios=(1.1, 1.5), radii=(10.0, 16.0), per_cell=2, size=(64, 64), false_calls=0.05)


@pytest.mark.parametrize("design", [DESIGN, replace(DESIGN, adaptive=60)], ids=["grid", "adaptive"])
def test_a_rate_too_fine_is_refused_with_the_number_that_is_enough(design: Design) -> None:
    with pytest.raises(InputError, match=r"needs 20 clean trials .*: pass --clean \d+") as error:
        trial_calls.check(design, NAMES)
    enough = int(str(error.value).split("--clean ")[1].split(",")[0])
    trial_calls.check(replace(design, clean=enough), NAMES)
    with pytest.raises(InputError, match=f"--clean {enough},"):
        trial_calls.check(replace(design, clean=enough - 1), NAMES)


def test_whole_photos_are_one_clean_picture_each() -> None:
    with pytest.raises(InputError, match="give --size WxH, or more photos"):
        trial_calls.check(replace(DESIGN, size="keep", clean=500), NAMES)
    with pytest.raises(InputError, match="2 photos or more"):
        trial_calls.check(DESIGN, NAMES[:1])


def test_further_clean_trials_leave_the_others_as_they_are() -> None:
    plain, more = (
        grid_trials(replace(DESIGN, false_calls=None, clean=clean), NAMES) for clean in (0, 41)
    )
    places = [
        {(t.photo, t.side, t.ratio, t.r, t.place) for t in trials} for trials in (plain, more)
    ]
    assert places[0] < places[1]
    clean = [trial for trial in more if trial.side == "none"]
    assert len(clean) == 41
    assert all(trial.told_ratio is None for trial in more)
    told = [t.told_ratio for t in grid_trials(replace(DESIGN, clean=200), NAMES)]
    assert set(told) == {None, 1.1, 1.5, round(1 / 1.1, 6), round(1 / 1.5, 6)}
    adaptive_design = replace(DESIGN, adaptive=60, clean=41)
    assert adaptive.trial_count(adaptive_design) == 60 + 41 - 8
    assert "clean" not in replace(DESIGN, false_calls=None).to_dict()


def compared() -> Comparison:
    """A comparison of a method with scores and of one without."""
    photos = [f"{i % 10}" for i in range(40)]
    images = {"photo": photos, "r": 20.0, "distance": np.where(np.arange(40) < 20, 9.0, 11.0)}
    predictions = pd.concat([
        pd.DataFrame(images | {"method": "good", "score": np.where(np.arange(40) % 2, 9.0, 0.5)}),
        pd.DataFrame(images | {"method": "mute", "score": np.nan}),
    ])  # fmt: skip
    clean = pd.DataFrame({"method": "good", "photo": photos, "score": np.linspace(0, 1, 40)})
    empty = pd.DataFrame()
    scores = pd.DataFrame({"method": ["good", "mute"], "n": 40, "hit@5": 0.0})
    return Comparison(predictions, clean, scores, empty, empty, empty, Path())


def test_scores_of_a_comparison() -> None:
    assert call_scores.add(compared(), None).scores.equals(compared().scores)
    result = call_scores.require(call_scores.add(compared(), 0.1))
    good, mute = result.scores.to_dict("records")
    assert good["detected"] == 0.25  # half of the images have the right place, half a call
    assert good["called"] == 0.5
    assert good["false_calls_low"] <= good["false_calls"] <= 0.15
    assert 0.9 <= good["call_threshold"] <= 1
    assert math.isnan(mute["detected"])
    assert result.false_calls["reason"].tolist() == ["", calls.NO_SCORE]
    with pytest.raises(InputError, match="good: 32 clean pictures of other photos are too few"):
        call_scores.require(call_scores.add(compared(), 0.01))


def test_each_seed_has_a_threshold_and_a_rate_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two trainings of one method, whose scores have other scales."""
    result = compared()
    good = result.predictions[result.predictions["method"] == "good"]
    good = good.assign(normalised_distance=0.1)
    images, clean = (
        pd.concat([
            table.assign(method=f"good seed {k}", score=factor * table["score"])
            for k, factor in enumerate((1.0, 100.0))
        ])
        for table in (good, result.clean)
    )  # fmt: skip
    rows = [{"method": f"good seed {k}", "n": 40, "hit@5": 0.0, "note": ""} for k in (0, 1)]
    scores = pd.DataFrame(rows).reindex(columns=list(SCORES_OF_A_METHOD)).fillna({"note": ""})
    none = pd.DataFrame({"method": []})
    result = replace(
        result, predictions=images, clean=clean, scores=scores, history=none, last=none
    )
    merged = merge_seeds(
        call_scores.add(result, 0.1), {f"good seed {k}": ("good", k) for k in (0, 1)}
    )  # fmt: skip
    (row,) = merged.scores.to_dict("records")
    assert (row["method"], row["detected"], row["called"]) == ("good", 0.25, 0.5)
    assert merged.false_calls[["method", "seed"]].to_numpy().tolist() == [["good", 0], ["good", 1]]
    low, high = merged.false_calls["threshold"]
    assert high == pytest.approx(100 * low)
    tables.print_calls(merged.false_calls)
    assert "good seed 1" in capsys.readouterr().out
    shares = call_scores.by_image(
        merged.predictions.assign(file_name=merged.predictions.index), merged.clean, 0.1
    )  # fmt: skip
    assert shares["detected"].mean() == 0.25


def test_images_and_methods_without_a_place_are_called_but_not_detected() -> None:
    result = compared()
    unplaced = result.predictions.index % 4 >= 2  # of each 4 images, 2 without a place
    result.predictions.loc[unplaced, ["r", "distance"]] = np.nan
    row = call_scores.add(result, 0.1).scores.iloc[0]
    assert (row["called"], row["detected"]) == (0.5, 0.25)
    no_places = result.scores.assign(**{"hit@5": np.nan})
    row = call_scores.add(replace(result, scores=no_places), 0.1).scores.iloc[0]
    assert row["called"] == 0.5
    assert math.isnan(row["detected"])


def test_a_split_with_too_few_clean_images_is_refused(small_set: Path, tmp_path: Path) -> None:
    assert call_scores.option(Folder(small_set), None) == {}
    for rate, message in ((0.001, "needs 1000 clean images"), (5, "give a share above 0")):
        with pytest.raises(InputError, match=message):
            comparison.evaluate(["centre"], small_set, tmp_path / "out", false_calls=rate)
    assert not list(tmp_path.iterdir())


def test_score_reports_calls(small_set: Path, tmp_path: Path) -> None:
    source = Folder(small_set)
    table = source.table[["file_name"]].assign(
        x_pred=source.table["x"], y_pred=source.table["y"], score=2.0
    )
    names = [each.name for each in source.negatives(told=True)]
    table = pd.concat([table, pd.DataFrame({"file_name": names, "score": 1.0})])
    table.to_csv(tmp_path / "mine.csv", index=False)
    options: dict[str, Any] = {"split": "all", "false_calls": 0.2}
    result = external_predictions.score(
        tmp_path / "mine.csv", small_set, tmp_path / "out", **options
    )
    row = result.scores.set_index("method").loc["mine"]
    assert (row["detected"], row["false_calls"]) == (1, 0)
    assert 1 < row["call_threshold"] < 2
    written = pd.read_csv(tmp_path / "out" / "false_calls.csv").set_index("method")
    assert tuple(written.reset_index().columns) == calls.COLUMNS
    assert written.loc["centre", "reason"] == calls.NO_SCORE
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "false calls" in text
    assert "--false-calls 0.2" in text
