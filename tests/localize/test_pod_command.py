"""The command `localize pod`: tables, result folder, report, bad input."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special

from localize.cli.main import app
from localize.report import page
from localize.sharpness import luminance
from localize.sharpness.pod import PodOptions, contour, measure, resampling
from localize.sharpness.pod.results import PodResult
from synth import console
from synth.errors import InputError


@pytest.fixture(scope="module", autouse=True)
def _coarse() -> Iterator[None]:
    """Few bootstrap samples and few points on the borders of the confidence regions."""
    draws = {**resampling.bounds.__kwdefaults__, "draws": 100}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resampling.bounds, "__kwdefaults__", draws)
        for name, value in (
            ("DIRECTIONS", 90), ("LAPSE_DIRECTIONS", 24), ("LAPSES", 5), ("SEARCHED_LAPSES", 40),
        ):  # fmt: skip
            patch.setattr(contour, name, value)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result folder of hits with two parts."""
    return analyse_table(
        tmp_path_factory.mktemp("pod"), hit_table(), size="length", hits=("found",), by="maker"
    ).folder  # type: ignore[return-value]


def hit_table(seed: int = 1, n: int = 120, **columns: Any) -> pd.DataFrame:
    """A table with lengths and hits; a90 is near 4.1."""
    rng = np.random.default_rng(seed)
    length = rng.uniform(0.5, 6, n).round(3)
    pod = special.expit(2 * (length - 3))
    return pd.DataFrame({
        "id": range(n), "length": length, "found": (rng.random(n) < pod).astype(int),
        "again": (rng.random(n) < pod).astype(int), "photo": np.arange(n) // 4,
        "maker": np.where(np.arange(n) % 2, "a", "b"),
        "amplitude": (100 * length + 60 * rng.standard_normal(n)).round(2),
    } | columns)  # fmt: skip


def trial_table() -> pd.DataFrame:
    """Trials as sharpness writes them, of two methods and both sides."""
    rng = np.random.default_rng(2)
    ratios = np.array([1, 1.01, 1.02, 1.04, 1.08, 1.16, 1.32]).repeat(20)
    rows = []
    for method, middle in (("centre", 9.0), ("mine", 0.05)):
        for side, ratio in (("brighter", ratios), ("darker", 1 / ratios)):
            step = np.abs(np.log(ratio))
            pod = np.where(step > 0, special.expit(3 * np.log(np.maximum(step, 1e-9) / middle)), 0)
            rows.append(pd.DataFrame({
                "method": method, "photo": np.arange(len(ratio)) % 24,
                "side": np.where(step > 0, side, "none"), "discolor_ratio": ratio.round(6),
                "r": 20.0, "brightness": 128.0, "hit": (rng.random(len(ratio)) < pod).astype(int),
            }))  # fmt: skip
    return pd.concat(rows, ignore_index=True)


def write(folder: Path, table: pd.DataFrame) -> Path:
    path = folder / "table.csv"
    table.to_csv(path, index=False)
    return path


def analyse_table(folder: Path, table: pd.DataFrame, **options: Any) -> PodResult:
    result = measure(write(folder, table), folder / "pod", PodOptions(**options))
    assert result.folder == folder / "pod"
    return result


