"""The psychometric curve, its threshold, the adaptive mode: on simulated observers."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

from localize.sharpness import adaptive, luminance, paired, psychometric, thresholds
from localize.sharpness.design import Design, Trial, log_grid
from localize.sharpness.psychometric import Curve

RATIOS = log_grid(1.01, 1.35, 8)
STEPS = np.r_[0.0, np.log(RATIOS)]
CURVES: tuple[Curve, ...] = ("weibull", "logistic")


def hit_rate(
    x: Any, guess: Any, lapse: float, middle: Any, slope: float, curve: Curve
) -> np.ndarray:
    """A second implementation of the psychometric curve, in the form of textbooks."""
    with np.errstate(divide="ignore"):
        strength = (np.asarray(x, float) / middle) ** slope
    rise = 1 - np.exp(-np.log(2) * strength) if curve == "weibull" else strength / (1 + strength)
    return guess + (1 - guess - lapse) * rise


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize(
    "truth",
    [(0.02, 0.01, 0.03, 2.0), (0.0, 0.04, 0.08, 1.0), (0.1, 0.02, 0.05, 4.0)],
    ids=["plain", "shallow", "steep"],
)
def test_known_curves_are_recovered(curve: Curve, truth: tuple[float, float, float, float]) -> None:
    rng = np.random.default_rng(1)
    n = np.full((200, len(STEPS)), 2000)
    fits = psychometric.fit(STEPS, n, rng.binomial(n, hit_rate(STEPS, *truth, curve)), curve)
    guess, _, middle, slope = truth
    assert np.median(fits.guess) == pytest.approx(guess, abs=0.002)
    assert np.median(fits.threshold) == pytest.approx(middle, rel=0.02)
    assert np.median(fits.slope) == pytest.approx(slope, rel=0.03)
    assert np.all((fits.lapse >= 0) & (fits.lapse <= 0.05))
    assert np.quantile(np.abs(np.log(fits.threshold / middle)), 0.95) < 0.15


@pytest.mark.parametrize("curve", CURVES)
def test_no_other_optimiser_finds_a_likelier_curve(curve: Curve) -> None:
    rng = np.random.default_rng(2)
    low = (np.log(STEPS[1]) - psychometric.THRESHOLD_MARGIN, np.log(0.3), 0.0)
    high = (np.log(STEPS[-1]) + psychometric.THRESHOLD_MARGIN, np.log(20), 0.05)
    for _ in range(6):
        truth = rng.uniform(0, 0.1), rng.uniform(0, 0.05), rng.uniform(0.02, 0.15)
        n = rng.integers(10, 100, len(STEPS))
        hits = rng.binomial(n, hit_rate(STEPS, *truth, rng.uniform(0.8, 5), curve))

        def loss(theta: np.ndarray, n: np.ndarray = n, hits: np.ndarray = hits) -> float:
            rates = hit_rate(
                STEPS, hits[0] / n[0], theta[2], np.exp(theta[0]), np.exp(theta[1]), curve
            )
            rates = np.clip(rates, 1e-9, 1 - 1e-9)
            return -float((hits * np.log(rates) + (n - hits) * np.log1p(-rates)).sum())

        starts = [(m, s, 0.02) for m in np.log([0.01, 0.05, 0.3]) for s in (0.0, 1.0)]
        bounds = list(zip(low, high, strict=True))
        best = min(
            (optimize.minimize(loss, start, bounds=bounds) for start in starts),
            key=lambda found: float(found.fun),
        )
        ours = psychometric.fit(STEPS, n[None], hits[None], curve)
        assert float(-ours.log_likelihood[0]) <= best.fun + 1e-5
        assert -ours.log_likelihood[0] == pytest.approx(
            loss(np.array([np.log(ours.threshold[0]), np.log(ours.slope[0]), ours.lapse[0]]))
        )
        if best.x[0] < high[0] - 0.1:  # else the likelihood is flat there
            assert np.log(ours.threshold[0]) == pytest.approx(best.x[0], abs=0.01)


def observer(
    rng: np.random.Generator, middle: float | None, *, spread: float = 0.0, photos: int = 24,
    guess: float = 0.03, repeats: int = 3,
) -> pd.DataFrame:  # fmt: skip
    """Trials of a simulated method; photos differ in threshold by ``spread`` (in logs).

    They also differ in how often luck hits.
    """
    steps = np.tile(STEPS.repeat(repeats), photos)
    photo = np.arange(photos).repeat(len(STEPS) * repeats)
    own = (middle or 1e9) * np.exp(spread * rng.standard_normal(photos))[photo]
    luck = guess * rng.uniform(0, 2, photos)[photo]
    chances = hit_rate(steps, luck, 0.0 if middle is None else 0.02, own, 2.0, "weibull")
    return pd.DataFrame({
        "method": "m", "photo": photo.astype(str), "discolor_ratio": np.exp(steps), "r": 20.0,
        "side": np.where(steps > 0, "brighter", "none"), "x": rng.uniform(size=len(steps)),
        "y": 9.0, "brightness": 128.0, "texture": 5.0, "codec": "png", "quality": np.nan,
        "rounding": "nearest", "feather": 0.0,
        "hit": (rng.random(len(steps)) < chances).astype(int),
    })  # fmt: skip


def test_intervals_hold_the_threshold_where_photos_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are over photos: over trials they would be half as wide and miss it often."""
    monkeypatch.setattr(thresholds, "DRAWS", 300)
    rng = np.random.default_rng(3)
    normal = np.linspace(-3, 3, 61)
    weights = np.exp(-(normal**2) / 2)
    rates = hit_rate(STEPS[:, None], 0.03, 0.02, 0.05 * np.exp(0.6 * normal), 2.0, "weibull")
    many = np.full((1, len(STEPS)), 1_000_000)
    mean = np.average(rates, axis=1, weights=weights)
    truth = np.exp(psychometric.fit(STEPS, many, (many * mean).round()).threshold[0])
    found = [
        thresholds.fit_threshold(observer(rng, 0.05, spread=0.6), "brighter") for _ in range(30)
    ]
    held = [row["threshold_low"] <= truth <= row["threshold_high"] for row in found]
    assert np.mean(held) >= 0.85
    for row in found:
        assert row["threshold_low"] < row["threshold"] < row["threshold_high"]
        assert row["slope_low"] <= row["slope"] <= row["slope_high"]
        assert row["contrast_low"] < row["contrast_percent"] < row["contrast_high"]


