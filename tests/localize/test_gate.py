"""The requirements of `localize gate`: grammar, quantities, verdicts, outputs, bad input."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

import localize
from localize.cli.main import app
from localize.evaluation import metrics
from localize.evaluation.scoring import SCORES
from localize.gate import checks, requirement
from localize.gate.estimate import Estimate
from localize.gate.quantities import KINDS
from localize.gate.requirement import COMPARISONS, Requirement, parse
from localize.gate.result import Result
from localize.sharpness import thresholds
from localize.sharpness.pod import PodOptions, contour, measure, resampling
from synth import console
from synth.errors import InputError

RATIOS = np.array([1, 1.01, 1.02, 1.04, 1.08, 1.16, 1.32, 1.64])
PHOTOS = 30


def observer(
    middle: float, seed: int = 0, ceiling: float = 1.0, name: str = "mine", n: int = 30
) -> pd.DataFrame:
    """Trials of a simulated observer whose hit rate is half its ceiling at the step ``middle``."""
    rows = []
    for side in ("brighter", "darker"):
        ratio = (RATIOS if side == "brighter" else 1 / RATIOS).round(6).repeat(n)
        step = np.abs(np.log(ratio))
        rate = np.where(
            step > 0, ceiling * special.expit(3 * np.log(np.maximum(step, 1e-9) / middle)), 0.0
        )
        rows.append(pd.DataFrame({
            "method": name, "photo": [f"p{k % PHOTOS:02d}" for k in range(len(ratio))],
            "side": np.where(step > 0, side, "none"), "discolor_ratio": ratio,
            "r": np.where(np.arange(len(ratio)) % 2, 20.0, 40.0), "brightness": 128.0,
            "texture": 5.0, "codec": "png", "rounding": "nearest", "feather": 0.0, "rate": rate,
        }))  # fmt: skip
    table = pd.concat(rows, ignore_index=True)
    # The same random numbers for all observers: a photo is as difficult for one as for another.
    luck = np.random.default_rng(seed).random(len(table))
    table["hit"] = (luck < table.pop("rate")).astype(int)
    table["quality"] = math.nan
    table["trial"], table["x"], table["y"] = range(len(table)), np.arange(len(table)) % 97, 50.0
    return table


def write_run(folder: Path, *tables: pd.DataFrame, **record: Any) -> Path:
    """A folder as `localize sharpness` writes it, with the centre guess."""
    folder.mkdir()
    centre = tables[0].assign(method="centre", hit=0)
    pd.concat([centre, *tables], ignore_index=True).to_csv(folder / "trials.csv", index=False)
    about = {"specs": {}, "curve": "weibull", "mode": "grid", "versions": {}, **record}
    (folder / "sharpness.json").write_text(json.dumps(about))
    return folder


def write_scores(folder: Path, worse: float = 0.0, **scores: float) -> Path:
    """A folder as `localize evaluate` writes it: 60 images of 20 photos."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    k = np.arange(60)
    distance = np.where(rng.random(60) < 0.8 - worse, 1.0, 40.0) * (1 + worse)
    images = pd.DataFrame({
        "method": "mine", "file_name": [f"{i:02d}.jpg" for i in k], "photo": k // 3, "x": 50.0,
        "y": 60.0, "r": 20.0, "discolor_ratio": 1.1, "x_pred": 50.0 + distance, "y_pred": 60.0,
        "score": rng.normal(2 - 4 * worse, 1, 60), "distance": distance,
    })  # fmt: skip
    clean = images[["method", "file_name", "photo"]].assign(score=rng.normal(0, 1, 60))
    row = dict.fromkeys(SCORES, math.nan) | {
        "method": "mine", "split": "test", "n": 60, "n_clean": 60, "note": "",
        "hit@5": metrics.hit_rate(distance, 5), "mean_distance": distance.mean(),
        "image_auroc": 0.9, "image_auroc_low": 0.85, "image_auroc_high": 0.94,
        "ms_per_image": 1234.5,
    } | scores  # fmt: skip
    images.to_csv(folder / "predictions.csv", index=False)
    clean.to_csv(folder / "clean.csv", index=False)
    pd.DataFrame([row]).to_csv(folder / "scores.csv", index=False)
    (folder / "comparison.json").write_text('{"dataset": "set"}')
    return folder


