"""What counts as an answer, and that no answer harms what others answered."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import localize
from localize.cli import main
from localize.data.folder import Folder
from localize.evaluation import metrics, scoring
from localize.evaluation.metrics import FARTHEST
from localize.evaluation.validity import FLAT, NO_ANSWER, validate
from localize.localizer import Finding, Learns, Localizer, Told
from localize.play import method_scores
from localize.report import ranking
from localize.sharpness.design import Design, grid_trials
from localize.sharpness.runner import Task, TrialRunner
from synth import InputError, console

NAN, INF = math.nan, math.inf
ANSWERS: dict[str, Any] = {
    "none": None,
    "nan": NO_ANSWER,
    "half": Finding(NAN, 3.0),
    "inf": Finding(INF, 3.0),
    "huge": Finding(1e308, 1e308),
    "negative": Finding(3.0, -1e200),
    "text": Finding("left", "top"),  # type: ignore[arg-type]
    "complex": Finding(1j, 2),  # type: ignore[arg-type]
    "pair": (1.0, 2.0),
    "lacking": SimpleNamespace(x=1.0),
    "array": Finding(np.zeros(3), 2.0),  # type: ignore[arg-type]
}
REGION = np.zeros((80, 96), np.float32)


class ConstantLocalizer:
    """A localizer that returns the same object for every image."""

    told: frozenset[str] = frozenset()
    learns: Learns = "nothing"
    parameters = None
    map_marks = "region"

    def __init__(self, answer: object, count: int | None = None) -> None:
        self.answer, self.count = answer, count

    def fit(self, train: object, val: object, run: Path) -> None: ...

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        return [self.answer] * (len(images) if self.count is None else self.count)  # type: ignore[list-item]


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", ANSWERS)
def test_an_invalid_place_is_a_miss_with_a_reason(name: str, small_set: Path) -> None:
    source = Folder(small_set, "test")
    answers = scoring.predict(ConstantLocalizer(ANSWERS[name]), name, source)
    assert answers.predictions["distance"].isna().all()
    assert len(answers.errors) == len(source)
    assert answers.errors["reason"].str.len().between(5, 100).all()
    row = scoring.score(answers, source, None)
    assert row["hit@5"] == row["hit@r"] == 0
    assert math.isnan(row["mean_distance"])
    stand = ranking.rank_methods(answers.predictions, {})[0]
    assert (stand.answered, stand.verdict) == (0, "no answer")


@pytest.mark.parametrize("count", [0, 1, 50])
def test_as_many_answers_as_images_or_none(count: int, small_set: Path) -> None:
    source = Folder(small_set, "test")
    answers = scoring.predict(ConstantLocalizer(Finding(1, 2), count), "wrong", source)
    good = 0 if count != 1 else len(source)  # asked one by one, one answer is right
    assert answers.predictions["x_pred"].notna().sum() == good
    assert len(answers.errors) == len(source) - good


def test_a_flat_map_is_a_miss_and_no_error_on_clean_images(small_set: Path) -> None:
    source = Folder(small_set, "test")
    flat = Finding(NAN, NAN, score=0.0, map=REGION)
    answers = scoring.predict(ConstantLocalizer(flat), "flat", source)
    assert answers.errors["reason"].tolist() == [FLAT] * len(source)
    assert answers.clean["score"].tolist() == [0.0] * len(answers.clean)
    row = scoring.score(answers, source, None)
    assert row["hit@r"] == 0
    assert row["image_auroc"] == row["pixel_auroc"] == 0.5


def test_a_place_outside_of_the_image_counts_with_its_distance(small_set: Path) -> None:
    source = Folder(small_set, "test")
    answers = scoring.predict(ConstantLocalizer(Finding(-1e6, 3e8)), "far", source)
    assert len(answers.errors) == 0
    assert answers.predictions["distance"].between(2.9e8, 3.1e8).all()
    row = scoring.score(answers, source, None)
    assert np.isfinite(row["mean_distance_high"])


numbers = st.floats() | st.integers() | st.none() | st.complex_numbers() | st.text(max_size=3)


@given(st.tuples(*[numbers] * 5))
def test_any_returned_object_becomes_plain_numbers(values: tuple[Any, ...]) -> None:
    finding, reason = validate(Finding(*values))
    placed = not reason
    assert placed == all(math.isfinite(value) for value in (finding.x, finding.y))
    assert placed or (math.isnan(finding.x) and math.isnan(finding.y))
    assert validate(finding)[0] == finding or not placed
    assert not any(
        value is not None and not abs(value) <= FARTHEST for value in (finding.r, finding.ratio)
    )
    assert finding.score is None or not math.isnan(finding.score)
    found = np.array([[finding.x, finding.y]])
    np.testing.assert_array_equal(metrics.finite_places(found), found)


WITHOUT_ANSWERS = """
import numpy as np