def test_hit_rates_at_chance_have_no_threshold() -> None:
    rng = np.random.default_rng(4)
    verdicts = [
        thresholds.fit_threshold(observer(rng, None, guess=g), "brighter")["verdict"]
        for g in np.linspace(0.0, 0.5, 50)
    ]
    assert "" not in verdicts
    assert verdicts.count("no threshold") >= 48


def falling(rng: np.random.Generator, highest: float = 0.95) -> pd.DataFrame:
    """Trials whose hit rate rises to ``highest`` and falls to chance at the two largest steps."""
    trials = observer(rng, 0.04)
    step = np.log(trials["discolor_ratio"])
    largest = step > np.unique(STEPS)[-3] + 1e-6
    hit = np.where(largest, rng.random(len(trials)) < 0.05, trials["hit"])
    return trials.assign(hit=(hit * (rng.random(len(trials)) < highest)).astype(int))


def test_a_hit_rate_that_falls_again_is_fitted_up_to_its_peak() -> None:
    rng = np.random.default_rng(11)
    trials = falling(rng)
    row = thresholds.fit_threshold(trials, "brighter")
    assert row["verdict"] == ""
    assert np.log(row["rises_to"]) == pytest.approx(np.unique(STEPS)[-3], abs=1e-4)
    rising = trials[trials["discolor_ratio"] <= row["rises_to"] * 1.0001]
    assert row["threshold"] == thresholds.fit_threshold(rising, "brighter")["threshold"]
    assert row["n"] == len(trials)
    rates = thresholds.band(trials, np.unique(STEPS)[1:], "weibull", 0.0)
    assert np.isnan(rates[:, -2:]).all()
    assert np.isfinite(rates[:, :-2]).all()
    faint = thresholds.fit_threshold(falling(rng, highest=0.3), "brighter")
    assert (faint["verdict"], "threshold" in faint) == ("falls before the threshold", False)


def test_a_hit_rate_that_rises_is_hardly_ever_said_to_fall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(thresholds, "DRAWS", 2)  # of the intervals, which are not looked at
    rng = np.random.default_rng(12)
    rows = [
        thresholds.fit_threshold(observer(rng, middle), "brighter")
        for middle in (0.02, 0.05, 0.1, None)
        for _ in range(25)
    ]
    assert sum("rises_to" in row for row in rows) <= 2


