"""`localize score`: predictions of other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import localize
from localize import external_predictions
from localize.cli import main
from localize.evaluation.results import Comparison
from synth import console, read

pytestmark = pytest.mark.usefixtures("no_figures")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    small_set: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Scores a text as CSV, drawing no figures -> exit code, stdout, stderr."""
    monkeypatch.setattr("localize.report.plots.save", lambda *args: None)
    monkeypatch.setattr("localize.report.page.write", lambda folder: None)

    def call(text: str, *flags: str) -> tuple[int, str, str]:
        (tmp_path / "mine.csv").write_text(text, encoding="utf-8")
        words = ["score", tmp_path / "mine.csv", small_set, "--out", tmp_path / "out", *flags]
        code = console.run(main.app, "localize", [str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="module")
def ours(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("scores") / "ours"
    return localize.evaluate(["boundary"], small_set, out)


@pytest.fixture(scope="module")
def names(small_set: Path) -> pd.DataFrame:
    """The test split's rows with an anomaly."""
    table = read(small_set)
    return table[(table["split"] == "test") & (table["label"] == 1)].reset_index(drop=True)


def test_our_own_predictions_get_the_same_scores(
    ours: Comparison, small_set: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    again = localize.score(
        ours.folder / "predictions.csv", small_set, tmp_path / "again",
        clean=ours.folder / "clean.csv", say=lines.append,
    )  # fmt: skip
    unknown = ["parameters", "ms_per_image"]  # the centre guess is timed anew
    left, right = (each.scores.drop(columns=unknown) for each in (ours, again))
    pd.testing.assert_frame_equal(left, right)
    assert right["image_auroc"].notna().tolist() == [False, True]
    pd.testing.assert_frame_equal(
        ours.predictions.drop(columns="seconds"), again.predictions.drop(columns="seconds")
    )
    assert lines == ["centre: computed again, its rows in the file are left out"]
    kinds = {path.name for path in ours.folder.iterdir()}
    assert {path.name for path in again.folder.iterdir()} == kinds


def test_a_file_with_nothing_but_places(run: Run, names: pd.DataFrame, tmp_path: Path) -> None:
    text = "file_name,x_pred,y_pred\n" + "".join(
        f"{row.file_name},{row.x + 3},{row.y + 4}\n" for row in names.itertuples()
    )
    code, out, _ = run(text)
    assert code == 0
    scores = pd.read_csv(tmp_path / "out/scores.csv").set_index("method")
    assert scores.index.tolist() == ["centre", "mine"]
    assert scores["split"].unique().tolist() == ["test"]
    assert scores["mean_distance"]["mine"] == pytest.approx(5)
    assert np.isnan(scores["parameters"]["mine"])
    assert "not in the file" not in out


def test_missing_images_are_counted_as_misses(
    run: Run, names: pd.DataFrame, tmp_path: Path
) -> None:
    first, second, *rest = names.itertuples()
    text = "\ufefffile_name,x_pred,y_pred\n" + f"{first.file_name},{first.x},{first.y}\n"
    code, out, _ = run(text + f"{second.file_name},,\n")
    assert code == 0
    assert f"mine: the file gives no place: 1, not in the file: {len(rest)}" in out
    scores = pd.read_csv(tmp_path / "out/scores.csv").set_index("method")
    assert scores["n"]["mine"] == len(names)
    assert scores["hit@5"]["mine"] == pytest.approx(1 / len(names))
    assert scores["mean_distance"]["mine"] == 0
    assert len(pd.read_csv(tmp_path / "out/errors.csv")) == len(names) - 1


def test_rows_of_other_splits_are_left_out_with_a_message(run: Run, small_set: Path) -> None:
    table = read(small_set)
    rows = table[table["label"] == 1]
    text = "file_name,x_pred,y_pred\n" + "".join(f"{name},1,2\n" for name in rows["file_name"])
    code, out, _ = run(text)
    assert code == 0
    assert f"{len(rows)} images, split all" in out
    code, out, _ = run(text, "--split", "val", "--overwrite")
    others = (rows["split"] != "val").sum()
    assert code == 0
    assert f"{others} rows are not of split val: left out" in out


def test_scores_of_clean_pictures_give_auroc(run: Run, names: pd.DataFrame, tmp_path: Path) -> None:
    """Twins count; the one that is left out counts as the worst answer."""
    text = "file_name,x_pred,y_pred,score,method\n" + "".join(
        f"{row.file_name},3,3,0.9,a\n{row.clean_file_name},,,0.1,a\n" for row in names.itertuples()
    )
    most = text.splitlines(keepends=True)[:-1]
    assert run(text)[0] == 0
    scores = pd.read_csv(tmp_path / "out/scores.csv").set_index("method")
    assert scores["image_auroc"]["a"] == 1
    assert scores["n_clean"]["a"] == len(names)
    code, out, _ = run("".join(most), "--overwrite")
    assert code == 0
    assert "a clean image not in the file: 1" in out
    scores = pd.read_csv(tmp_path / "out/scores.csv").set_index("method")
    assert scores["image_auroc"]["a"] == pytest.approx(1 - 1 / len(names))


def test_only_the_rows_of_a_file_with_trials_count(
    run: Run, names: pd.DataFrame, tmp_path: Path
) -> None:
    """A file of the play page: one image twice, with other ratios; no image counts as missing."""
    one = names.iloc[0]
    text = (
        "method,trial,file_name,x,y,r,discolor_ratio,x_pred,y_pred,distance,hit,seconds,choice\n"
        f"person,1,{one.file_name},0,0,0,1.5,{one.x},{one.y},0,1,2.5,\n"
        f"person,2,{one.file_name},0,0,0,1.02,{one.x + 30},{one.y},30,0,3.5,\n"
    )
    code, out, _ = run(text)
    assert code == 0
    assert f"trials of 1 of the {len(names)} images" in out
    scores = pd.read_csv(tmp_path / "out/scores.csv").set_index("method")
    assert scores["n"].to_dict() == {"centre": 1, "person": 2}
    assert scores["hit@5"]["person"] == 0.5
    assert scores["ms_per_image"]["person"] == 3000
    rows = pd.read_csv(tmp_path / "out/predictions.csv").set_index("method").loc["person"]
    assert rows["discolor_ratio"].tolist() == [1.5, 1.02]
    assert rows["x"].tolist() == [one.x, one.x]


@pytest.mark.parametrize(("unit", "whole"), [("fraction", 1), ("percent", 100)])
def test_places_in_parts_of_the_size(
    run: Run, names: pd.DataFrame, tmp_path: Path, unit: str, whole: float
) -> None:
    """The exact answers, as fractions from the images' edges, with decimal commas."""
    text = "File Name;X Pred;Y Pred;R Pred\r\n"
    for row in names.itertuples():
        x, y = (row.x + 0.5) / row.width * whole, (row.y + 0.5) / row.height * whole
        cells = (row.file_name.replace("/", "\\"), x, y, row.r / row.width * whole)
        text += ";".join(map(str, cells)).replace(".", ",").replace(",jpg", ".jpg") + "\r\n"
    code, _, _ = run(text, "--unit", unit)
    assert code == 0
    rows = pd.read_csv(tmp_path / "out/predictions.csv").set_index("method").loc["mine"]
    assert rows["distance"].max() < 1e-6
    assert rows["r_pred"].to_numpy() == pytest.approx(names["r"].to_numpy())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lacks the column file_name, x_pred, y_pred: it is empty"),
        ("file_name,x_pred,y_pred\n", "no rows"),
        ("file_name,x,y\nNAME,1,2\n", "lacks the column x_pred, y_pred: it has file_name, x, y"),
        ("file_name x_pred y_pred\nNAME 1 2\n", "separate its cells by commas"),
        ("file_name;x_pred;y_pred\nNAME;1,5;2.5\n", "x_pred in line 2 is '1,5', with a comma"),
        ('file_name,x_pred,y_pred\nNAME,"1,5",2\n', "x_pred is '1,5', not a number"),
        ("file_name,x_pred,y_pred\nNAME,1e309,2\n", "x_pred is '1e309', not a finite number"),
        (f"file_name,x_pred,y_pred\nNAME,{'9' * 5000},2\n", "x_pred is '9999"),
        ("file_name,x_pred,y_pred\nNAME,1_0,2\n", "x_pred is '1_0', not a number"),
        ("file_name,x_pred,y_pred\nNAME,0.5,0.25\n", "pass --unit fraction"),
        ("file_name,x_pred,y_pred\nNAME,50%,25%\n", "x_pred is '50%': pass --unit percent"),
        ("file_name,x_pred,y_pred,x_pred\nNAME,1,2,3\n", "x_pred twice"),
        ("file_name,x_pred,y_pred\nNAME,1\n", "line 2: 2 cells, the header has 3"),
        ("file_name,x_pred,y_pred\n\nNAME,left,2\n", "line 3 (NAME): x_pred is 'left'"),
        ("file_name,x_pred,y_pred\nNAME,nan,2\n", "x_pred is 'nan', not a number"),
        ("file_name,x_pred,y_pred\nNAME,1,\n", "y_pred is empty"),
        ("file_name,x_pred,y_pred,score\nNAME,1,2,high\n", "score is 'high'"),
        ("file_name,x_pred,y_pred,r_pred\nNAME,1,2,inf\n", "r_pred is 'inf'"),
        ("file_name,x_pred,y_pred\n,1,2\n", "line 2: file_name is empty"),
        ("file_name,x_pred,y_pred\ngone.jpg,1,2\n", "line 2: gone.jpg is no image of"),
        ("file_name,x_pred,y_pred\nNAME,1,2\nNAME,1,3\n", "twice, in lines 2 and 3"),
        ("file_name,x_pred,y_pred\n\0,1,2\n", "line 2: there is a NUL byte"),
    ],
)
def test_bad_input_gets_one_clear_line(
    text: str, words: str, run: Run, names: pd.DataFrame, tmp_path: Path
) -> None:
    name = names["file_name"].iloc[0]
    code, _, err = run(text.replace("NAME", name))
    assert code == 2
    assert err.count("\n") == 1
    assert words.replace("NAME", name) in err
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_csv(small_set: Path, tmp_path: Path) -> None:
    image_file = next((small_set / "images").iterdir())
    for path, words in ((image_file, "UTF-8"), (tmp_path / "no.csv", "no table at")):
        with pytest.raises(external_predictions.InputError, match=words):
            external_predictions.score(path, small_set, tmp_path / "out")
