"""The command as a user types it: answers, exit codes, one clear line for bad input."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from localize.cli import main
from synth import Anomaly, apply, console

pytestmark = pytest.mark.usefixtures("no_figures")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = console.run(main.app, "localize", [str(a) for a in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def broken_copy(small_set: Path, folder: Path, **changes: object) -> Path:
    """A copy of the dataset whose first row with an anomaly is changed."""
    shutil.copytree(small_set, folder)
    table = pd.read_csv(folder / "metadata.csv", dtype=str, keep_default_na=False)
    row = int(np.flatnonzero(table["label"] == "1")[0])
    for column, value in changes.items():
        table.loc[row, column] = str(value)
    table.to_csv(folder / "metadata.csv", index=False)
    return folder


def test_methods_lists_each_with_what_it_is_told(run: Run) -> None:
    code, out, _ = run("methods")
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert code == 0
    assert "told: nothing" in lines["centre"]
    assert "told: discolor_ratio and r" in lines["boundary"]
    assert "learns from: labelled" in lines["cnn-slow"]


def test_train_evaluate_find(run: Run, small_set: Path, tmp_path: Path) -> None:
    flags = ("--input", "48x32", "--epochs", 1, "--device", "cpu")
    code, out, _ = run("train", "cnn-slow", small_set, "--out", tmp_path / "slow", *flags)
    assert code == 0
    assert "centre guess" in out
    code, out, _ = run("evaluate", tmp_path / "slow", small_set, "--out", tmp_path / "scores")
    assert code == 0
    assert "split test" in out
    assert pd.read_csv(tmp_path / "scores/scores.csv")["method"].tolist() == ["centre", "slow"]
    image = next((small_set / "images").iterdir())
    code, out, _ = run("find", image, "--method", tmp_path / "slow")
    assert code == 0
    assert out.startswith(f"{image}: x ")


def test_find_with_boundary_finds_it_and_draws_it(run: Run, tmp_path: Path) -> None:
    y, x = np.mgrid[0:200, 0:240]
    smooth = 110 + 30 * np.sin(x / 60) + 20 * np.cos(y / 45)
    grain = np.random.default_rng(0).normal(0, 1.0, smooth.shape)
    photo = np.clip(smooth + grain, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)
    hidden = apply(photo, Anomaly(x=150, y=80, r=30, discolor_ratio=1.06))
    Image.fromarray(hidden).save(tmp_path / "hidden.png")
    (tmp_path / "notes.jpg").write_text("no image")
    code, out, _ = run(
        "find", tmp_path / "hidden.png", tmp_path / "notes.jpg", "--method", "boundary",
        "--r", 30, "--ratio", 1.06, "--overlay", tmp_path / "drawn",
    )  # fmt: skip
    found = out.splitlines()[0].split()
    assert float(found[2]) == pytest.approx(150, abs=1)
    assert float(found[4]) == pytest.approx(80, abs=1)
    assert "not a picture" in out  # told, and the run went on
    assert code == 1
    with Image.open(tmp_path / "drawn/hidden.png") as drawn:
        assert drawn.size == (240, 200)
        assert np.abs(np.asarray(drawn.convert("RGB")).astype(int) - hidden).max() > 50


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate", "bondary", "SET", "--out", "OUT"], "did you mean 'boundary'"),
        (["evaluate", "cnn-fast", "SET", "--out", "OUT"], "trained first"),
        (["evaluate", "boundary", "nowhere", "--out", "OUT"], "nowhere"),
        (["evaluate", "boundary", "SET", "--out", "OUT", "--split", "tset"], "tset"),
        (["evaluate", "no/run", "SET", "--out", "OUT"], "no run folder"),
        (["compare", "SET", "--out", "OUT", "--methods", "cnn-fats"], "cnn-fast"),
        (["compare", "SET", "--out", "OUT", "--epochs-scale", "0"], "epochs-scale"),
        (["compare", "SET", "--out", "OUT", "--input", "big"], "--input"),
        (["compare", "SET", "--out", "SET"], "is or contains the input"),
        (["train", "centre", "SET", "--out", "OUT"], "learns nothing"),
        (["train", "cnn-fast", "SET", "--out", "OUT", "--augment", "spin"], "spin"),
        (["train", "cnn-fast", "SET", "--out", "OUT", "--device", "tpu"], "device 'tpu'"),
        (["train", "cnn-fast", "SET", "--out", "OUT", "--epochs", "-1"], "epochs"),
        (["train", "cnn-fast", "SET", "--out", "OUT", "--batch", "many"], "batch"),
        (["find", "nothing.jpg", "--method", "centre"], "nothing.jpg"),
        (["find", "SET", "--method", "boundary"], "told"),
        (["find", "SET", "--method", "boundary", "--r", "-3", "--ratio", "1.1"], "above 0"),
        (["find", "SET", "--method", "boundary", "--r", "20:40", "--ratio", "1.1"], "ringvote"),
        (["find", "SET", "--r", "40:20"], "the smaller first"),
        (["find", "SET", "--method", "centre", "--r", "20:40"], "centre uses neither"),
        (["find", "SET", "--ratio", "1.1:"], "--ratio is '1.1:'"),
        (["find", "SET", "--r", "nan"], "r is nan"),
        (["fnid"], "fnid"),
        (["compare"], "DATASET"),
    ],
)
def test_bad_input_gets_one_clear_line(
    arguments: list[str], words: str, run: Run, small_set: Path, tmp_path: Path
) -> None:
    names = {"SET": str(small_set), "OUT": str(tmp_path / "out")}
    code, _, err = run(*(names.get(word, word) for word in arguments))
    assert code == 2
    assert err.count("\n") == 1
    assert err.startswith("localize: ")
    assert words.lower() in err.lower()
    assert list(tmp_path.iterdir()) == []  # nothing half-written


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x": "nan"}, "x"),
        ({"x": ""}, "x"),
        ({"x": "left"}, "'left'"),
        ({"x": 3}, "is not inside"),
        ({"discolor_ratio": 0}, "above 0"),
        ({"file_name": "images/gone.jpg"}, "missing"),
        ({"file_name": "../../etc/passwd"}, "points outside"),
        ({"shape": "star"}, "star"),
        ({"split": "tests"}, "tests"),
    ],
)
def test_a_wrong_row_is_named(
    changes: dict[str, object], words: str, run: Run, small_set: Path, tmp_path: Path
) -> None:
    bad = broken_copy(small_set, tmp_path / "bad", **changes)
    code, _, err = run("evaluate", "centre", bad, "--out", tmp_path / "out")
    assert code == 2
    assert err.count("\n") == 1
    assert "row " in err
    assert words in err
    assert not (tmp_path / "out").exists()


def test_a_table_without_its_columns(run: Run, small_set: Path, tmp_path: Path) -> None:
    shutil.copytree(small_set, tmp_path / "bad")
    table = pd.read_csv(small_set / "metadata.csv").drop(columns=["r", "discolor_ratio"])
    table.to_csv(tmp_path / "bad/metadata.csv", index=False)
    code, _, err = run("evaluate", "centre", tmp_path / "bad", "--out", tmp_path / "out")
    assert code == 2
    assert "lacks the column r, discolor_ratio" in err


def test_an_image_of_another_size_is_named(run: Run, small_set: Path, tmp_path: Path) -> None:
    shutil.copytree(small_set, tmp_path / "bad")
    table = pd.read_csv(small_set / "metadata.csv")
    name = table[(table["label"] == 1) & (table["split"] == "test")]["file_name"].iloc[0]
    Image.new("RGB", (50, 50)).save(tmp_path / "bad" / name, "JPEG")
    code, _, err = run("evaluate", "centre", tmp_path / "bad", "--out", tmp_path / "out")
    assert code == 2
    assert "50x50" in err
    assert name in err
    assert not (tmp_path / "out").exists()


def test_version_and_help_are_light() -> None:
    code = (
        "import sys; from localize.cli import main; "
        "assert not {'torch', 'pandas', 'matplotlib', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    shown = subprocess.run(
        [sys.executable, "-m", "localize", "--version"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("localize ")


@pytest.mark.parametrize(
    ("given", "turns"),
    [
        ({}, 10_000),
        pytest.param({"GOMP_SPINCOUNT": "77"}, 77, marks=pytest.mark.slow),
        pytest.param({"OMP_WAIT_POLICY": "passive"}, 0, marks=pytest.mark.slow),
    ],
)
def test_threads_that_wait_leave_a_busy_machine_its_cores(
    given: Mapping[str, str], turns: int
) -> None:
    own = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    usual = {name: value for name, value in os.environ.items() if name not in own}
    told = subprocess.run(
        [sys.executable, "-c", "import localize, torch"],
        env={**usual, **given, "OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    if "GOMP_SPINCOUNT" not in told:
        pytest.skip("this torch does not use GNU's OpenMP")
    assert f"GOMP_SPINCOUNT = '{turns}'" in told


@pytest.mark.parametrize(
    "command",
    [
        "methods",
        "train",
        "evaluate",
        "compare",
        "find",
        "score",
        "sharpness",
        "play",
        "report",
        "learning-curve",
    ],
)
def test_every_command_shows_an_example(command: str, run: Run) -> None:
    code, out, _ = run(command, "--help")
    assert code == 0
    assert f"localize {command}" in " ".join(out.split()).replace(" │ ", " ")
    assert "Example" in out
