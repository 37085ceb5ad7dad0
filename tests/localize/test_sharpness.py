"""`localize sharpness`: its trials, its files, resuming, error messages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from localize import registry, sharpness
from localize.cli import main
from localize.localizer import Finding, Learns, Localizer, Told
from localize.report import page, plots
from localize.sharpness import adaptive, charts, design, measurement, runner, sheets, thresholds
from localize.sharpness.design import Condition, Design, grid_trials
from localize.sharpness.pod import contour
from localize.sharpness.runner import TrialRunner
from synth import InputError, console, photos

FILES = {
    "trials.csv", "rates.csv", "thresholds.csv", "pairs.csv", "sharpness.json", "psychometric.png",
    "psychometric.svg", "acuity.png", "acuity.svg", "rates.png", "rates.svg",
    "faintest-hits.png", "strongest-misses.png", "report.html", "pod.csv",
    "pod-records.json",
}  # fmt: skip
SMALL = Design(
    ratios=(1.05, 1.5), radii=(10.0, 16.0), per_cell=4, size="keep", share=0.0, seed=5
)  # fmt: skip
SMALL_BUT_LATER = replace(SMALL, seed=6)


class DetectsLargeChanges(Localizer):
    """Finds large changes in a grey image; fails at ratio 1; otherwise answers the corner."""

    told = frozenset({"r", "discolor_ratio"})
    learns: Learns = "nothing"
    parameters = 3

    def __init__(self) -> None:
        self.calls: list[tuple[int, Sequence[Told] | None]] = []

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        self.calls.append((len(images), told))
        assert told is not None
        if told[0].discolor_ratio == 1:
            raise RuntimeError("nothing to see")
        flat = images[0][..., 1].astype(float)
        rows, cols = np.nonzero(np.abs(flat - 100) > 20)
        return [Finding(cols.mean(), rows.mean()) if len(rows) else Finding(0, 0)]


class AnswersCorner(DetectsLargeChanges):
    """Image-only; always answers the corner."""

    told = frozenset()

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        self.calls.append((len(images), told))
        return [Finding(0.0, 0.0)]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Localizers by the SPEC that loads them instead of a registered method."""
    known: dict[str, Any] = {}
    original = registry.load

    def load(spec: str | Path, **options: Any) -> Any:
        return known[str(spec)] if str(spec) in known else original(spec, **options)

    monkeypatch.setattr(registry, "load", load)
    return known


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few bootstrap samples."""
    monkeypatch.setattr(thresholds, "DRAWS", 60)
    for name, value in (("DIRECTIONS", 60), ("LAPSE_DIRECTIONS", 12), ("LAPSES", 3)):
        monkeypatch.setattr(contour, name, value)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures and no report, which take most of a small run's time."""
    for name in ("psychometric_curves", "acuity_chart", "hit_rate_maps"):
        monkeypatch.setattr(charts, name, lambda result: Figure())
    monkeypatch.setattr(sheets, "draw_sheets", lambda *tables: {})
    monkeypatch.setattr(plots, "save", lambda *arguments: None)
    monkeypatch.setattr(page, "write", lambda folder: None)


@pytest.fixture(scope="module")
def grey_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four grey photos of different sizes, and a file that is no image."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("grey")
    for i in range(4):
        Image.new("RGB", (90 + i, 70), (100, 100, 100)).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def same_but_for_time(first: Path, second: Path) -> None:
    """The files of two runs are equal except for the inference times."""
    names = {path.name for path in first.iterdir()}
    assert names == {path.name for path in second.iterdir()}
    for name in names - {"trials.csv"}:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    tables = [pd.read_csv(folder / "trials.csv") for folder in (first, second)]
    pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in tables))


