"""`localize gate --no-worse-than` for two analyses of `localize pod`, and for shares of calls."""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

from localize.cli.main import app
from localize.evaluation import calls
from localize.evaluation.scoring import SCORES
from localize.gate import checks
from localize.gate.result import Result
from localize.sharpness.pod import PodOptions, contour, measure, resampling, signal
from synth import console
from synth.errors import InputError

MARGIN = Decimal("0.05")
N = 300


@pytest.fixture(scope="module", autouse=True)
def _coarse() -> Iterator[None]:
    """Few bootstrap samples and few points on the borders of the confidence regions."""
    with pytest.MonkeyPatch.context() as patch:
        for function in (resampling.of_hits, signal.bootstrap):
            patch.setattr(function, "__defaults__", (100, *(function.__defaults__ or ())[1:]))
        patch.setattr(resampling, "DRAWS", 200)
        for name, value in (
            ("DIRECTIONS", 40), ("LAPSE_DIRECTIONS", 12), ("LAPSES", 3), ("SEARCHED_LAPSES", 20),
        ):  # fmt: skip
            patch.setattr(contour, name, value)
        yield


def table(seed: int = 0) -> pd.DataFrame:
    """Targets, two inspections of the same difficulty, one that needs 1.4 times the size."""
    rng = np.random.default_rng(seed)
    length, luck, noise = rng.uniform(0.5, 8, N), rng.random(N), rng.standard_normal(N)
    photo = rng.integers(0, 30, N)
    rows: dict[str, Any] = {"length": length, "photo": [f"p{k:02d}" for k in photo]}
    for name, middle in (("first", 3.0), ("second", 3.0), ("worse", 4.2)):
        # The same luck: targets are as difficult for one inspection as for another.
        other = rng.random(N) < 0.1
        own = np.where(other, rng.random(N), luck)
        pod = special.expit(6 * np.log(length / middle))
        rows[name] = (own < pod).astype(int)
        rows[f"signal of {name}"] = 10 * (length / middle) + noise + 0.3 * rng.standard_normal(N)
    return pd.DataFrame(rows)


def analyse(folder: Path, rows: pd.DataFrame, **options: Any) -> Path:
    folder.mkdir(parents=True)
    rows.to_csv(folder / "table.csv", index=False)
    given = PodOptions(**{"size": "length", "link": "logit", "scale": "log", "model": "handbook",
                          **options})  # fmt: skip
    measure(folder / "table.csv", folder / "pod", given)
    return folder / "pod"


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pods")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("localize.report.plots.save", lambda *args: None)
        patch.setattr("localize.report.page.write", lambda *args: None)
        return {
            name: analyse(folder / name, table(), hits=(name,))
            for name in ("first", "second", "worse")
        }


def compare(run: Path, baseline: Path) -> list[Result]:
    return list(checks.decide(run, no_worse_than=baseline, margin=MARGIN).results)


def test_an_analysis_is_compared_on_the_same_targets(pods: dict[str, Path]) -> None:
    same = compare(pods["first"], pods["first"])
    assert [each.subject.partition(" / ")[0].partition(" - ")[0] for each in same] == [
        "a90", "hit-rate",
    ]  # fmt: skip
    assert [(each.estimate.low, each.estimate.high) for each in same] == [(1, 1), (0, 0)]
    assert all(each.passed for each in same)
    assert same[0].estimate.basis == "300 targets, 30 groups (photo)"
    worse = compare(pods["worse"], pods["first"])
    assert not any(each.passed for each in worse)
    factor, rate = (each.estimate for each in worse)
    assert 1.2 < factor.low < 1.4 < factor.high < 1.6  # as simulated
    rows = table()
    assert rate.value == pytest.approx((rows["worse"] - rows["first"]).mean())
    assert rate.low < rate.value < rate.high < 0


def test_the_difference_is_sharper_than_the_bounds(pods: dict[str, Path]) -> None:
    """Inspections of the same difficulty whose misses mostly agree."""
    factor = compare(pods["second"], pods["first"])[0].estimate
    row = pd.read_csv(pods["first"] / "pod.csv").query("chosen == 1").iloc[0]
    own = math.log(row["a90_95_bootstrap"] / row["a90"])  # from the middle to one end
    assert factor.low < 1 < factor.high
    assert math.log(factor.high / factor.low) / 2 < 0.7 * own