def text_of(folder: Path) -> str:
    """The words of the report."""
    text = (folder / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<(style|script|svg).*?</\1>", "", text, flags=re.DOTALL)
    return " ".join(re.sub("<[^>]+>", " ", text).replace("\u00a0", " ").split())


def test_hits_become_a_folder_of_results(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "pod.csv", "curve.csv", "parts.csv", "targets.csv", "pod.json", "pod.png", "pod.svg",
        "report.html",
    }  # fmt: skip
    models = pd.read_csv(finished / "pod.csv")
    handbook = models[models["model"] == "handbook"]
    assert len(handbook[["link", "scale"]].drop_duplicates()) == len(handbook) == 8
    assert models["model"].tolist()[8:] == ["guess and lapse"]
    assert models["chosen"].sum() == 1
    row = models[models["chosen"] == 1].iloc[0]
    assert row["deviance"] == handbook["deviance"].min()
    assert 3.4 < row["a90"] < row["a90_95_one_sided"] < row["a90_95"] < 6
    assert row["a90_95_larger"] == max(row["a90_95"], row["a90_95_bootstrap"])
    assert models.loc[models["chosen"] == 0, "a90_95_bootstrap"].isna().all()
    curve = pd.read_csv(finished / "curve.csv")
    assert np.interp(row["a90_95"], curve["size"], curve["pod_low"]) == pytest.approx(0.9, abs=0.01)
    assert np.interp(row["a90"], curve["size"], curve["pod"]) == pytest.approx(0.9, abs=0.01)
    assert pd.read_csv(finished / "parts.csv")["part"].tolist() == ["b", "a"]
    words = text_of(finished)
    assert f"A target of length {row['a90']:.5g} is found with probability 0.9" in words
    assert f"{row['a90_95_larger']:.5g}" in words
    assert "There were no trials without a target" in words
    assert "The curves of the parts by maker do not differ significantly" in words


def test_a_report_is_written_again(finished: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(finished, tmp_path / "pod")
    before = (copy / "report.html").read_bytes()
    (copy / "report.html").unlink()
    assert page.write(copy).read_bytes() == before


@pytest.mark.usefixtures("no_figures_here")
def test_trials_of_sharpness_are_shown_as_ratios(tmp_path: Path) -> None:
    trials = trial_table()
    only = (("method", "mine"), ("side", "darker"))
    row = analyse_table(tmp_path, trials, only=only).chosen
    assert row["a90_ratio"] == pytest.approx(math.exp(-row["a90"]))
    assert row["a90_95_ratio"] < row["a90_ratio"] < 1
    assert row["a90_contrast_percent"] == pytest.approx(
        float(luminance.contrast(row["a90_ratio"], 128.0))
    )
    record = json.loads((tmp_path / "pod/pod.json").read_text())
    assert (record["targets"], record["blanks"], record["group"]) == (120, 40, "photo")
    assert f"A target of ratio {row['a90_ratio']:.3f}" in text_of(tmp_path / "pod")
    out = tmp_path / "both"
    both = measure(tmp_path / "table.csv", out, PodOptions(only=only[:1]))
    assert (both.about["targets"], both.about["side"]) == (240, "both")
    assert both.chosen["a90_ratio"] > 1


def test_a_curve_that_rises_at_one_size_has_a_band(tmp_path: Path) -> None:
    """Only the size 3 has hits and misses below the limit of POD: the information has rank 1."""
    hits = {1: 0, 2: 0, 3: 3, 4: 17, 5: 17, 6: 15, 7: 17}
    rows = [(size, int(k < n)) for size, n in hits.items() for k in range(30)]
    table = pd.DataFrame(rows, columns=["length", "found"])
    result = analyse_table(tmp_path, table, size="length", hits=("found",))
    assert result.chosen["verdict"] == "POD never reaches 0.9"
    assert result.curve["pod_low"].between(0, result.curve["pod"] + 1e-9).all()
    assert result.curve["pod_high"].between(result.curve["pod"] - 1e-9, 1).all()


@pytest.mark.usefixtures("no_figures_here")
def test_repeated_inspections_share_their_targets(tmp_path: Path) -> None:
    table = hit_table().drop(columns="photo")
    table.loc[3, "again"] = np.nan
    options: dict[str, Any] = {"size": "length", "link": "logit", "scale": "linear"}
    result = analyse_table(tmp_path, table, hits=("found", "again"), **options)
    about = result.about
    assert (about["targets"], about["trials"], about["group"]) == (120, 239, "target")
    assert "1 empty cells of found, again left out" in about["notes"]
    long = pd.concat([
        table[["length", "found"]],
        table[["length", "again"]].dropna().rename(columns={"again": "found"}),
    ])  # fmt: skip
    (tmp_path / "long").mkdir()
    pooled = analyse_table(tmp_path / "long", long, hits=("found",), **options)
    for name in ("intercept", "slope", "aic", "a90_95"):
        assert result.chosen[name] == pytest.approx(pooled.chosen[name], rel=1e-9)


@pytest.mark.usefixtures("no_figures_here")
def test_a_signal_becomes_a_pod(tmp_path: Path) -> None:
    result = analyse_table(
        tmp_path, hit_table(), size="length", signal="amplitude", decision=300.0,
        censored_above=500.0,
    )  # fmt: skip
    assert len(result.models) == 2
    row = result.chosen
    assert row["scale"] == "linear"  # as it was simulated
    assert row["a50"] == pytest.approx(3, abs=0.2)
    assert row["a90"] == pytest.approx(3 + 1.2816 * 0.6, abs=0.3)
    assert row["a90"] < row["a90_95"] == row["a90_95_one_sided"]
    assert "by the delta method" in text_of(tmp_path / "pod").lower()
    (tmp_path / "log").mkdir()
    table = hit_table()
    table["amplitude"] = np.exp(table["amplitude"] / 100)
    logs = analyse_table(
        tmp_path / "log", table, size="length", signal="amplitude", decision=math.exp(3.0),
        signal_scale="log",
    ).chosen  # fmt: skip
    assert logs["a90"] == pytest.approx(row["a90"], rel=0.05)


@pytest.mark.usefixtures("no_figures_here")
def test_a_pod_that_never_reaches_09_has_no_a90(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    length = rng.uniform(0.5, 6, 600)
    found = (rng.random(600) < 0.7 * special.expit(4 * (length - 2))).astype(int)
    table = pd.DataFrame({"length": length, "found": found})
    result = analyse_table(tmp_path, table, size="length", hits=("found",), scale="linear")
    assert result.chosen["verdict"] == "POD never reaches 0.9"
    assert math.isnan(result.chosen["a90"])
    assert any("never reaches 0.9" in each for each in result.warnings)
    assert "There is no a90" in text_of(tmp_path / "pod")
    handbook = measure(
        tmp_path / "table.csv", tmp_path / "handbook",
        PodOptions(size="length", hits=("found",), scale="linear", model="handbook"),
    )  # fmt: skip
    assert handbook.chosen["model"] == "handbook"
    assert math.isfinite(handbook.chosen["a90"])


def line_of(capfd: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    """The exit code and the only line on stderr of a command."""
    code = console.run(app, "localize", ["pod", *map(str, words)])
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    return code, lines[0]


FEW = pd.DataFrame({"s": [1, 2, 3, 4, 5, 6], "h": [0, 0, 1, 0, 1, 1]})
SEPARATED = FEW.assign(h=[0, 0, 0, 1, 1, 1])
BASE = ("--size", "s", "--hit", "h")


@pytest.mark.parametrize(
    ("table", "words", "message"),
    [
        (FEW, (), "--size is missing: name the column with the sizes of s, h"),
        (FEW, ("--size", "s"), "--hit is missing"),
        (FEW, ("--size", "mm", "--hit", "h"), "lacks the column mm: it has s, h"),
        (FEW, ("--size", "s", "--hit", "seen"), "lacks the column seen"),
        (FEW, (*BASE, "--by", "disk"), "lacks the column disk"),
        (FEW, (*BASE, "--group", "photo"), "lacks the column photo"),
        (FEW, (*BASE, "--link", "cauchit"), "--link is 'cauchit': use auto, logit"),
        (FEW, (*BASE, "--scale", "sqrt"), "--scale is 'sqrt': use auto, linear, log"),
        (FEW, (*BASE, "--model", "best"), "--model is 'best'"),
        (FEW, (*BASE, "--only", "s"), "--only is 's': give COLUMN=VALUE"),
        (FEW, (*BASE, "--only", "s=9"), "--only s=9: s is 1, 2, 3, 4, 5, 6"),
        (FEW, (*BASE, "--signal", "h", "--decision", "1"), "--hit and --signal are both given"),
        (FEW, ("--size", "s", "--signal", "h"), "--signal needs --decision"),
        (FEW, (*BASE, "--decision", "1"), "--decision is for --signal"),
        (SEPARATED, BASE, "are separated: all targets up to 3 were missed and all from 4 found"),
        (FEW.assign(h=1), BASE, "all 6 trials are hits: a90 lies below all sizes, so add targets"),
        (FEW.assign(h=0), BASE, "all 6 trials are misses: a90 lies above all sizes, so add"),
        (SEPARATED.assign(h=[1, 1, 1, 0, 0, 0]), BASE, "POD falls with size"),
        (FEW.assign(h=[1, 1, 0, 1, 0, 0]), BASE, "POD falls with size"),
        (FEW.assign(s=[1, 1, 1, 2, 2, 2]), BASE, "2 different sizes: add targets of other sizes"),
        (FEW.assign(s=0), BASE, "0 different sizes"),
        (FEW.assign(s=[-1, 2, 3, 4, 5, 6]), BASE, "row 0, line 2: s is '-1'"),
        (FEW.assign(s=["", 2, 3, 4, 5, 6]), BASE, "row 0, line 2: s is ''"),
        (FEW.assign(h=[0, 0, 2, 1, 1, 1]), BASE, "row 2, line 4: h is '2': write 1 for a hit"),
        (FEW.assign(h=""), BASE, "has no answer in these columns"),
        (FEW[:0], BASE, "has no rows"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    table: pd.DataFrame, words: tuple[str, ...], message: str, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = write(tmp_path, table)
    code, line = line_of(capfd, path, *words, "--out", tmp_path / "pod")
    assert code == 2
    assert message in line
    assert sorted(each.name for each in tmp_path.iterdir()) == ["table.csv"]


@pytest.mark.parametrize(
    ("change", "words", "message"),
    [
        ({}, ("--decision", "nan"), "--decision is nan"),
        ({}, ("--decision", "600", "--censored-above", "500"), "between the limits of censoring"),
        ({"maker": "a"}, ("--decision", "300", "--by", "maker"), "--by maker makes 1 part"),
        ({}, ("--decision", "200", "--link", "logit"), "the POD of a signal is a probit curve"),
        ({}, ("--decision", "-1", "--signal-scale", "log"), "needs a decision value"),
        ({"amplitude": 5.0}, ("--decision", "3"), "different values"),
        ({"amplitude": np.arange(120)[::-1]}, ("--decision", "50"), ""),
    ],
)
def test_bad_signals_are_refused(
    change: dict[str, Any], words: tuple[str, ...], message: str, tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    table = hit_table().sort_values("length").assign(**change)
    path = write(tmp_path, table)
    options = ("--size", "length", "--signal", "amplitude", *words, "--out", tmp_path / "pod")
    code, line = line_of(capfd, path, *options)
    assert code == 2
    assert (message or "POD falls with size") in line
    assert not (tmp_path / "pod").exists()


def test_one_method_of_trials_must_be_chosen(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, trial_table())
    code, line = line_of(capfd, path, "--out", tmp_path / "pod")
    assert (code, "choose one with --only method=mine" in line) == (2, True)


def test_only_its_own_folder_is_overwritten(finished: Path, tmp_path: Path) -> None:
    path, options = write(tmp_path, hit_table()), PodOptions(size="length", hits=("found",))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(InputError):
            measure(path, tmp_path / "mine", options, overwrite=overwrite)
    copy = shutil.copytree(finished, tmp_path / "pod")
    with pytest.raises(InputError, match="exists"):
        measure(path, copy, options)
    measure(path, copy, options, overwrite=True)
    assert not (copy / "parts.csv").exists()
    assert (tmp_path / "mine/notes.txt").read_text() == "x"


@pytest.mark.usefixtures("no_figures_here")
def test_doubtful_tables_are_warned_of(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = hit_table(n=40).assign(photo=lambda rows: rows["id"] % 5)
    path = write(tmp_path, table)
    words = ["pod", str(path), "--size", "length", "--hit", "found", "--out", str(tmp_path / "p")]
    assert console.run(app, "localize", words) == 0
    out = " ".join(capfd.readouterr().out.split())
    assert "warning: 40 targets are few: the handbook asks for at least 60, so add 20" in out
    assert "warning: the bootstrap has only 5 groups (photo)" in out
    assert "40 targets are few" in text_of(tmp_path / "p")


@pytest.mark.usefixtures("no_figures_here")
def test_an_extrapolated_a90_and_a_small_overlap_are_warned_of(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    size = np.linspace(1, 3, 80)
    hit = (rng.random(80) < special.expit(1.5 * (size - 3))).astype(int)
    table = pd.DataFrame({"size": size, "hit": hit})
    warned = analyse_table(tmp_path, table, size="size", hits=("hit",), model="handbook").warnings
    assert any("a90 is extrapolated beyond the largest target (3)" in each for each in warned)
    size = np.r_[np.linspace(1, 2, 40), np.linspace(3, 4, 40)]
    hit = (size > 2.5).astype(int)
    hit[39], hit[40] = 1, 0
    (tmp_path / "other").mkdir()
    table = pd.DataFrame({"size": size, "hit": hit})
    warned = analyse_table(tmp_path / "other", table, size="size", hits=("hit",)).warnings
    assert any("overlap in 2 targets only, from 2 to 3: add targets" in each for each in warned)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("pod.json", '"targets": 120', '"targets": "many"'),
        ("pod.json", '"kind"', '"kinds"'),
        ("pod.csv", "a90_95", "other"),
        ("pod.csv", ",1,", ",0,"),
    ],
)
def test_a_damaged_folder_is_named(
    name: str, old: str, new: str, finished: Path, tmp_path: Path
) -> None:
    path = shutil.copytree(finished, tmp_path / "pod") / name
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputError, match=re.escape(str(path))):
        page.write(tmp_path / "pod")
