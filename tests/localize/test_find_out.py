"""`localize find --out`: a row for each image, also after an interruption."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from localize import api
from localize.findings import COLUMNS, log_path

Run = Callable[..., tuple[int, str, str]]
BOUNDARY = ("--method", "boundary", "--r", "12", "--ratio", "1.3")


@pytest.fixture
def pictures(small_set: Path, tmp_path: Path) -> Path:
    """Five images, the third of them damaged."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, path in enumerate(sorted((small_set / "images").iterdir())[:5]):
        shutil.copy(path, folder / f"{number}{path.suffix}")
    damaged = sorted(folder.iterdir())[2]
    damaged.write_bytes(damaged.read_bytes()[:100])
    return folder


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the next run end with Ctrl-C after some answers."""
    answers, original = [0], api.locate

    def locate(*given: Any, **options: Any) -> Any:
        answers[0] += 1
        if answers[0] > count:
            raise KeyboardInterrupt
        return original(*given, **options)

    monkeypatch.setattr(api, "locate", locate)


def test_a_table_with_a_row_for_each_image(run: Run, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "findings.csv"
    code, said, _ = run("find", pictures, *BOUNDARY, "--out", out)
    assert code == 1
    assert "5 images" in said
    assert "1 of 5 images have no answer" in said
    table = pd.read_csv(out)
    assert tuple(table.columns) == COLUMNS
    assert table["path"].tolist() == [str(path) for path in sorted(pictures.iterdir())]
    found = table.drop(index=2)
    assert found[["x", "y", "score", "seconds"]].notna().all(axis=None)
    assert found["error"].isna().all()
    assert table.loc[2, ["x", "y", "score"]].isna().all()
    assert "broken file" in table["error"][2]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["findings.csv", "pictures"]


def test_json_has_the_same_rows(run: Run, pictures: Path, tmp_path: Path) -> None:
    run("find", pictures, *BOUNDARY, "--out", tmp_path / "a.csv")
    run("find", pictures, *BOUNDARY, "--out", tmp_path / "a.json")
    rows = json.loads((tmp_path / "a.json").read_text())["findings"]
    table = pd.read_csv(tmp_path / "a.csv")
    assert [row["x"] for row in rows if row["x"] is not None] == table["x"].dropna().tolist()
    assert rows[2]["x"] is None
    assert list(rows[0]) == list(COLUMNS)


@pytest.mark.slow
def test_the_confidence_is_a_probability(run: Run, pictures: Path, tmp_path: Path) -> None:
    picture = sorted(pictures.iterdir())[0]
    run("find", picture, "--method", "ringvote-told", "--r", 12, "--ratio", 1.3,
        "--out", tmp_path / "a.csv")  # fmt: skip
    assert pd.read_csv(tmp_path / "a.csv")["confidence"].between(0, 1).all()


def test_an_interrupted_run_continues(
    run: Run, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, words = tmp_path / "a.csv", ("find", pictures, *BOUNDARY, "--out")
    run(*words, tmp_path / "whole.csv")
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        code, _, err = run(*words, out)
    assert code == 130
    assert "run the command again with --resume" in err
    assert not out.exists()
    assert "pass --resume to continue it" in run(*words, out)[2]
    other = ("find", pictures, "--method", "boundary", "--r", 12, "--ratio", 1.2, "--out", out)
    assert "was started with another ratio" in run(*other, "--resume")[2]
    with monkeypatch.context() as patch:
        stop_after(2, patch)  # the two that are left
        assert run(*words, out, "--resume")[0] == 1
    same = [name for name in COLUMNS if name != "seconds"]
    pd.testing.assert_frame_equal(pd.read_csv(out)[same], pd.read_csv(tmp_path / "whole.csv")[same])
    assert not log_path(out).exists()


def test_drawings_of_a_resumed_run_are_complete(
    run: Run, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        "find", pictures, *BOUNDARY, "--out", tmp_path / "a.csv", "--overlay", tmp_path / "drawn",
    )  # fmt: skip
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        run(*words)
    assert len(list((tmp_path / "drawn").iterdir())) == 1
    assert run(*words, "--resume")[0] == 1
    assert len(list((tmp_path / "drawn").iterdir())) == 4


def test_a_method_that_fails_does_not_end_the_run(
    run: Run, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locate(*given: Any, **options: Any) -> Any:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(api, "locate", locate)
    assert run("find", pictures, *BOUNDARY, "--out", tmp_path / "a.csv")[0] == 1
    errors = pd.read_csv(tmp_path / "a.csv")["error"]
    assert (errors == "ZeroDivisionError: division by zero").sum() == 4


@pytest.mark.parametrize("name", ["a.csv", "a.json"])
def test_only_own_tables_are_replaced(name: str, run: Run, pictures: Path, tmp_path: Path) -> None:
    out, words = tmp_path / name, ("find", pictures, *BOUNDARY, "--out", tmp_path / name)
    run(*words)
    assert "pass --overwrite" in run(*words)[2]
    assert run(*words, "--overwrite")[0] == 1
    out.write_text("x,y\n1,2\n")
    code, _, err = run(*words, "--overwrite")
    assert code == 2
    assert "was not written by this command" in err
    assert out.read_text() == "x,y\n1,2\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--out", "a.txt"), "ends in .csv or .json"),
        (("--out", "none/a.csv"), "is not a folder"),
        (("--resume",), "--resume is for --out"),
        (("--overwrite",), "--overwrite is for --overlay and --out"),
    ],
)
def test_bad_input(
    words: tuple[str, ...], reason: str, run: Run, pictures: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, _, err = run("find", pictures, "--method", "centre", *words)
    assert code == 2
    assert reason in err


@pytest.mark.slow
def test_a_killed_run_continues(run: Run, small_set: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import time\n\n\ndef find(image):\n    time.sleep(0.3)\n    return 1.0, image.mean()\n"
    )
    out = tmp_path / "a.csv"
    method = ("--method", f"{tmp_path / 'slow.py'}:find", "--out", str(out))
    words = [sys.executable, "-m", "localize", "find", str(small_set / "images"), *method]
    process = subprocess.Popen(words, env=os.environ | {"OMP_NUM_THREADS": "1"})
    while not log_path(out).exists() or log_path(out).read_bytes().count(b"\n") < 4:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    known = log_path(out).read_bytes()
    assert run("find", small_set / "images", *method, "--resume")[0] == 0
    table = pd.read_csv(out)
    assert len(table) == len(list((small_set / "images").iterdir()))
    assert table["y"].nunique() > 1
    first = [json.loads(line.partition(b" ")[2])[1] for line in known.splitlines()[1:4]]
    assert table["y"].tolist()[:3] == first