@pytest.mark.usefixtures("no_figures_here")
def test_an_analysis_of_signals_is_compared_with_one_of_hits(tmp_path: Path) -> None:
    rows = table(1)
    signals: dict[str, Any] = {"decision": 10.0, "link": "auto", "model": "auto", "scale": "auto"}
    first, worse = (
        analyse(tmp_path / name, rows, signal=f"signal of {name}", censored_above=20.0, **signals)
        for name in ("first", "worse")
    )
    factor = compare(worse, first)[0].estimate
    assert 1.35 < factor.low < factor.value < factor.high < 1.45
    assert factor.value == pytest.approx(1.4, abs=0.03)
    as_hits = rows.assign(hit=(rows["signal of first"] >= 10).astype(int))
    hits = analyse(tmp_path / "hits", as_hits, hits=("hit",), link="probit", scale="linear")
    factor, rate = (each.estimate for each in compare(hits, first))
    assert 0.85 < factor.low < factor.high < 1.15  # the same calls; hits say less than signals
    assert (rate.value, rate.low, rate.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda rows: rows[:250], {}, "they have 250 and 300 targets"),
        (lambda rows: rows.assign(length=rows["length"] + 1), {}, "size 0 "),
        (lambda rows: rows.assign(photo="q" + rows["photo"]), {}, "group 0 qp"),
        (lambda rows: rows.drop(columns="photo"), {}, "the group is none and photo"),
        (lambda rows: rows.assign(part="a"), {"only": (("part", "a"),)}, "of part=a and of all"),
    ],
)
@pytest.mark.usefixtures("no_figures_here")
def test_other_targets_are_refused_with_what_to_do(
    pods: dict[str, Path], tmp_path: Path, change: Any, options: dict[str, Any], words: str
) -> None:
    other = analyse(tmp_path / "other", change(table()), hits=("first",), **options)
    with pytest.raises(InputError, match="only analyses of the same targets") as caught:
        compare(other, pods["first"])
    assert words in str(caught.value)
    assert "give each its own limit with --require" in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "target,size,group,hit\n", "target,size\n0,1\n"])
