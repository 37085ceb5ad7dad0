"""The test whether parts with a signal may be pooled, and sizes far beyond those tried."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from localize.report import page
from localize.sharpness.pod import PodOptions, PodResult, limits, measure, pooling, signal
from localize.sharpness.pod.tobit import Signals
from localize.sharpness.pod.trials import Trials
from synth.errors import InputError

DECISION = 5.0
CENSORED = 2.5, 9.5


def signals(
    rng: np.random.Generator, parts: int, each: int, shift: float = 0.0, noise: float = 1.0
) -> tuple[Trials, Signals]:
    """Signals 1 + 2 size + normal noise; those of the first part are shifted or noisier."""
    part = np.arange(parts).repeat(each)
    size = rng.uniform(0.5, 5, len(part))
    first = part == 0
    answer = 1 + 2 * size + rng.standard_normal(len(part)) * np.where(first, noise, 1)
    answer += shift * first
    index = np.arange(len(part))
    names = np.array([f"maker {k}" for k in part], dtype=object)
    trials = Trials(size, (answer >= DECISION).astype(int), index, index, names)
    return trials, Signals(size, answer, *CENSORED)


def pool(trials: Trials, data: Signals) -> pooling.Pooling:
    model = signal.fit(data, DECISION, "linear", "linear")
    return pooling.pool_signals(trials, data, "maker", model, DECISION)


@pytest.mark.parametrize(("parts", "each"), [(2, 40), (6, 10)])
def test_equal_lines_are_seldom_significant(parts: int, each: int) -> None:
    """Without Bartlett's factor, 6 parts of 10 signals would differ in about a fifth of runs."""
    rng = np.random.default_rng(1)
    found = [pool(*signals(rng, parts, each)) for _ in range(150)]
    p = np.array([each.p for each in found])
    assert 0.01 <= np.mean(p < 0.05) <= 0.1  # a share of 0.05 has a standard error of 0.018
    assert 0.43 <= p.mean() <= 0.57
    assert max(each.degrees for each in found) == 3 * (parts - 1)


@pytest.mark.parametrize(("shift", "noise"), [(1.0, 1.0), (0.0, 2.0)])
def test_other_lines_and_other_noises_are_found(shift: float, noise: float) -> None:
    rng = np.random.default_rng(2)
    found = [pool(*signals(rng, 2, 60, shift, noise)) for _ in range(30)]
    assert np.mean([each.differs for each in found]) >= 0.9


def test_the_statistic_is_that_of_separate_regressions() -> None:
    """Without censoring, from the sums of squares of numpy's least squares."""
    trials, data = signals(np.random.default_rng(3), 3, 30)
    data = Signals(data.s, data.signal)
    part = trials.part
    assert part is not None

    def log_noise(mask: np.ndarray) -> float:
        residual = np.polyfit(data.s[mask], data.signal[mask], 1, full=True)[1][0] / mask.sum()
        return float(mask.sum() * np.log(residual))

    masks = [part == label for label in dict.fromkeys(part)]
    statistic = log_noise(np.ones(90, bool)) - sum(map(log_noise, masks))
    rng = np.random.default_rng(4)
    noise = [np.log(rng.chisquare(n - 2, 100_000) / n).mean() * n for n in (90, 30)]
    found = pool(trials, data)
    assert found.statistic == pytest.approx(statistic * 6 / (noise[0] - 3 * noise[1]), rel=0.01)
    assert found.p == pytest.approx(stats.chi2.sf(found.statistic, 6))


def test_each_part_has_the_sizes_of_its_own_analysis() -> None:
    trials, data = signals(np.random.default_rng(5), 2, 50, shift=2)
    first = data.select(np.arange(100) < 50)
    alone = signal.fit(first, DECISION, "linear", "linear")
    row = pool(trials, data).rows[0]
    assert (row["part"], row["targets"], row["trials"]) == ("maker 0", 50, 50)
    assert row["hits"] == (first.signal >= DECISION).sum()
    for name in ("a50", "a90", "a90_95", "line_slope", "noise"):
        assert row[name] == getattr(alone, name)


def test_a_part_with_few_signals_is_left_out_of_the_test() -> None:
    trials, data = signals(np.random.default_rng(6), 3, 30)
    assert trials.part is not None
    kept = (trials.part != "maker 0") | (np.arange(90) < 4)
    whole, rest = (pool(trials.select(mask), data.select(mask))
                   for mask in (kept, trials.part != "maker 0"))  # fmt: skip
    assert (whole.statistic, whole.degrees) == (rest.statistic, 3)
    assert whole.rows[0]["verdict"] == pooling.TOO_FEW
    assert math.isnan(whole.rows[0]["a90"])
    some = kept & (trials.part != "maker 2")
    with pytest.raises(InputError, match="--by maker: 1 part with signals of different sizes"):
        pool(trials.select(some), data.select(some))