@pytest.fixture(scope="module", autouse=True)
def _coarse() -> Iterator[None]:
    """Few bootstrap samples and few points on the borders of the confidence regions."""
    draws = {**resampling.bounds.__kwdefaults__, "draws": 100}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling.bounds, "__kwdefaults__", draws)
        patch.setattr(thresholds, "DRAWS", 200)
        for name, value in (
            ("DIRECTIONS", 90), ("LAPSE_DIRECTIONS", 24), ("LAPSES", 5), ("SEARCHED_LAPSES", 40),
        ):  # fmt: skip
            patch.setattr(contour, name, value)
        yield


@pytest.fixture(scope="module")
def sharp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an observer with the threshold exp(0.05) and one that finds at most 60 %."""
    weak = observer(0.05, seed=3, ceiling=0.6, name="weak")
    return write_run(tmp_path_factory.mktemp("gate") / "sharp", observer(0.05), weak)


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scores(tmp_path_factory.mktemp("gate") / "scores")


def value_of(run: Path, text: str, method: str | None = "mine") -> Estimate:
    (result,) = checks.decide(run, [text], method=method).results
    return result.estimate


def run_gate(*words: str | Path) -> int:
    return console.run(app, "localize", ["gate", *map(str, words)])


decimals = st.decimals(allow_nan=False, allow_infinity=False, places=4)
requirements = st.builds(
    Requirement,
    quantity=st.from_regex(requirement._NAME, fullmatch=True).filter(
        lambda name: name not in {*requirement.SIDES, "low", "lower", "high", "upper", "at", "r"}
    ),
    comparison=st.sampled_from(list(COMPARISONS)),
    limit=decimals,
    at=st.none() | decimals,
    answer=st.sampled_from(["", *requirement.ANSWERS]),
    side=st.sampled_from(["", "brighter", "darker", "both"]),
    r=st.none() | decimals,
    end=st.sampled_from(["", "low", "high"]),
)


@given(requirements)
def test_a_requirement_is_read_as_it_is_written(each: Requirement) -> None:
    assert parse(str(each)) == each
    assert parse(f"  {str(each).upper()} ".replace(" ", "   ")) == each


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        each = parse(text)
    except InputError:
        return
    assert parse(str(each)) == each


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a90 brighter", "no comparison"),
        ("1 <= a90 <= 2", "two comparisons"),
        ("brighter a90 <= 1.1", "'brighter', which is no quantity"),
        ("<= 1.1", "'', which is no quantity"),
        ("a90 brighter darker <= 1.1", "second word for the side"),
        ("a90 shiny <= 1.1", "'shiny' is unknown"),
        ("hit-rate at brighter <= 1", "'brighter' is no number"),
        ("a90 brighter <= 1,1", "'1,1' is no number"),
        ("a90 brighter <= inf", "'inf' is no number"),
        ("a90 brighter <= 1e999", "'1e999' is no number"),
    ],
)
def test_malformed_requirements_are_refused(text: str, words: str) -> None:
    with pytest.raises(InputError, match="QUANTITY") as caught:
        parse(text)
    assert words in str(caught.value)


def test_percentages_and_other_spellings() -> None:
    each = parse("false-calls upper ≤ 2.5 %")
    assert (each.limit, each.end, each.comparison) == (Decimal("0.025"), "high", "<=")


@pytest.mark.parametrize("side", ["brighter", "darker", "both"])
def test_a_threshold_is_that_of_the_tables(sharp: Path, side: str) -> None:
    estimate = value_of(sharp, f"threshold {side} {'>=' if side == 'darker' else '<='} 1")
    trials = pd.read_csv(sharp / "trials.csv")
    table = thresholds.threshold_table(trials[trials["method"] == "mine"])
    row = table[(table["cut"] == "all") & (table["side"] == side)].iloc[0]
    names = ["threshold", "threshold_low", "threshold_high"]
    assert [estimate.value, estimate.low, estimate.high] == pytest.approx(row[names].to_list())
    truth = math.exp(-0.05 if side == "darker" else 0.05)
    assert estimate.value == pytest.approx(truth, abs=0.012)


@pytest.mark.parametrize("side", ["brighter", "darker"])
def test_sizes_are_those_of_pod(sharp: Path, tmp_path: Path, side: str) -> None:
    sign = ">=" if side == "darker" else "<="
    only = (("method", "mine"), ("side", side))
    row = measure(sharp / "trials.csv", tmp_path / "pod", PodOptions(only=only)).chosen
    for name, column in (("a50", "a50"), ("a90", "a90"), ("a90/95", "a90_95_larger")):
        expected = row[f"{column}_ratio"]
        assert value_of(sharp, f"{name} {side} {sign} 1").value == pytest.approx(expected)
        of_pod = value_of(tmp_path / "pod", f"{name} {sign} 1")
        assert of_pod.value == pytest.approx(expected)
    assert "targets" in of_pod.basis
    with pytest.raises(InputError, match=r"only side=both"):
        value_of(tmp_path / "pod", "a90 both <= 1.1")
    with pytest.raises(InputError, match="has no threshold"):
        value_of(tmp_path / "pod", "threshold <= 1.1")
    same = checks.decide(tmp_path / "pod", no_worse_than=tmp_path / "pod", margin=Decimal(0))
    assert [each.name.partition(" no ")[0] for each in same.results] == [
        f"a90 {side}", f"hit-rate {side}",
    ]  # fmt: skip
    assert same.passed


def test_hit_rates_and_radii(sharp: Path) -> None:
    trials = pd.read_csv(sharp / "trials.csv").query("method == 'mine' and side == 'brighter'")
    at = trials[trials["discolor_ratio"] == 1.16]
    estimate = value_of(sharp, "hit-rate at 1.16 brighter >= 0.9")
    assert (estimate.value, estimate.basis) == (at["hit"].mean(), "30 trials")
    assert estimate.low < estimate.value < estimate.high <= 1
    at = at[at["r"] == 40]
    estimate = value_of(sharp, "hit-rate at 1.16 brighter r 40 >= 0.9")
    assert (estimate.value, estimate.basis) == (at["hit"].mean(), "15 trials")
    whole, part = (value_of(sharp, f"threshold brighter {r} <= 1.1") for r in ("", "r 20"))
    assert whole.basis == "270 trials"
    assert part.basis == "135 trials"
    assert whole.value != part.value


def test_a_size_that_is_not_reached_fails_with_the_reason(sharp: Path) -> None:
    verdict = checks.decide(
        sharp, ["a90 brighter <= 9", "a90/95 brighter <= 9", "a50 brighter <= 9"], method="weak"
    )
    assert [each.passed for each in verdict.results] == [False, False, True]
    assert verdict.lines[0].startswith("FAIL  a90 brighter <= 9: POD never reaches 0.9  (weak, ")
    blind = checks.decide(
        sharp, ["a90 brighter <= 9", "threshold brighter <= 9"], method="centre"
    )  # fmt: skip
    assert "all 210 trials are misses" in blind.lines[0]
    assert "no threshold" in blind.lines[1]


def test_detected_is_the_default_where_there_is_one(tmp_path: Path) -> None:
    table = observer(0.05)
    called = np.random.default_rng(1).random(len(table)) < 0.5
    table["call"], table["detected"] = called.astype(int), table["hit"] * called
    other = observer(0.05, name="mute").assign(call=math.nan, detected=math.nan)
    run = write_run(tmp_path / "run", table, other)
    columns = "method,answer,wanted,folds,threshold,threshold_low,threshold_high,clean,"
    (run / "false_calls.csv").write_text(
        f"{columns}false_calls,rate,low,high,reason\n"
        "mine,called,0.05,5,1.5,1.4,1.6,60,2,0.0333,0.0041,0.1153,\n"
        "mute,called,0.05,5,,,,60,,,,,the method gives no score\n"
    )
    at = table[table["discolor_ratio"] == 1.64]
    detected, named, place = (
        value_of(run, f"hit-rate at 1.64 {word} brighter >= 0.9")
        for word in ("", "detected", "place")
    )
    assert detected == named
    assert (detected.value, detected.answer) == (at["detected"].mean(), "detected")
    assert (place.value, place.answer) == (at["hit"].mean(), "place")
    assert value_of(run, "a50 place brighter <= 2").answer == "place"
    call = value_of(run, "hit-rate at 1.64 called brighter >= 0.9")
    assert call.value == at["call"].mean()
    lines = checks.decide(
        run, ["false-calls <= 0.04", "false-calls upper <= 0.04"], method="mine"
    ).lines  # fmt: skip
    assert lines[0] == (
        "pass  false-calls 0.033 <= 0.04  (mine, 60 clean images, 95 % interval [0.004, 0.115])"
    )
    assert lines[1].startswith("FAIL  false-calls high 0.115 <= 0.04")
    expressions = ["false-calls <= 1", "a50 brighter <= 2", "hit-rate at 1.64 brighter >= 0"]
    mute = checks.decide(run, expressions, method="mute")
    assert not any(each.passed for each in mute.results)
    assert all("the method gives no score" in line for line in mute.lines[:3])
    compared = checks.decide(run, method="mine", no_worse_than=run, margin=Decimal(0))
    assert compared.passed
    assert compared.results[0].estimate.answer == "detected"


def test_scores_are_columns_with_their_intervals(scores: Path) -> None:
    hit = value_of(scores, "hit@5 low >= 0.6")
    table = pd.read_csv(scores / "predictions.csv")
    assert hit.value == (table["distance"] <= 5).mean()
    low, high = metrics.bootstrap((table["distance"] <= 5).to_numpy(), table["photo"].tolist())
    assert hit.low <= low < hit.value < high <= hit.high
    auroc = value_of(scores, "image_auroc low >= 0.8")
    assert (auroc.low, auroc.value, auroc.basis) == (0.85, 0.9, "120 images")
    lines = checks.decide(scores, ["image_auroc low >= 0.86", "ms_per_image <= 2000"]).lines
    assert lines[0].startswith("FAIL  image_auroc low 0.850 >= 0.86  (mine, 120 images, 0.900 [")
    assert lines[1].startswith("pass  ms_per_image 1234 <= 2000  (mine, 60 images)")
    absent = checks.decide(scores, ["aupro >= 0.1"])
    assert "FAIL  aupro >= 0.1: the method gives no map of the region" in absent.lines[0]
    for text in ("detected low >= 0.1", "false-calls <= 0.1"):
        with pytest.raises(InputError, match="again with --false-calls RATE"):
            checks.decide(scores, [text])
    with pytest.raises(InputError, match="ms_per_image has no interval"):
        checks.decide(scores, ["ms_per_image low <= 1"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a95 brighter <= 1.1", "the quantity a95 is unknown: the nearest is a90/95; sharp has"),
        ("xyz brighter <= 1.1", "is unknown: sharp has threshold, a50"),
        ("hit@5 >= 0.9", "has no hit@5: give a folder of localize evaluate, compare or score"),
        ("false-calls <= 0.02", "no false_calls.csv: measure it again with --false-calls"),
        ("a90 detected brighter <= 1.1", "no column detected: run localize sharpness with --false"),
        ("a90 <= 1.1", "the side is missing: write one of both, brighter, darker"),
        ("hit-rate at 1.16 both >= 0.9", "has no side both: write one of brighter, darker"),
        ("hit-rate brighter >= 0.9", "the ratio is missing"),
        ("hit-rate at 1.2 brighter >= 0.9", "brighter ratios are 1.01, 1.02, 1.04, 1.08, 1.16,"),
        ("a90 brighter r 30 <= 1.1", "radii are 20, 40"),
        ("a90 brighter low <= 1.1", "a90 of this run takes no low or high: leave 'low' out"),
        ("a90 at 1.16 brighter <= 1.1", "takes no ratio"),
        ("a90/95 darker <= 1.10", "a smaller ratio is a stronger change"),
        ("threshold brighter >= 1.1", "write <="),
    ],
)
def test_requirements_that_do_not_fit_the_run_are_refused(
    sharp: Path, text: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(sharp.parent)
    with pytest.raises(InputError) as caught:
        checks.decide("sharp", [text], method="mine")
    assert words in str(caught.value)


def test_an_equal_observer_passes_and_a_worse_one_fails(tmp_path: Path) -> None:
    tables = [observer(0.05), observer(0.05).sample(frac=1, random_state=1), observer(0.07)]
    run, equal, worse = (
        write_run(tmp_path / str(k), table[table["side"] != "darker"])
        for k, table in enumerate(tables)
    )
    options: dict[str, Any] = {"no_worse_than": run, "margin": Decimal("0.05")}
    same = checks.decide(equal, **options)
    assert same.passed
    assert [each.subject.partition(" / ")[0].partition(" - ")[0] for each in same.results] == [
        "threshold brighter", "a90 brighter", "hit-rate brighter",
    ]  # fmt: skip
    assert all(each.estimate.low == each.estimate.high for each in same.results)
    verdict = checks.decide(worse, **options)
    assert not any(each.passed for each in verdict.results[:2])
    factor = verdict.results[0].estimate
    assert factor.low < 1.4 < factor.high  # as simulated
    assert factor.low > 1
    better = checks.decide(run, no_worse_than=worse, margin=Decimal("0.05"))
    assert better.passed
    assert better.results[0].estimate.value == pytest.approx(1 / factor.value)


def test_paired_differences_are_sharper_than_intervals(tmp_path: Path) -> None:
    """Slightly better observers on the same trials; their own intervals overlap widely."""
    run = write_run(tmp_path / "run", observer(0.05))
    better = write_run(tmp_path / "better", observer(0.048))
    factor = checks.decide(better, no_worse_than=run, margin=Decimal("0.05")).results[0].estimate
    own = value_of(better, "threshold brighter <= 1.1")
    assert factor.high - factor.low < 0.5 * math.log(own.high / own.low) / math.log(own.value)


def test_what_the_baseline_lacks_is_noted(sharp: Path) -> None:
    verdict = checks.decide(
        sharp, method="mine", no_worse_than=sharp, baseline_method="weak", margin=Decimal("0.05")
    )
    assert verdict.passed
    assert [each.name.partition(" no ")[0] for each in verdict.results] == [
        "threshold brighter", "hit-rate brighter", "threshold darker",
        "hit-rate darker",
    ]  # fmt: skip
    assert "a90 brighter is not compared: the baseline has none (POD never reaches 0.9)" in (
        verdict.notes
    )
    other = checks.decide(
        sharp, method="weak", no_worse_than=sharp, baseline_method="mine", margin=Decimal("0.05")
    )
    lost = next(each for each in other.results if each.name.startswith("a90 brighter"))
    assert (lost.passed, lost.reason) == (False, "there is no a90 (POD never reaches 0.9)")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"photo": "p99"}, "photo p00 and p99"),
        ({"discolor_ratio": 1.7}, "ratio 0.609756 and 1.7"),
        ({"r": 21.0}, "radius 20 and 21"),
        ({"x": 50.0}, "place (x) 0 and 50"),
        ({"codec": "jpeg"}, "codec png and jpeg"),
    ],
)
def test_runs_with_other_trials_are_not_compared(
    sharp: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    other = write_run(tmp_path / "run", observer(0.05).assign(**change))
    with pytest.raises(InputError) as caught:
        checks.decide(sharp, method="mine", no_worse_than=other, margin=Decimal(0))
    assert words in str(caught.value)


def test_runs_with_other_rules_are_not_compared(sharp: Path, tmp_path: Path) -> None:
    table = observer(0.05)
    swapped = table.assign(x=table["x"].to_numpy()[::-1])
    for name, trials, record, words in (
        ("short", table[1:], {}, "480 and 479 trials"),
        ("rule", table, {"definitions": {"hit": "anywhere"}}, "the rule for hits is unknown and"),
        ("curve", table, {"curve": "logistic"}, "the curve is weibull and logistic"),
        ("adaptive", table, {"mode": "adaptive"}, "without --adaptive"),
        ("swapped", swapped, {}, "is only in one"),
    ):
        other = write_run(tmp_path / name, trials, **record)
        with pytest.raises(InputError) as caught:
            checks.decide(sharp, method="mine", no_worse_than=other, margin=Decimal(0))
        assert words in str(caught.value)
    digests = [write_run(tmp_path / d, table, photos_sha256=d) for d in ("one", "two")]
    with pytest.raises(InputError, match="the photos have other contents"):
        checks.decide(digests[0], no_worse_than=digests[1], margin=Decimal(0))


def test_scores_are_compared_on_the_same_images(scores: Path, tmp_path: Path) -> None:
    same = checks.decide(scores, no_worse_than=scores, margin=Decimal(0))
    assert same.passed
    assert [each.name.split()[0] for each in same.results] == [
        "hit@5", "mean_distance", "image_auroc",
    ]  # fmt: skip
    worse = write_scores(tmp_path / "worse", worse=0.3)
    verdict = checks.decide(worse, no_worse_than=scores, margin=Decimal("0.05"))
    assert not any(each.passed for each in verdict.results)
    assert checks.decide(scores, no_worse_than=worse, margin=Decimal("0.05")).passed
    hits = [pd.read_csv(run / "predictions.csv")["distance"] <= 5 for run in (worse, scores)]
    assert verdict.results[0].estimate.value == pytest.approx(hits[0].mean() - hits[1].mean())
    table = pd.read_csv(worse / "predictions.csv")
    table.assign(x=table["x"] + 1).to_csv(worse / "predictions.csv", index=False)
    with pytest.raises(InputError, match=r"x of 00\.jpg is 51\.0 and 50\.0"):
        checks.decide(worse, no_worse_than=scores, margin=Decimal(0))


def test_seeds_are_averaged_for_each_image(scores: Path, tmp_path: Path) -> None:
    run = shutil.copytree(scores, tmp_path / "seeds")
    table = pd.read_csv(run / "predictions.csv")
    twice = [table.assign(seed=seed) for seed in (0, 1)]
    pd.concat(twice, ignore_index=True).to_csv(run / "predictions.csv", index=False)
    verdict = checks.decide(run, ["hit@5 low >= 0"], no_worse_than=scores, margin=Decimal(0))
    assert verdict.passed
    assert verdict.results[0].estimate.low == value_of(scores, "hit@5 low >= 0").low
    assert any("several seeds" in note for note in verdict.notes)


def test_exit_codes_and_files(
    sharp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, junit = tmp_path / "gate.json", tmp_path / "gate.xml"
    words: list[str | Path] = [sharp, "--method", "mine", "--out", out, "--junit", junit]
    assert run_gate(*words, "--require", "a90/95 brighter <= 1.3") == 0
    line = capsys.readouterr().out.splitlines()[0]
    record = json.loads(out.read_text())
    assert (record["run"], record["passed"]) == (str(sharp), True)
    (entry,) = record["requirements"]
    assert entry["requirement"] == "a90/95 brighter <= 1.3"
    assert f"pass  a90/95 brighter {entry['value']:.3f} <= 1.3  (mine, place, 270" in line
    assert (entry["verdict"], entry["interval"], entry["limit"]) == ("pass", None, 1.3)
    assert "python" in record["versions"]
    before = out.read_bytes(), junit.read_bytes()
    failing = ["--require", "a90/95 brighter <= 1.01", "--require", "a50 darker >= 0.5"]
    assert run_gate(*words, *failing) == 2  # the files exist
    assert run_gate(*words, "--require", "a90 <= 1", "--overwrite") == 2
    assert (out.read_bytes(), junit.read_bytes()) == before
    assert run_gate(*words, *failing, "--overwrite") == 1
    assert [each["verdict"] for each in json.loads(out.read_text())["requirements"]] == [
        "fail", "pass",
    ]  # fmt: skip
    out.write_text("mine")
    assert run_gate(*words, *failing, "--overwrite") == 2
    assert out.read_text() == "mine"
    assert run_gate(sharp, "--out", junit, "--junit", junit, *failing, "--overwrite") == 2


def test_junit_has_the_elements_that_readers_expect(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a&b", observer(0.05, name="mine:find <x>"))
    file = tmp_path / "gate.xml"
    assert run_gate(
        run, "--junit", file, "--require", "a90 brighter <= 1.01", "--require", "a90 darker >= 0.5"
    ) == 1  # fmt: skip
    suites = ElementTree.parse(file).getroot()
    (suite,) = suites
    assert (suites.tag, suite.tag) == ("testsuites", "testsuite")
    for element in (suites, suite):
        counts = [int(element.attrib[name]) for name in ("tests", "failures", "errors")]
        assert counts == [2, 1, 0]
        assert float(element.attrib["time"]) == 0
    cases = suite.findall("testcase")
    assert [case.attrib["name"] for case in cases] == ["a90 brighter <= 1.01", "a90 darker >= 0.5"]
    assert {case.attrib["classname"] for case in cases} == {"mine:find <x>"}
    failures = [case.findall("failure") for case in cases]
    assert [len(each) for each in failures] == [1, 0]
    assert "is not <= 1.01" in failures[0][0].attrib["message"]
    assert (failures[0][0].text or "").startswith("FAIL  a90 brighter")
    properties = {each.attrib["name"]: each.attrib["value"] for each in cases[1].iter("property")}
    assert properties.keys() >= {"verdict", "value", "limit", "method"}
    assert float(properties["limit"]) == 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to check"),
        (["--require", "a90 brighter <= 2"], "choose one with --method: centre, mine, weak"),
        (["--require", "a90 brighter <= 2", "--method", "x"], "has no method 'x'"),
        (["--require", "a90 brighter"], "write QUANTITY"),
        (["--no-worse-than", "sharp"], "--by"),
        (["--require", "a90 brighter <= 2", "--by", "5%"], "--by needs --no-worse-than"),
        (["--no-worse-than", "sharp", "--by", "5"], "--by is '5'"),
        (["--no-worse-than", "sharp", "--by", "-5%"], "--by is '-5%'"),
        (["--no-worse-than", "sharp", "--by", "much"], "--by is 'much'"),
        (["--no-worse-than", ".", "--by", "5%", "--method", "mine"], "holds no sharpness.json"),
    ],
)
def test_bad_input_ends_with_one_line(
    sharp: Path, words: list[str], message: str, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(sharp.parent)
    assert run_gate("sharp", *words) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trials.csv", None),
        ("trials.csv", ""),
        ("trials.csv", "method,photo\nmine,a\n"),
        ("trials.csv", "method,photo,side,r,discolor_ratio,hit\nmine,a,brighter,20,1.1,yes\n"),
        ("trials.csv", "method,photo,side,r,discolor_ratio,hit\n"),
        ("sharpness.json", "{"),
        ("sharpness.json", None),
    ],
)
def test_damaged_folders_are_refused(
    sharp: Path, tmp_path: Path, name: str, text: str | None
) -> None:
    run = shutil.copytree(sharp, tmp_path / "run")
    (run / name).unlink()
    if text is not None:
        (run / name).write_text(text)
    with pytest.raises(InputError, match="run"):
        checks.decide(run, ["a90 brighter <= 2"], method="mine")


def test_damaged_scores_are_refused(scores: Path, tmp_path: Path) -> None:
    run = shutil.copytree(scores, tmp_path / "run")
    (run / "predictions.csv").unlink()
    with pytest.raises(InputError, match=r"predictions\.csv is missing"):
        checks.decide(run, ["hit@5 low >= 0.5"])
    table = pd.read_csv(run / "scores.csv").drop(columns="hit@5")
    table.to_csv(run / "scores.csv", index=False)
    with pytest.raises(InputError, match="has no column hit@5: make it again"):
        checks.decide(run, ["hit@5 >= 0.5"])


def test_the_python_function_is_an_assertion(sharp: Path) -> None:
    (result,) = localize.check(sharp, ["a90 brighter <= 1.3"], method="mine")
    assert isinstance(result, Result)
    assert result.passed
    assert localize.check(sharp, method="mine", no_worse_than=sharp, by=0.05)
    with pytest.raises(AssertionError, match=r"FAIL  a90 brighter .*\n0 of 1 requirements hold"):
        localize.check(sharp, ["a90 brighter <= 1.01"], method="mine")
    with pytest.raises(InputError, match="several methods"):
        localize.check(sharp, ["a90 brighter <= 1.01"])


def test_every_quantity_of_scores_is_a_column() -> None:
    assert {"hit@5", "hit@r", "mean_distance", "image_auroc", "aupro"} <= set(KINDS["scores"])
    assert not any(name.endswith(("_low", "_high")) for name in KINDS["scores"])