def test_a_clear_rise_shows_in_two_trials_a_photo() -> None:
    """The adaptive mode runs few trials per photo for a slow method."""
    few = observer(np.random.default_rng(9), 0.08).groupby("photo").sample(2, random_state=9)
    assert thresholds.fit_threshold(few, "brighter")["verdict"] == ""
    misses = few.assign(hit=0)
    assert thresholds.fit_threshold(misses, "brighter")["verdict"] == "no threshold"
    assert thresholds.fit_threshold(misses[:20], "brighter")["verdict"] == "too few trials"


@pytest.mark.parametrize(
    ("middle", "verdict"),
    [(0.05, ""), (0.6, "above the largest tried"), (0.002, "below the smallest tried")],
)
def test_a_threshold_must_lie_among_the_ratios_tried(middle: float, verdict: str) -> None:
    row = thresholds.fit_threshold(observer(np.random.default_rng(5), middle), "brighter")
    assert row["verdict"] == verdict
    assert ("threshold" in row) == (verdict == "")


def test_darkening_counts_the_other_way_round() -> None:
    bright = observer(np.random.default_rng(6), 0.05)
    dark = bright.assign(
        side=bright["side"].replace("brighter", "darker"),
        discolor_ratio=(1 / bright["discolor_ratio"]).round(6),
    )
    up = thresholds.fit_threshold(bright, "brighter")
    down = thresholds.fit_threshold(dark, "darker")
    assert down["threshold"] == pytest.approx(1 / up["threshold"], rel=1e-3)
    assert down["threshold_low"] == pytest.approx(1 / up["threshold_high"], rel=1e-3)
    assert down["contrast_low"] < down["contrast_percent"] < down["contrast_high"] < 0
    both = thresholds.threshold_table(pd.concat([bright, dark], ignore_index=True))
    rows = both.query("cut == 'all'").set_index("side")
    assert rows.loc["both", "threshold"] == pytest.approx(up["threshold"], rel=1e-3)
    assert set(rows.index) == {"both", "brighter", "darker"}


def test_one_photo_has_no_interval() -> None:
    row = thresholds.fit_threshold(observer(np.random.default_rng(7), 0.05, photos=1), "brighter")
    assert row["verdict"] == ""
    assert np.isnan(row["threshold_low"])


def test_light_is_measured_through_the_srgb_curve() -> None:
    # 128 / 255 = 0.50196: ((0.50196 + 0.055) / 1.055) ** 2.4 = 0.21586
    assert float(luminance.luminance(128)) == pytest.approx(0.215861, abs=1e-6)
    assert float(luminance.luminance(5)) == pytest.approx(5 / 255 / 12.92)
    assert float(luminance.contrast(1.1, 5)) == pytest.approx(10)  # the linear foot of the curve
    at_128 = 100 * (((140.8 / 255 + 0.055) / 1.055) ** 2.4 / 0.2158605 - 1)
    assert float(luminance.contrast(1.1, 128)) == pytest.approx(at_128, abs=1e-3)
    assert np.isnan(float(luminance.contrast(1.1, 0)))