def analyse_table(folder: Path, table: pd.DataFrame, options: PodOptions) -> PodResult:
    table.to_csv(folder / "table.csv", index=False)
    return measure(folder / "table.csv", folder / "pod", options)


def test_the_command_tests_signals(tmp_path: Path) -> None:
    trials, data = signals(np.random.default_rng(7), 2, 60, shift=2)
    table = pd.DataFrame({"length": trials.size, "amplitude": data.signal, "maker": trials.part})
    table.loc[len(table)] = [0.0, 1.0, ""]  # a blank has no part
    more = pd.DataFrame({"length": [2.0], "amplitude": [5.0], "maker": ["new"]})
    options = PodOptions(
        size="length", signal="amplitude", decision=DECISION, censored_above=9.5, by="maker"
    )
    result = analyse_table(tmp_path, pd.concat([table, more]), options)
    assert any("parts by maker differ significantly" in each for each in result.warnings)
    assert any("leaves out new, with fewer than 5 signals" in each for each in result.warnings)
    assert pd.read_csv(tmp_path / "pod/parts.csv")["part"].tolist() == ["maker 0", "maker 1", "new"]
    before = (tmp_path / "pod/report.html").read_bytes()
    assert b"The regression lines of the parts by maker differ significantly" in before
    assert page.write(tmp_path / "pod").read_bytes() == before


@pytest.mark.parametrize(
    ("sizes", "changes"),
    [
        ({"a50": 1.0, "a90": 2.0, "a90_95": 3.0}, {}),
        ({"a50": 1.0, "a90": 2.0, "a90_95": math.inf}, {}),
        ({"a90": math.nan, "a90_95": math.nan}, {}),
        ({"a90_95": 4.0, "a90_95_one_sided": 2.9}, {"a90_95": math.inf}),
    ],
)
def test_only_sizes_far_beyond_those_tried_are_left_out(
    sizes: dict[str, float], changes: dict[str, float]
) -> None:
    assert limits.cap(sizes, 1.0) == (changes | {"far": 1} if changes else {})


def test_an_a90_far_beyond_the_sizes_tried_takes_its_bounds_along() -> None:
    found = limits.cap({"a50": 1.0, "a90": 50.0, "a90_95": 1e9, "a90_95_one_sided": 1e8}, 1.0)
    assert all(math.isnan(found[name]) for name in ("a90", "a90_95", "a90_95_one_sided"))
    assert "a50" not in found
    assert found["verdict"] == limits.BEYOND


def flat_table(slope: float, seed: int = 0) -> pd.DataFrame:
    """Hits whose POD rises slowly with the size, from 0.5 at size 1; sizes up to 2."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(0.5, 2, 200)
    hit = rng.random(200) < stats.norm.cdf(slope * np.log(size))
    return pd.DataFrame({"length": size, "found": hit.astype(int)})


@pytest.mark.usefixtures("no_figures_here")
def test_a_bound_far_beyond_the_sizes_tried_is_no_number(tmp_path: Path) -> None:
    options = PodOptions(size="length", hits=("found",), link="probit", scale="log",
                         model="handbook")  # fmt: skip
    result = analyse_table(tmp_path, flat_table(0.85), options)
    row = pd.read_csv(tmp_path / "pod/pod.csv").query("chosen == 1").iloc[0]
    assert 2 < row["a90"] < 6  # extrapolated, and named so
    assert any("a90 is extrapolated" in each for each in result.warnings)
    assert (row["a90_95"], row["a90_95_larger"], row["far"]) == (math.inf, math.inf, 1)
    assert any("a90/95 lies beyond three times the largest target" in w for w in result.warnings)
    text = (tmp_path / "pod/report.html").read_text("utf-8")
    assert "its upper bound lies <strong>beyond three times the largest target" in text
    assert "far beyond: above three times the largest target" in text
    (tmp_path / "flat").mkdir()
    result = analyse_table(tmp_path / "flat", flat_table(0.4), options)
    assert result.chosen["verdict"] == limits.BEYOND
    assert result.models.loc[result.models["chosen"] == 1, ["a90", "a90_95"]].isna().all(axis=None)
    assert any(limits.BEYOND in each and "add larger" in each for each in result.warnings)