def test_a_method_that_detects_large_changes_and_one_that_detects_none(
    loads: dict[str, Any], grey_photos: Path, tmp_path: Path
) -> None:
    loads |= {"good": DetectsLargeChanges(), "bad": AnswersCorner()}
    result = sharpness.measure(
        ["good", "bad"], grey_photos, tmp_path / "out", replace(SMALL, per_cell=8), workers=1
    )
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    trials = pd.read_csv(tmp_path / "out" / "trials.csv")
    assert tuple(trials.columns) == runner.TRIALS
    assert list(dict.fromkeys(trials["method"])) == ["centre", "good", "bad"]
    # All methods get the same images; each cell is full; every photo is used.
    cells = trials.groupby(["method", "side", "discolor_ratio", "r"]).size()
    assert set(cells) == {8, 16}
    assert len(cells) == 3 * 2 * 5
    pictures = ["trial", "photo", "x", "y", "r", "discolor_ratio", "brightness"]
    per_method = [rows[pictures].to_numpy() for _, rows in trials.groupby("method")]
    assert all((rows == per_method[0]).all() for rows in per_method)
    assert trials["photo"].nunique() == 4
    assert trials["brightness"].eq(100).all()
    # Image-only methods get no values, told methods those of each trial.
    assert all(told is None and count == 1 for count, told in loads["bad"].calls)
    told = [(each[0].r, each[0].discolor_ratio) for _, each in loads["good"].calls]
    rows = trials[trials["method"] == "good"]
    assert told == list(rows[["r", "discolor_ratio"]].itertuples(index=False, name=None))
    # A failure is recorded as a miss, and the run continues.
    failed = rows[rows["side"] == "none"]
    assert failed["error"].eq("RuntimeError: nothing to see").all()
    assert failed["hit"].eq(0).all()
    assert failed["x_pred"].isna().all()
    assert result.about["errors"] == {"good": 32}
    assert list(result.about["skipped"]) == ["broken.png"]
    large = (rows["discolor_ratio"] - 1).abs() > 0.2
    assert rows[large]["hit"].all()
    assert not rows[~large]["hit"].any()
    # The tables follow from the trials.
    whole = result.thresholds.query("cut == 'all'").set_index(["method", "side"])
    assert whole.loc[("bad", "both"), "verdict"] == "no threshold"
    assert np.isnan(whole.loc[("bad", "both"), "threshold"])
    assert 1.05 < whole.loc[("good", "brighter"), "threshold"] < 1.5
    assert 1 / 1.5 < whole.loc[("good", "darker"), "threshold"] < 1 / 1.05
    rates = pd.read_csv(tmp_path / "out" / "rates.csv").query("method == 'good' and r != r")
    assert rates["hit_rate"].tolist() == [1, 0, 0, 0, 1]
    assert rates["discolor_ratio"].is_monotonic_increasing


@pytest.mark.usefixtures("no_figures")
def test_conditions_share_their_places_and_get_rows_of_their_own(
    photo_folder: Path, tmp_path: Path
) -> None:
    conditions = design.parse_conditions(["jpeg90", "png"], ["nearest", "stochastic"], [0, 2])
    asked = replace(SMALL, conditions=conditions, per_cell=2, radii=(12.0,))
    result = sharpness.measure(["centre"], photo_folder, tmp_path / "out", asked, workers=1)
    trials = result.trials
    hard = trials[trials["feather"] == 0]
    for _, same in hard.groupby(["photo", "discolor_ratio", "x", "y"]):
        assert len(same) == 4
        assert same[["codec", "rounding"]].drop_duplicates().shape[0] == 4
    levels = set(result.thresholds.query("cut == 'codec'")["level"])
    assert levels == {
        "JPEG 90, nearest", "JPEG 90, stochastic", "PNG, nearest (rounding gaps)",
        "PNG, stochastic",
    }  # fmt: skip
    assert set(result.thresholds.query("cut == 'feather'")["level"]) == {"0 px", "2 px"}
    thirds = result.thresholds.query("cut == 'texture' and side == 'both'")
    assert {"smooth", "busy"} <= {level.split()[0] for level in thirds["level"]}


