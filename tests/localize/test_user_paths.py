"""``~`` and ``.``, on the command line and in Python: the same in every function."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import localize
import synth
from localize import comparison, registry
from localize.cli import main
from localize.evaluation import provenance
from localize.play import page
from localize.report import page as report
from synth import console
from synth import recipe as recipes
from synth.cli import app
from synth.errors import InputError

pytestmark = pytest.mark.usefixtures("no_figures")

FUNCTION = "def find(image):\n    return 3, 4\n"
Run = Callable[..., None]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_set: Path) -> Path:
    """A home folder with a dataset and a file of a function; the current folder is another."""
    shutil.copytree(small_set, tmp_path / "home/set")
    (tmp_path / "home/mine.py").write_text(FUNCTION)
    (tmp_path / "work").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def test_home_on_the_command_line(home: Path, photo_folder: Path) -> None:
    def run(program: str, *words: object) -> None:
        apps = {"synth": app, "localize": main.app}
        assert console.run(apps[program], program, list(map(str, words))) == 0, words

    run("synth", "preview", "~/set", "--out=~/sheet.png")
    run("synth", "export", "~/set", "~/coco", "--format", "coco")
    run("synth", "rebuild", "~/set", 0, f"--photos={photo_folder}", "--out=~/row.png")
    run("localize", "evaluate", "~/mine.py:find", "~/set", "--out=~/scores")
    run("localize", "find", "~/row.png", "--method=~/mine.py:find", "--overlay=~/drawn")
    run("localize", "play", "~/set", "--out=~/play.html", "--scores=~/scores")
    run("localize", "report", "~/scores")
    made = {"sheet.png", "coco", "row.png", "scores", "drawn", "play.html"}
    assert made <= {path.name for path in home.iterdir()}
    assert not list(Path.cwd().iterdir())  # no folder called ~


def test_home_in_python(home: Path, photo_folder: Path) -> None:
    assert len(synth.read("~/set")) == len(synth.read(home / "set"))
    assert synth.verify("~/set") == synth.verify(home / "set")
    assert synth.rebuild("~/set", 0, photo_folder) == synth.rebuild(home / "set", 0, photo_folder)
    recipe = home / "set/recipe.json"
    assert recipes.load("~/set/recipe.json") == recipes.load(recipe)
    comparison.evaluate(["~/mine.py:find"], "~/set", "~/scores")
    assert report.write("~/scores") == home / "scores/report.html"
    assert page.build("~/set", "~/scores").images
    assert registry.load("~/mine.py:find").told == frozenset()
    with pytest.raises(InputError, match=str(home)):
        localize.describe("~/set")
    assert registry.name_of("~/set") == "set"
    assert not list(Path.cwd().iterdir())


def test_a_dot_has_its_folders_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home / "set")
    comparison.evaluate(["../mine.py:find"], ".", "../scores")
    about = json.loads((home / "scores/comparison.json").read_text())
    assert about["dataset"] == "set"
    assert about["command"] == [
        "localize", "evaluate", "../mine.py:find", "set", "--out", "../scores"
    ]  # fmt: skip
    assert registry.name_of(".") == registry.name_of("images/..") == "set"
    assert '"dataset":"set"' in page.build(".").html
    assert provenance.flags({"photos": Path(), "out": "..", "split": "test"}) == [
        "--photos", "set", "--out", "home", "--split", "test"
    ]  # fmt: skip


def test_a_spec_that_is_empty_is_refused() -> None:
    for use in (registry.load, registry.name_of, registry.method):
        with pytest.raises(InputError, match="empty"):
            use("")


def test_run_folders_of_odd_names_stand_in_the_tables(home: Path) -> None:
    file = home / "odd \udcdf\x1b[1m\n.py"
    try:
        file.write_text(FUNCTION)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such name")
    comparison.evaluate([f"{file}:find"], home / "set", home / "scores")
    assert pd.read_csv(home / "scores/scores.csv")["method"].tolist() == ["centre", "find"]
    text = os.fsdecode((home / "scores/comparison.json").read_bytes())
    assert json.loads(text)["command"][2] == f"{file}:find"