def test_a_folder_without_its_targets_is_refused(
    pods: dict[str, Path], tmp_path: Path, text: str | None,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = tmp_path / "run"
    run.mkdir()
    for path in pods["first"].iterdir():
        (run / path.name).write_bytes(path.read_bytes())
    (run / "targets.csv").unlink()
    if text is not None:
        (run / "targets.csv").write_text(text)
    words = ["gate", str(run), "--no-worse-than", str(pods["first"]), "--by", "5%"]
    assert console.run(app, "localize", words) == 2
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert "targets.csv" in error


@pytest.mark.usefixtures("no_figures_here")
def test_an_a90_that_one_of_both_lacks(pods: dict[str, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    half = table()
    half["first"] &= rng.random(N) < 0.6
    never = analyse(tmp_path / "never", half, hits=("first",), model="guess-and-lapse")
    factor, rate = compare(never, pods["first"])
    assert (factor.passed, rate.passed) == (False, False)
    assert factor.reason == "there is no a90 (POD never reaches 0.9)"
    verdict = checks.decide(pods["first"], no_worse_than=never, margin=MARGIN)
    assert [each.passed for each in verdict.results] == [True]
    assert verdict.notes == ("a90 is not compared: the baseline has none (POD never reaches 0.9)",)


def scored(
    folder: Path, shift: float = 0.0, rate: float | None = 0.1, seeds: int = 1, places: bool = True
) -> Path:
    """A folder as `localize compare` writes it: 120 images of 30 photos and their clean twins."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    k = np.arange(120)
    images, clean, rows = [], [], []
    base, twin = rng.normal(2.5, 1, 120), rng.normal(0, 1, 120)
    far = rng.random(120) < 0.2
    for seed in range(seeds):
        noise = 0.1 * rng.normal(size=(2, 120))
        names = {"method": "mine", "file_name": [f"{i:03d}.jpg" for i in k], "photo": k % 30}
        names |= {"seed": seed} if seeds > 1 else {}
        distance = np.where(far, 40.0, 1.0) if places else np.full(120, np.nan)
        scale = 100.0**seed  # the scores of another seed have another scale
        images.append(pd.DataFrame(names | {
            "x": 50.0, "y": 60.0, "r": 20.0, "discolor_ratio": 1.1, "x_pred": 50.0 + distance,
            "y_pred": 60.0, "score": scale * (base - shift + noise[0]), "distance": distance,
        }))  # fmt: skip
        clean.append(pd.DataFrame(names | {"score": scale * (twin + noise[1])}))
        row = {"method": "mine", "answer": "called", "wanted": rate, "folds": 5, "clean": 120,
               "rate": 0.1, "low": 0.05, "high": 0.2, "reason": ""}  # fmt: skip
        rows.append(row | ({"seed": seed} if seeds > 1 else {}))
    pd.concat(images).to_csv(folder / "predictions.csv", index=False)
    pd.concat(clean).to_csv(folder / "clean.csv", index=False)
    scores = dict.fromkeys(SCORES, math.nan) | {"method": "mine", "n": 120, "note": ""}
    if rate is not None:
        scores |= {"detected": 0.5 if places else math.nan, "called": 0.6}
        columns = [*(["seed"] if seeds > 1 else []), *calls.COLUMNS]
        pd.DataFrame(rows).reindex(columns=columns).to_csv(folder / "false_calls.csv", index=False)
    pd.DataFrame([scores]).to_csv(folder / "scores.csv", index=False)
    (folder / "comparison.json").write_text('{"dataset": "set"}')
    return folder


def call_result(run: Path, baseline: Path) -> tuple[Result | None, tuple[str, ...]]:
    verdict = checks.decide(run, no_worse_than=baseline, margin=MARGIN)
    found = [each for each in verdict.results if each.name.split()[0] in ("detected", "called")]
    return (found[0] if found else None), verdict.notes


def expected_share(folder: Path, column: str) -> pd.Series:
    """By image, from the tables, with one threshold for each seed."""
    images, clean = (pd.read_csv(folder / f"{name}.csv") for name in ("predictions", "clean"))
    shares = []
    for seed in range(images["seed"].nunique() if "seed" in images else 1):
        own, twins = (t[t["seed"] == seed] if "seed" in t else t for t in (images, clean))
        scores = np.r_[own["score"], twins["score"]]
        found = calls.cross_fit(
            scores, np.arange(240) >= 120, [*own["photo"], *twins["photo"]], 0.1
        )  # fmt: skip
        hit = (own["distance"] <= 10).to_numpy() | (column == "called")
        shares.append(found.call[:120] & hit)
    return pd.Series(np.mean(shares, axis=0))


@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("places", [True, False])
def test_shares_of_detected_images_are_compared(tmp_path: Path, seeds: int, places: bool) -> None:
    name = "detected" if places else "called"
    run, worse = (
        scored(tmp_path / f"run {shift}", shift, seeds=seeds, places=places) for shift in (0.0, 1.0)
    )
    same, notes = call_result(run, run)
    assert same is not None
    assert same.subject.startswith(f"{name} - that of")
    assert (same.passed, same.estimate.low, same.estimate.high) == (True, 0, 0)
    assert not any("detected" in note for note in notes)
    lost, _ = call_result(worse, run)
    assert lost is not None
    assert not lost.passed
    difference = expected_share(worse, name) - expected_share(run, name)
    assert lost.estimate.value == pytest.approx(difference.mean())
    assert lost.estimate.low < lost.estimate.value < lost.estimate.high < -0.05


def test_calls_that_one_of_both_lacks(tmp_path: Path) -> None:
    run, other, none = (scored(tmp_path / str(rate), rate=rate) for rate in (0.1, 0.2, None))
    lacking, _ = call_result(none, run)
    assert lacking is not None
    assert lacking.reason == "the run has no calls: give it --false-calls"
    assert call_result(run, none)[1][-1].startswith("detected is not compared: the baseline has no")
    assert call_result(run, other)[1][-1].endswith("false calls are 0.1 and 0.2")
    assert call_result(none, none)[0] is None
    assert not any("detected" in note for note in call_result(none, none)[1])


def test_false_calls_of_several_seeds_are_one_quantity(tmp_path: Path) -> None:
    run = scored(tmp_path / "run", seeds=2)
    rows = pd.read_csv(run / "false_calls.csv").assign(rate=[0.0, 0.1], high=[0.05, 0.2])
    rows.assign(low=[0.0, 0.05], photos=30).to_csv(run / "false_calls.csv", index=False)
    (result,) = checks.decide(run, ["false-calls high <= 0.1"]).results
    assert (result.estimate.value, result.estimate.low, result.tested) == (0.05, 0, 0.2)
    assert result.estimate.basis == "120 clean images, 30 photos, 2 seeds"