@pytest.mark.parametrize("truth", [(0.02, 0.02, 0.03, 2.0), (0.05, 0.02, 0.08, 3.5)])
def test_a_third_of_the_trials_finds_the_same_threshold(
    truth: tuple[float, float, float, float],
) -> None:
    rng = np.random.default_rng(8)
    in_grid = 600
    design = Design(sides=("brighter",), adaptive=in_grid // 3)
    n = np.full((60, len(STEPS)), in_grid // len(STEPS))
    grid = psychometric.fit(STEPS, n, rng.binomial(n, hit_rate(STEPS, *truth, "weibull")))
    adapted = []
    for _ in range(20):
        blocks = adaptive.trial_blocks(design, ["a", "b", "c"])
        batch, asked, answers = next(blocks), [], []
        while batch:
            x = np.log([trial.ratio for trial in batch])
            hits = rng.random(len(x)) < hit_rate(x, *truth, "weibull")
            asked += x.tolist()
            answers += hits.tolist()
            batch = next_batch(blocks, hits.tolist())
        assert len(asked) == in_grid // 3
        levels, which = np.unique(asked, return_inverse=True)
        fits = psychometric.fit(levels, np.bincount(which), np.bincount(which, weights=answers))
        adapted.append(fits.threshold[0])
    errors = [np.log(found / truth[2]) for found in (grid.threshold, np.array(adapted))]
    assert abs(errors[1].mean()) < 0.05
    assert np.sqrt((errors[1] ** 2).mean()) < 1.4 * np.sqrt((errors[0] ** 2).mean())


def next_batch(blocks: Generator[list[Trial], list[bool], None], hits: list[bool]) -> list[Trial]:
    """The next block, or nothing after the last."""
    try:
        return blocks.send(hits)
    except StopIteration:
        return []


def test_the_adaptive_mode_keeps_its_cuts_apart_from_the_steps() -> None:
    design = Design(adaptive=96, seed=3)
    blocks = adaptive.trial_blocks(design, [f"p{i}" for i in range(5)])
    batch, all_trials = next(blocks), []
    while batch:
        assert len({(t.side, t.r) for t in batch}) in (3, 6)
        for side in {t.side for t in batch}:
            assert len({t.ratio for t in batch if t.side == side}) == 1
        all_trials += batch
        batch = next_batch(blocks, [t.side == "brighter" for t in batch])
    assert [t.number for t in all_trials] == list(range(96))
    assert {t.photo for t in all_trials} == {f"p{i}" for i in range(5)}
    assert sum(t.side == "none" for t in all_trials) == 12
    brighter = [t.ratio for t in all_trials if t.side == "brighter"]
    darker = [t.ratio for t in all_trials if t.side == "darker"]
    assert brighter[-1] < 1.015  # all were hits: it went down to the faintest
    assert darker[-1] < 0.8  # all were misses


def two_observers(seed: int, factor: float, photos: int = 24) -> pd.DataFrame:
    """Trials of two simulated methods that find the same photos hard."""
    rng = np.random.default_rng(seed)
    trials = observer(rng, 0.04, photos=photos)
    hard = np.exp(0.8 * rng.standard_normal(photos))[trials["photo"].astype(int)]
    steps = np.log(trials["discolor_ratio"].to_numpy())
    methods = []
    for name, middle in (("blunt", 0.04 * factor), ("sharp", 0.04)):
        chances = hit_rate(steps, 0.02, 0.02, middle * hard, 2.0, "weibull")
        hit = (rng.random(len(steps)) < chances).astype(int)
        methods.append(trials.assign(method=name, hit=hit))
    return pd.concat(methods, ignore_index=True)


def compared(trials: pd.DataFrame) -> pd.DataFrame:
    return paired.pair_table(trials, thresholds.threshold_table(trials))


def test_methods_are_compared_on_the_same_photos() -> None:
    """What photos have in common is no doubt about a difference: the intervals may overlap."""
    trials = two_observers(11, 1.5)
    found = thresholds.threshold_table(trials).query("cut == 'all'").set_index("method")
    assert found.loc["blunt", "threshold_low"] < found.loc["sharp", "threshold_high"]
    (row,) = compared(trials).to_dict("records")
    assert (row["method"], row["than"], row["side"], row["photos"]) == (
        "sharp", "blunt", "brighter", 24
    )  # fmt: skip
    assert 1 < row["factor_low"] < 1.5 < row["factor_high"] < 2.2
    steps = np.log(found["threshold"])
    assert row["factor"] == pytest.approx(steps["blunt"] / steps["sharp"])


def test_equal_methods_are_seldom_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "DRAWS", 100)
    rows = [compared(two_observers(seed, 1.0)).iloc[0] for seed in range(20)]
    assert np.mean([row["factor_low"] <= 1 <= row["factor_high"] for row in rows]) >= 0.8


def test_only_methods_with_the_same_photos_are_compared() -> None:
    trials = two_observers(12, 1.5, photos=6)
    other = trials["method"].eq("blunt") & trials["photo"].eq("0")
    assert len(compared(trials)) == 1
    assert not len(compared(trials[~other]))
    assert not len(compared(trials.assign(hit=trials["hit"].where(trials["method"] == "sharp", 0))))
    assert tuple(compared(trials[trials["method"] == "sharp"]).columns) == paired.PAIRS