def test_a_trial_renders_the_same_image_again_and_ratio_one_changes_nothing(
    photo_folder: Path,
) -> None:
    trial_runner = TrialRunner({"centre": "centre"}, photo_folder, SMALL)
    trial_runner.load()
    names = photos.find(photo_folder)
    for asked in (SMALL, replace(SMALL, adaptive=14)):
        trial_runner.design = asked
        trials = (
            next(adaptive.trial_blocks(asked, names))
            if asked.adaptive
            else grid_trials(asked, names)
        )
        render = measurement._trial_renderer(trial_runner, names)
        for trial in trials[::7]:
            row = trial_runner.run(runner.Task(trial, ("centre",)))[0]
            rendered = render(row)
            assert (rendered.truth.x, rendered.truth.y) == (row["x"], row["y"])
            assert (rendered.brightness, rendered.texture) == (row["brightness"], row["texture"])
            assert np.array_equal(rendered.image, rendered.clean) == (row["side"] == "none")


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("asked", [SMALL, replace(SMALL, adaptive=20)], ids=["grid", "adaptive"])
def test_results_depend_on_the_seed_alone_and_an_interrupted_run_resumes(
    asked: Design, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(name: str, **options: Any) -> None:
        sharpness.measure(["boundary"], photo_folder, tmp_path / name, asked, **options)

    measure("whole", workers=2)
    original, left = TrialRunner.run, iter(range(13))

    def interrupt_after_13(self: TrialRunner, task: runner.Task) -> list[runner.Row]:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return original(self, task)

    with monkeypatch.context() as patched:
        patched.setattr(TrialRunner, "run", interrupt_after_13)
        with pytest.raises(KeyboardInterrupt):
            measure("stopped", workers=1)
    journal = tmp_path / "stopped.partial" / measurement.ANSWER_LOG
    assert len(journal.read_bytes().splitlines()) == 1 + 13
    journal.write_bytes(journal.read_bytes()[:-20])  # as if killed during a write
    with pytest.raises(InputError, match="holds an unfinished run"):
        measure("stopped", workers=1)
    with pytest.raises(InputError, match="started with another design"):
        sharpness.measure(
            ["boundary"], photo_folder, tmp_path / "stopped", SMALL_BUT_LATER, resume=True
        )
    measure("stopped", workers=1, resume=True)
    same_but_for_time(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.slow
@pytest.mark.usefixtures("no_figures")
def test_a_killed_command_resumes(photo_folder: Path, tmp_path: Path) -> None:
    flags = ["--size", "keep", "--radii", "12", "--ratios", "1.1,1.3", "--per-cell", "8"]
    line = [
        sys.executable, "-m", "localize", "sharpness", "boundary", "--photos", str(photo_folder),
        *flags, "--out",
    ]  # fmt: skip
    journal = tmp_path / "killed.partial" / measurement.ANSWER_LOG
    with subprocess.Popen([*line, str(tmp_path / "killed"), "--workers", "2"]) as process:
        while not journal.is_file() or journal.read_bytes().count(b"\n") < 10:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert journal.read_bytes().count(b"\n") < 1 + 48
    arguments = [*line[3:], str(tmp_path / "killed"), "--resume", "--workers", "1"]
    assert console.run(main.app, "localize", arguments) == 0
    arguments = [*line[3:], str(tmp_path / "whole"), "--workers", "1"]
    assert console.run(main.app, "localize", arguments) == 0
    same_but_for_time(tmp_path / "whole", tmp_path / "killed")


@pytest.mark.usefixtures("no_figures")
def test_external_trials_are_a_further_method(photo_folder: Path, tmp_path: Path) -> None:
    """Hits are computed by the run's own rule; the file is as the play page writes it."""
    ratios = np.repeat([1.02, 1.05, 1.1, 1.2, 1.4], 12)
    seen = np.repeat([0.0, 0.25, 0.5, 0.75, 1.0], 12) > np.tile(np.arange(12) / 12, 5)
    people = pd.DataFrame({
        "method": "person", "trial": range(60), "file_name": "images/a.jpg",
        "photo": [f"{i % 6}.jpg" for i in range(60)], "x": 50.0, "y": 40.0, "r": 12.0,
        "discolor_ratio": ratios, "x_pred": np.where(seen, 54.0, np.nan), "y_pred": 40.0,
        "distance": 0.0, "hit": 1, "seconds": 2.5, "choice": "", "zoom": 1,
    })  # fmt: skip
    people.to_csv(tmp_path / "play.csv", index=False)
    asked = replace(SMALL, radii=(12.0,), per_cell=2)
    result = sharpness.measure(
        [], photo_folder, tmp_path / "out", asked, trials=[tmp_path / "play.csv"], workers=1
    )
    person = result.trials[result.trials["method"] == "person"]
    assert person["hit"].to_numpy().tolist() == seen.astype(int).tolist()
    assert person["distance"].dropna().eq(4).all()
    row = result.thresholds.query("method == 'person' and cut == 'all'").iloc[0]
    assert row["verdict"] == ""
    assert 1.05 < row["threshold"] < 1.2
    assert np.isnan(row["contrast_percent"])  # the brightness of the regions is unknown


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("r,discolor_ratio\n1,1.1\n", "no photo or file_name"),
        ("photo,r,discolor_ratio\na,1,1.1\n", "no x, y, x_pred, y_pred"),
        (
            "photo,r,discolor_ratio,hit\na,1,1.1,1\na,ten,1.1,1\n",
            "line 3: r is 'ten', not a number",
        ),
        (
            "photo,r,discolor_ratio,hit\na,1,0,1\n",
            "line 2: discolor_ratio is '0', not a number above 0",
        ),
        ("photo;r;discolor_ratio;hit\na;inf;1,1;1\n", "line 2: r is 'inf', not a number"),
        ("photo,r,discolor_ratio,hit\na,1\n", "line 2: 2 cells, the header has 4"),
        (
            "photo,r,discolor_ratio,x,y,x_pred,y_pred\na,9,1.1,0.5,0.5,0.25,0.75\n",
            "in 0 to 1, so they are probably not px: give px",
        ),
        ("photo,r,discolor_ratio,hit,method\na,1,1.1,1,centre\n", "'centre': rename"),
        ("photo,r,discolor_ratio,hit\n", "no row"),
        ("", "cannot be read: it is empty"),
    ],
)
def test_invalid_trials_give_one_clear_line(
    table: str, message: str, photo_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "t.csv").write_text(table)
    with pytest.raises(InputError, match=message):
        sharpness.measure(
            [], photo_folder, tmp_path / "out", SMALL, trials=[tmp_path / "t.csv"], workers=1
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["boundary", "--photos", "PHOTOS"], "--out is missing"),
        (["boundary", "--out", "OUT"], "--photos is missing"),
        (["--photos", "PHOTOS", "--out", "OUT"], "nothing to measure"),
        (["bundary", "--photos", "PHOTOS", "--out", "OUT"], "did you mean 'boundary'"),
        (["boundary", "--photos", "nowhere", "--out", "OUT"], "no folder of photos"),
        (["boundary", "--photos", "PHOTOS", "--out", "OUT"], "smaller than 512x512"),
        (["--ratios", "0.9,1.1"], "ratios is"),
        (["--ratios", "1.1"], "give two"),
        (["--ratios", "1.1:1.05:4"], "1 < LO < HI"),
        (["--ratios", "1.1:1.2"], "LO:HI:N"),
        (["--ratios", "1.1,many"], "give numbers"),
        (["--radii", "0.5"], "radius is 0.5:0.5"),
        (["--radii", "20,20"], "each once"),
        (["--radii", "500", "--size", "512x512"], "does not fit into 512x512"),
        (["--sides", "left"], "use both, darker, brighter"),
        (["--codecs", "gif"], "codec 'gif' is unknown"),
        (["--codecs", "jpeg900"], "quality is 900"),
        (["--roundings", "up"], "rounding is 'up'"),
        (["--feathers", "-1"], "feather is -1.0"),
        (["--shape", "star"], "shape is 'star'"),
        (["--curve", "gumbel"], "curve 'gumbel' is unknown"),
        (["--per-cell", "0"], "per_cell is 0"),
        (["--adaptive", "0"], "--adaptive is 0"),
        (["--within", "-1"], "within is -1"),
        (["--workers", "-1"], "workers is -1"),
        (["--trials", "none.csv"], "no table at none.csv"),
    ],
)
def test_invalid_input_gives_one_clear_line(
    arguments: list[str], message: str, photo_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    if arguments[0] in ("--ratios", "--radii", "--sides", "--codecs", "--roundings", "--feathers",
                        "--shape", "--curve", "--per-cell", "--adaptive", "--within", "--workers",
                        "--trials"):  # fmt: skip
        arguments = ["centre", "--photos", "PHOTOS", "--out", "OUT", "--size", "keep", *arguments]
    named = {"PHOTOS": str(photo_folder), "OUT": str(tmp_path / "out")}
    line = ["sharpness", *(named.get(word, word) for word in arguments)]
    assert console.run(main.app, "localize", line) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_defaults_are_the_ones_that_the_command_shows() -> None:
    import inspect

    from localize.cli import sharpness

    shown = {n: p.default for n, p in inspect.signature(sharpness.sharpness).parameters.items()}
    default = Design()
    assert sharpness._parse_grid(shown["ratios"], "", design.log_grid) == default.ratios
    assert sharpness._parse_grid(shown["radii"], "", sharpness._radius_grid) == default.radii
    assert design.parse_conditions([shown["codecs"]], [shown["roundings"]], [0.0]) == (Condition(),)
    assert sharpness.SIDES[shown["sides"]] == default.sides
    for name in ("per_cell", "within", "share", "shape", "overflow", "seed"):
        assert shown[name] == getattr(default, name), name
    assert json.dumps(default.to_dict())