def raises(image):
    raise RuntimeError("weights not found")

def flat(image):
    return np.zeros(image.shape[:2])

def huge(image):
    return 1e308, -1e308
"""


@pytest.fixture(scope="module")
def no_answers(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that evaluate writes for three methods without any answer; warnings are errors."""
    folder = tmp_path_factory.mktemp("no_answers")
    (folder / "mine.py").write_text(WITHOUT_ANSWERS)
    specs = [f"{folder}/mine.py:{name}" for name in ("raises", "flat", "huge")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        localize.evaluate(specs, small_set, folder / "out")
    return folder / "out"


def test_methods_without_answers_are_rows_of_misses(no_answers: Path) -> None:
    scores = pd.read_csv(no_answers / "scores.csv").set_index("method")
    assert scores.index.tolist() == ["centre", "raises", "flat", "huge"]
    assert scores["hit@5"].tolist()[1:] == [0, 0, 0]
    assert scores["mean_distance"].isna().tolist() == [False, True, True, True]
    errors = pd.read_csv(no_answers / "errors.csv").drop_duplicates("method")
    assert errors["reason"].tolist() == [
        "Failure: RuntimeError: weights not found",
        FLAT,
        f"no place: x is 1e+308 px, farther than {FARTHEST:g} px",
    ]
    page = (no_answers / "report.html").read_text()
    assert "No method gave an answer" in page
    assert ">nan" not in page.lower()
    for name in ("distance", "found", "contact"):
        assert (no_answers / f"{name}.png").stat().st_size > 5000
    played = method_scores.read(no_answers)
    assert [each["overall"][0] for each in played["methods"]][1:] == [0, 0, 0]


def test_the_printed_table_has_dashes_and_a_finished_run_is_not_made_again(
    no_answers: Path, small_set: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    specs = [f"{no_answers.parent}/mine.py:{name}" for name in ("raises", "flat", "huge")]
    words = ["evaluate", *specs, small_set, "--out", no_answers]
    before = (no_answers / "scores.csv").stat().st_mtime_ns
    assert console.run(main.app, "localize", [*map(str, words), "--resume"]) == 0
    out = capsys.readouterr().out
    assert "finished already" in out
    assert "nan" not in out
    assert out.count("–") > 6
    assert (no_answers / "scores.csv").stat().st_mtime_ns == before
    assert console.run(main.app, "localize", list(map(str, words))) == 2
    other = [*map(str, words[:-1]), no_answers, "--split", "val", "--resume"]
    assert console.run(main.app, "localize", list(map(str, other))) == 2


def test_a_file_without_a_place_is_scored(small_set: Path, tmp_path: Path) -> None:
    names = Folder(small_set, "test").table["file_name"]
    empty = pd.DataFrame({"file_name": names, "x_pred": NAN, "y_pred": NAN})
    empty.loc[1, ["x_pred", "y_pred"]] = [1e300, 0.0]
    empty.to_csv(tmp_path / "$_[b].csv", index=False)
    result = localize.score(tmp_path / "$_[b].csv", small_set, tmp_path / "out")
    assert result.scores["hit@5"].tolist()[1] == 0
    reasons = result.errors["reason"].value_counts()
    assert reasons["the file gives no place"] == len(names) - 1
    assert len(reasons) == 2


@pytest.mark.parametrize("name", ANSWERS)
def test_sharpness_judges_answers_likewise(name: str, photo_folder: Path) -> None:
    design = Design(ratios=(1.2, 1.3), radii=(10.0,), per_cell=1, size=(96, 80))
    localizers: dict[str, Localizer] = {name: ConstantLocalizer(ANSWERS[name])}
    trial_runner = TrialRunner({name: name}, photo_folder, design, localizers=localizers)
    trials = grid_trials(design, ["scene-0000.png"])
    trial = next(each for each in trials if each.side != "none")
    rows = trial_runner.run(Task(trial, (name,)))
    assert (rows[0]["hit"], rows[0]["x_pred"], rows[0]["distance"]) == (0, None, None)
    assert rows[0]["error"]


def test_find_prints_the_reason_for_a_missing_place(no_answers: Path, small_set: Path) -> None:
    image = Folder(small_set, "test")[0].image
    with pytest.raises(InputError, match=FLAT):
        localize.locate(f"{no_answers.parent}/mine.py:flat", image)
