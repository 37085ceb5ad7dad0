"""A network that gives the same answer to every image is named."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import localize
from localize.cli import main, tables
from localize.data.folder import Folder
from localize.evaluation import scoring
from localize.localizer import Finding, Localizer, Told
from localize.methods.cnn import Cnn
from localize.report import page
from localize.training import collapse, runs
from synth import Recipe, generate, scenes

pytestmark = pytest.mark.usefixtures("no_figures")

FAST = {"input": (32, 32), "progress": False, "device": "cpu"}
CENTRES = np.random.default_rng(0).uniform(0, 1, (500, 2))


class Collapsed(torch.nn.Module):
    """Answers with the bias of one layer from epoch 2 on."""

    def __init__(self, first: float = 1.0) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.tensor([0.5, 0.5]))
        self.register_buffer("slope", torch.tensor(first))

    def forward(self, images: torch.Tensor, numeric: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.slope.zero_()  # type: ignore[operator]
        return self.bias + self.slope * images.mean(dim=(2, 3))[:, :2]  # type: ignore[operator]


def fit(dataset: Path, run: Path, variant: str = "cnn-fast", **options: object) -> Cnn:
    cnn = Cnn(variant, **{**FAST, **options})  # type: ignore[arg-type]
    cnn.fit(Folder(dataset, "train"), Folder(dataset, "val"), run)
    return cnn


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """All networks of the CNN methods give a constant answer."""
    monkeypatch.setattr(Cnn, "build", lambda self, mean, scale: Collapsed())


def test_spread_is_the_ratio_of_standard_deviations() -> None:
    assert collapse.relative_spread(CENTRES, CENTRES) == pytest.approx(1)
    # Of both axes together: the smaller one alone makes no constant answer.
    flat = CENTRES * [1, 0]
    expected = CENTRES[:, 0].std() / np.hypot(*CENTRES.std(axis=0))
    assert collapse.relative_spread(flat, CENTRES) == pytest.approx(expected)
    assert collapse.relative_spread(CENTRES / 99 + 5, CENTRES) == pytest.approx(1 / 99)
    assert math.isnan(collapse.relative_spread(CENTRES[:1], CENTRES[:1]))
    assert math.isnan(collapse.relative_spread(CENTRES[:0], CENTRES[:0]))


@pytest.mark.parametrize(
    ("spread", "constant"), [(0.0, True), (0.0099, True), (0.01, False), (math.nan, False)]
)
def test_answers_are_constant_below_one_percent(spread: float, constant: bool) -> None:
    assert collapse.is_constant(spread) is constant


@pytest.mark.parametrize(
    ("spreads", "chosen", "since"),
    [
        ([0.5, 0.5], 2, None),
        ([0.5, 0.0, 0.0], 3, 2),
        ([0.0, 0.0, 0.0], 1, 1),
        ([0.0, 0.5, 0.0, 0.0], 4, 3),  # not since epoch 1
        ([0.5, 0.0, 0.0], 1, None),  # it collapsed after the epoch that is kept
        ([0.0, 0.5], 2, None),
        ([None, 0.0], 2, 2),  # an epoch of an earlier version
        ([None, None], 2, None),
    ],
)
def test_first_epoch_of_the_constant_ones(
    spreads: list[float | None], chosen: int, since: int | None
) -> None:
    rows = [
        {"epoch": float(i)} | ({} if spread is None else {"val_spread": spread})
        for i, spread in enumerate(spreads, 1)
    ]
    assert collapse.constant_since(rows, chosen) == since


def test_the_spread_of_each_epoch_is_that_of_the_answers(small_set: Path, tmp_path: Path) -> None:
    fit(small_set, tmp_path, "cnn-fuse-last", epochs=2, learning_rate=0.01)
    val, last = Folder(small_set, "val"), Cnn.load(tmp_path, "last", device="cpu")
    answers = scoring.predict(last, "it", val)
    recorded = [row["val_spread"] for row in runs.read_history(tmp_path)]
    assert scoring.score(answers, val, 0)["answer_spread"] == pytest.approx(recorded[-1], rel=1e-4)
    assert len(set(recorded)) == 2


@pytest.mark.usefixtures("dead")
def test_a_collapsed_run_is_named_with_its_epoch(small_set: Path, tmp_path: Path) -> None:
    fit(small_set, tmp_path, epochs=3)
    assert json.loads((tmp_path / "model.json").read_text())["collapsed_at"] == 1
    assert [row["val_spread"] for row in runs.read_history(tmp_path)] == [0, 0, 0]


def test_a_learning_network_is_not_named(tmp_path: Path) -> None:
    scenes.write(tmp_path / "photos", 12, 48, 48, seed=1)
    recipe = Recipe(size="keep", per_photo=2, radius=(8, 12), ratio=(3, 3), split=(0.7, 0.3, 0))
    generate(tmp_path / "photos", tmp_path / "set", recipe)
    fit(tmp_path / "set", tmp_path / "run", epochs=8, learning_rate=0.003)
    assert json.loads((tmp_path / "run/model.json").read_text())["collapsed_at"] is None


@pytest.mark.usefixtures("dead")
def test_a_resumed_run_knows_the_epochs_before(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from localize.training import trainer

    whole = tmp_path / "whole"
    fit(small_set, whole, epochs=4)
    original = trainer.RunWriter.on_train_epoch_end

    def stop(self: trainer.RunWriter, at: object, module: object) -> None:
        original(self, at, module)  # type: ignore[arg-type]
        if at.current_epoch == 1:  # type: ignore[attr-defined]
            raise KeyError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(trainer.RunWriter, "on_train_epoch_end", stop)
        with pytest.raises(KeyError, match="stopped"):
            fit(small_set, tmp_path / "run", epochs=4)
    fit(small_set, tmp_path / "run", epochs=4)
    for name in ("history.csv", "model.json"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.usefixtures("dead")
def test_the_last_line_of_train_names_it(small_set: Path, tmp_path: Path) -> None:
    words = ["train", "cnn-fast", str(small_set), "--out", str(tmp_path / "run"), "--epochs", "2",
             "--input", "32x32", "--device", "cpu"]  # fmt: skip
    done = CliRunner().invoke(main.app, words)
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert said.endswith("; collapsed: constant answer since epoch 1")


class Constant(Localizer):
    """Answers one place, or nothing on the first image."""

    def __init__(self, step: float = 0.0) -> None:
        self.step, self.calls = step, 0

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        findings = []
        for _ in images:
            self.calls += 1
            place = math.nan if self.calls == 1 else 30.0 + self.step * self.calls
            findings.append(Finding(place, 20.0))
        return findings


def test_answers_of_any_localizer_are_checked(small_set: Path) -> None:
    source = Folder(small_set, "all")
    for step, note in ((0.0, collapse.COLLAPSED), (1.0, "")):
        row = scoring.score(scoring.predict(Constant(step), "it", source), source, None)
        assert row["note"] == note, row["answer_spread"]
    # The baseline is constant by design.
    row = scoring.score(scoring.predict(Constant(), "centre", source), source, None)
    assert collapse.is_constant(row["answer_spread"])
    assert row["note"] == ""


def test_a_constant_answer_is_a_constant_share_of_the_image(
    small_set: Path,
) -> None:
    """The middle of images of different sizes is one answer, though its pixels differ."""
    source = Folder(small_set, "all")
    answers = scoring.predict(Constant(), "it", source)
    wide = source.table["width"].where(np.arange(len(source)) % 2 == 0, 192)
    source.table["width"] = wide
    answers.predictions["x_pred"] = 0.25 * wide - 0.5
    assert scoring.score(answers, source, None)["note"] == collapse.COLLAPSED
    source.table["width"] = 96
    assert scoring.score(answers, source, None)["note"] == ""


@pytest.mark.usefixtures("dead")
def test_tables_and_report_name_it(
    small_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = localize.compare(small_set, tmp_path / "out", ["cnn-fast", "boundary"],
                              epochs=2, **FAST)  # fmt: skip
    notes = dict(zip(result.scores["method"], result.scores["note"], strict=True))
    assert notes == {"centre": "", "cnn-fast": collapse.COLLAPSED, "boundary": ""}
    written = pd.read_csv(result.folder / "scores.csv", keep_default_na=False)
    assert written["note"].tolist() == list(notes.values())
    tables.print_scores(result, None)
    lines = capsys.readouterr().out.splitlines()
    assert [collapse.COLLAPSED in line for line in lines if "cnn-fast" in line] == [True]
    html = (result.folder / "report.html").read_text()
    assert html.count(collapse.COLLAPSED) == 1
    (result.folder / "scores.csv").write_text(
        pd.read_csv(result.folder / "scores.csv").drop(columns=["note", "answer_spread"]).to_csv()
    )
    page.write(result.folder)  # as from a folder of an earlier version
    assert collapse.COLLAPSED not in (result.folder / "report.html").read_text()


def test_a_finished_folder_of_an_earlier_version_is_read(small_set: Path, tmp_path: Path) -> None:
    options = {"epochs": 1, **FAST}
    first = localize.compare(small_set, tmp_path / "out", ["cnn-fast"], **options)
    for name, columns in (("history", ["val_spread"]), ("scores", ["answer_spread", "note"])):
        path = first.folder / f"{name}.csv"
        pd.read_csv(path).drop(columns=columns).to_csv(path, index=False)
    again = localize.compare(small_set, first.folder, ["cnn-fast"], resume=True, **options)
    assert again.history["val_spread"].isna().all()
    assert again.scores["note"].tolist() == ["", ""]
    tables.print_scores(again, None)


def test_a_run_of_an_earlier_version_is_scored(small_set: Path, tmp_path: Path) -> None:
    fit(small_set, tmp_path / "run", epochs=1)
    path = tmp_path / "run/history.csv"
    pd.read_csv(path).drop(columns="val_spread").to_csv(path, index=False)
    assert list(runs.read_history(tmp_path / "run")[0]) == [
        "epoch", "train_loss", "train_distance", "val_loss", "val_distance",
    ]  # fmt: skip
    shutil.copytree(tmp_path / "run", tmp_path / "old")
    result = localize.evaluate([tmp_path / "old"], small_set, tmp_path / "out")
    assert result.history["val_spread"].isna().all()


@pytest.mark.slow
def test_the_spread_is_over_the_images_of_all_processes(small_set: Path, tmp_path: Path) -> None:
    """Two processes with one validation image each: each alone has no spread."""
    script = tmp_path / "script.py"
    script.write_text(
        f"""
from pathlib import Path
from localize.training import trainer
from localize.methods.cnn import Cnn
from localize.data.folder import Folder

if __name__ == "__main__":
    for count in (1, 2):
        trainer.lightning_hardware = lambda schedule: trainer.lightning_devices("cpu", count)
        cnn = Cnn("cnn-fuse-last", input=(48, 32), epochs=1, device="cpu", progress=False,
                  learning_rate=1e-9)
        run = Path({str(tmp_path)!r}) / str(count)
        cnn.fit(Folder({str(small_set)!r}, "train"), Folder({str(small_set)!r}, "val"), run)
"""
    )
    subprocess.run([sys.executable, script], check=True, capture_output=True, timeout=240)
    one, two = (runs.read_history(tmp_path / count)[0]["val_spread"] for count in "12")
    assert two == pytest.approx(one, rel=1e-3)
