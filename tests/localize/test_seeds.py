"""Training and comparison of methods with several seeds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import localize
from localize import comparison
from localize.cli import main, tables
from localize.data.folder import Folder
from localize.evaluation import scoring, seeds
from localize.evaluation.by_ratio import hit_rates_by_ratio
from localize.evaluation.results import OVER_SEEDS, SEEDS, Comparison, collect_results
from localize.methods.centre import Centre
from localize.methods.cnn import Cnn, Network
from localize.report import plots, ranking
from localize.seed_training import train_seeds
from localize.training import trainer
from localize.training.collapse import COLLAPSED
from synth import InputError

pytestmark = pytest.mark.usefixtures("no_figures")

FAST = {"input": (32, 32), "epochs": 2, "learning_rate": 0.01, "progress": False, "device": "cpu"}
WORDS = ["--input", "32x32", "--epochs", "2", "--device", "cpu", "--learning-rate", "0.01"]
WEIGHTS = "best.safetensors"


class Constant(Network):
    """Its last layer has the weight 0 and learns nothing."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        torch.nn.init.zeros_(self.out.weight)
        self.out.weight.requires_grad = False


@pytest.fixture
def seed_1_collapses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks of seed 1 give a constant answer, also those that are told r and the ratio."""
    original = Cnn.build

    def build(self: Cnn, mean: Any, scale: Any) -> torch.nn.Module:
        if self.options.seed == 1:
            return Constant(self.options.input, self.variant.fusion, mean, scale)
        return original(self, mean, scale)

    monkeypatch.setattr(Cnn, "build", build)


def test_seeds_follow_the_first_one() -> None:
    assert seeds.seed_numbers(3, {}) == [0, 1, 2]
    assert seeds.seed_numbers(2, {"seed": 7}) == [7, 8]
    with pytest.raises(InputError, match="seeds is 0"):
        seeds.seed_numbers(0, {})


def test_each_seed_is_a_training_of_its_own(small_set: Path, tmp_path: Path) -> None:
    runs = train_seeds("cnn-fast", small_set, tmp_path / "all", 2, seed=4, **FAST)
    assert list(runs) == [4, 5]
    folders = {path.name for path in (tmp_path / "all").iterdir()}
    assert folders == {"seed-4", "seed-5", "seeds.csv", "seeds.json"}
    weights = [(tmp_path / "all" / f"seed-{seed}" / WEIGHTS).read_bytes() for seed in (4, 5)]
    assert weights[0] != weights[1]
    localize.train("cnn-fast", small_set, tmp_path / "one", seed=5, **FAST)
    assert weights[1] == (tmp_path / "one" / WEIGHTS).read_bytes()
    table = pd.read_csv(tmp_path / "all" / "seeds.csv")
    assert table["seed"].tolist() == [4, 5]
    about = localize.describe(tmp_path / "one")
    assert table["val_distance"].iloc[1] == pytest.approx(about["val_distance"])
    assert localize.load(tmp_path / "all" / "seed-4").parameters


def test_an_interrupted_training_keeps_finished_seeds(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    train_seeds("cnn-fast", small_set, tmp_path / "whole", 3, **FAST)
    original, calls = trainer.RunWriter.on_train_epoch_end, [0]

    def stop(self: trainer.RunWriter, at: Any, module: Any) -> None:
        original(self, at, module)
        calls[0] += 1
        if calls[0] == 3:  # the first of two epochs of the second seed
            raise KeyError("stopped")

    with monkeypatch.context() as patched:
        patched.setattr(trainer.RunWriter, "on_train_epoch_end", stop)
        with pytest.raises(KeyError, match="stopped"):
            train_seeds("cnn-fast", small_set, out, 3, **FAST)
    assert not out.exists()
    with pytest.raises(InputError, match="--resume"):
        train_seeds("cnn-fast", small_set, out, 3, **FAST)
    with pytest.raises(InputError, match="another options"):
        train_seeds("cnn-fast", small_set, out, 3, resume=True, **FAST | {"epochs": 3})
    first = tmp_path / "out.partial" / "seed-0" / WEIGHTS
    before = first.stat().st_ino, first.stat().st_mtime_ns
    seen: list[int] = []
    train_seeds("cnn-fast", small_set, out, 3, resume=True,
                finished=lambda seed, about: seen.append(seed), **FAST)  # fmt: skip
    assert seen == [0, 1, 2]
    kept = (out / "seed-0" / WEIGHTS).stat()
    assert (kept.st_ino, kept.st_mtime_ns) == before
    for path in sorted((tmp_path / "whole").rglob("*")):
        if path.is_file():
            again = out / path.relative_to(tmp_path / "whole")
            assert again.read_bytes() == path.read_bytes(), path
    # A finished run is only reported.
    again_runs = train_seeds("cnn-fast", small_set, out, 3, resume=True, **FAST)
    assert list(again_runs) == [0, 1, 2]
    assert (out / "seed-0" / WEIGHTS).stat().st_mtime_ns == before[1]


def test_a_failing_seed_keeps_the_earlier_ones(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Cnn.fit

    def fail(self: Cnn, *arguments: Any) -> None:
        if self.options.seed == 1:
            raise InputError("training diverged")
        original(self, *arguments)

    monkeypatch.setattr(Cnn, "fit", fail)
    with pytest.raises(InputError, match="seed 1: training diverged"):
        train_seeds("cnn-fast", small_set, tmp_path / "out", 2, **FAST)
    assert (tmp_path / "out.partial" / "seed-0" / "model.json").is_file()
    with pytest.raises(InputError, match="diverged"):
        train_seeds("cnn-fast", small_set, tmp_path / "other", 2, seed=1, **FAST)
    assert not (tmp_path / "other.partial").exists()


@pytest.mark.usefixtures("seed_1_collapses")
def test_train_prints_a_line_per_seed_and_the_spread(small_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["train", "cnn-fuse-last", str(small_set), "--out", str(out), "--seeds", "3", *WORDS]
    done = CliRunner().invoke(main.app, words)
    assert done.exit_code == 0, done.output
    distances = [localize.describe(out / f"seed-{i}")["val_distance"] for i in range(3)]
    said = " ".join(done.output.split())
    for i, distance in enumerate(distances):
        assert f"seed {i}: best epoch" in said
        assert f"validation distance {distance:.1f} px" in said
    assert said.count("collapsed: constant answer since epoch 1") == 1
    assert (
        f"3 seeds, mean validation distance {np.mean(distances):.1f} px, "
        f"standard deviation {np.std(distances, ddof=1):.1f} px, "
        f"range {min(distances):.1f} to {max(distances):.1f} px"
    ) in said
    assert said.endswith("1 of them collapsed: constant answer (seed 1)")


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("train", "patchcore", "--seeds", "2"), "patchcore does not"),
        (("train", "cnn-fast", "--seeds", "0"), "seeds is 0"),
        (("compare", "--methods", "boundary", "--seeds", "2"), "none of the methods"),
        (("compare", "--methods", "cnn-fast", "--seeds", "0"), "seeds is 0"),
    ],
)
def test_bad_seeds_are_one_line(
    small_set: Path, tmp_path: Path, words: tuple[str, ...], fault: str
) -> None:
    command = [*words, str(small_set), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main.app, command)
    assert isinstance(done.exception, InputError) or done.exit_code == 2
    assert fault in (done.output + str(done.exception))
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def compared(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("compared") / "results"
    return localize.compare(small_set, out, ["cnn-fast", "boundary"], seeds=3, **FAST)


def test_a_method_has_one_row_with_mean_and_deviation(compared: Comparison) -> None:
    scores = pd.read_csv(compared.folder / "scores.csv")
    assert scores.columns.tolist() == [*scoring.SCORES, *OVER_SEEDS]
    assert scores["method"].tolist() == ["centre", "cnn-fast", "boundary"]
    assert scores["n"].nunique() == 1
    each = pd.read_csv(compared.folder / "seeds.csv")
    assert each.columns.tolist() == list(SEEDS)
    assert each["method"].tolist() == ["cnn-fast"] * 3
    assert each["seed"].tolist() == [0, 1, 2]
    row = scores.set_index("method").loc["cnn-fast"]
    for name in ("mean_distance", "normalised_distance", "hit@5", "hit@r"):
        assert row[name] == pytest.approx(each[name].mean())
        assert row[f"{name}_sd"] == pytest.approx(np.std(each[name], ddof=1))
    assert row["mean_distance_sd"] > 0
    assert row["seeds"] == 3
    assert row["collapsed_seeds"] == (each["answer_spread"] < 0.01).sum()
    assert row["parameters"] == each["parameters"].iloc[0]
    assert row["mean_distance_low"] < row["mean_distance"] < row["mean_distance_high"]
    others = scores.set_index("method").loc[["centre", "boundary"], list(OVER_SEEDS)]
    assert others.isna().all(axis=None)


def test_predictions_and_history_hold_every_seed(compared: Comparison, small_set: Path) -> None:
    predictions = pd.read_csv(compared.folder / "predictions.csv")
    n = len(Folder(small_set, "test"))
    counts = predictions.groupby(["method", "seed"], dropna=False).size()
    assert (counts == n).all()
    assert len(counts) == 5
    by_seed = predictions[predictions["method"] == "cnn-fast"].groupby("seed")["distance"].mean()
    np.testing.assert_allclose(by_seed, compared.seeds["mean_distance"].astype(float))
    history = pd.read_csv(compared.folder / "history.csv")
    assert set(history["method"]) == {"cnn-fast"}
    assert history.groupby("seed")["epoch"].apply(list).tolist() == [[1, 2]] * 3
    last = pd.read_csv(compared.folder / "scores-last-epoch.csv")
    assert last["method"].tolist() == ["cnn-fast"]


def test_a_seed_scores_like_its_run_folder(
    compared: Comparison, small_set: Path, tmp_path: Path
) -> None:
    run = compared.folder / "runs" / "cnn-fast-seed-2"
    again = localize.evaluate([run], small_set, tmp_path / "out").scores.iloc[1]
    assert again["mean_distance"] == compared.seeds["mean_distance"].iloc[2]
    assert again["hit@r"] == compared.seeds["hit@r"].iloc[2]


def test_one_seed_changes_nothing(compared: Comparison, small_set: Path, tmp_path: Path) -> None:
    one = localize.compare(small_set, tmp_path / "out", ["cnn-fast"], **FAST)
    assert one.scores.columns.tolist() == list(scoring.SCORES)
    assert one.predictions.columns.tolist() == list(scoring.PREDICTIONS)
    assert not (one.folder / "seeds.csv").exists()
    assert [path.name for path in (one.folder / "runs").iterdir()] == ["cnn-fast"]
    assert "seeds" not in (one.folder / "comparison.json").read_text()
    assert "over seeds" not in (one.folder / "report.html").read_text()
    row = one.scores.set_index("method").loc["cnn-fast"]
    assert row["mean_distance"] == compared.seeds["mean_distance"].iloc[0]


def test_the_same_seeds_give_the_same_answers(
    compared: Comparison, small_set: Path, tmp_path: Path
) -> None:
    again = localize.compare(small_set, tmp_path / "out", ["cnn-fast", "boundary"], seeds=3, **FAST)
    columns = ["method", "seed", "file_name", "x_pred", "y_pred"]
    pd.testing.assert_frame_equal(again.predictions[columns], compared.predictions[columns])


def test_tables_report_and_plots_show_the_seeds(
    compared: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    deviation = compared.scores.set_index("method").loc["cnn-fast", "mean_distance_sd"]
    tables.print_scores(compared, None)
    lines = capsys.readouterr().out.splitlines()
    assert any("cnn-fast" in line and f"{deviation:.1f} px (3 seeds)" in line for line in lines)
    assert sum("boundary" in line for line in lines) == 1
    html = (compared.folder / "report.html").read_text()
    assert "SD over seeds, px" in html
    assert "3 seeds" in html
    record = json.loads((compared.folder / "comparison.json").read_text())
    assert record["options"]["seeds"] == 3
    assert "--seeds" in record["command"]
    figure = plots.mean_distances(compared.scores, compared.seeds)
    dots = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert len(dots) == 1
    np.testing.assert_allclose(
        np.asarray(dots[0].get_xdata()), compared.seeds["mean_distance"].astype(float)
    )
    curves = plots.validation_curves(compared.history, 30.0)
    assert sum(len(line.get_xdata()) == 2 and line.get_label() == "cnn-fast"
               for line in curves.axes[0].lines) == 3  # fmt: skip
    assert [text.get_text() for text in curves.legends[0].get_texts()] == [
        "cnn-fast", "centre guess",
    ]  # fmt: skip


@pytest.mark.usefixtures("seed_1_collapses")
def test_a_collapsed_seed_is_counted(small_set: Path, tmp_path: Path) -> None:
    result = localize.compare(small_set, tmp_path / "out", ["cnn-fuse-last"], seeds=3, **FAST)
    assert result.seeds["note"].tolist() == ["", COLLAPSED, ""]
    row = result.scores.set_index("method").loc["cnn-fuse-last"]
    assert row["collapsed_seeds"] == 1
    assert row["note"] == f"1 of 3 seeds {COLLAPSED}"
    assert row["note"] in (result.folder / "report.html").read_text()
    again = localize.compare(small_set, tmp_path / "out", ["cnn-fuse-last"], seeds=3, resume=True,
                             **FAST)  # fmt: skip
    assert again.scores["note"].tolist() == result.scores["note"].tolist()
    assert again.seeds["seed"].tolist() == [0, 1, 2]
    tables.print_scores(again, None)


def test_compare_resumes_between_seeds(
    small_set: Path, tmp_path: Path, compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, methods = tmp_path / "results", ["cnn-fast", "boundary"]
    original = comparison._train

    def stop(localizer: Any, name: str, *arguments: Any) -> None:
        if name == "cnn-fast seed 2":
            raise KeyboardInterrupt
        original(localizer, name, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(comparison, "_train", stop)
        with pytest.raises(KeyboardInterrupt):
            localize.compare(small_set, out, methods, seeds=3, **FAST)
    with pytest.raises(InputError, match="another options"):
        localize.compare(small_set, out, methods, seeds=2, resume=True, **FAST)
    with monkeypatch.context() as patched:  # again, after all answers
        patched.setattr(comparison, "merge_seeds", stop_at_merge)
        with pytest.raises(KeyboardInterrupt):
            localize.compare(small_set, out, methods, seeds=3, resume=True, **FAST)
    lines: list[str] = []
    result = localize.compare(small_set, out, methods, seeds=3, resume=True, say=lines.append,
                              **FAST)  # fmt: skip
    assert lines == [f"cnn-fast seed {seed}: trained already" for seed in range(3)]
    columns = ["method", "seed", "mean_distance", "hit@5"]
    pd.testing.assert_frame_equal(result.seeds[columns], compared.seeds[columns])


def stop_at_merge(*arguments: Any) -> None:
    raise KeyboardInterrupt


def test_predictions_of_several_seeds_are_scored_as_by_compare(
    compared: Comparison, small_set: Path, tmp_path: Path
) -> None:
    options = {"clean": compared.folder / "clean.csv", "split": compared.scores["split"].iloc[0]}
    result = localize.score(
        compared.folder / "predictions.csv", small_set, tmp_path / "out", **options
    )
    columns = ["method", "n", "mean_distance", "mean_distance_low", "hit@5", "image_auroc",
               "mean_distance_sd"]  # fmt: skip
    own, its = (
        each.scores.set_index("method")[columns[1:]].loc[["cnn-fast", "boundary"]]
        for each in (result, compared)
    )
    pd.testing.assert_frame_equal(own, its, check_dtype=False, rtol=1e-9)
    assert result.seeds["seed"].tolist() == [0, 1, 2]
    assert pd.read_csv(tmp_path / "out/predictions.csv")["seed"].nunique() == 3
    table = compared.predictions.drop(columns="seed")
    table.to_csv(tmp_path / "mixed.csv", index=False)
    with pytest.raises(InputError, match=r"twice, .* number them in a column trial or seed"):
        localize.score(tmp_path / "mixed.csv", small_set, tmp_path / "other")


def test_a_seed_of_every_row_is_no_training(compared: Comparison, small_set: Path,
                                            tmp_path: Path) -> None:  # fmt: skip
    """A column ``seed`` of something else: no image is answered twice."""
    table = compared.predictions[compared.predictions["method"] == "boundary"]
    table.assign(seed=range(len(table))).to_csv(tmp_path / "mine.csv", index=False)
    result = localize.score(tmp_path / "mine.csv", small_set, tmp_path / "out")
    assert result.scores["method"].tolist() == ["centre", "boundary"]
    assert not len(result.seeds)


def test_the_interval_is_over_photos(small_set: Path) -> None:
    """Seeds with the same answers have the interval of one of them, and no deviation."""
    source = Folder(small_set, "all")
    tables_of = [scoring.predict(Centre(), name, source) for name in ("a", "m seed 0", "m seed 1")]
    rows = [scoring.score(each, source, None) for each in tables_of]
    split = {"m seed 0": ("m", 0), "m seed 1": ("m", 1)}
    merged = seeds.merge_seeds(collect_results(tables_of, rows, Path("x")), split)
    one, both = merged.scores.to_dict("records")
    for name in ("mean_distance", "normalised_distance"):
        for end in ("", "_low", "_high"):
            assert both[name + end] == pytest.approx(one[name + end])
    assert both["median_distance"] == one["median_distance"]
    assert both["mean_distance_sd"] == 0
    assert both["n"] == one["n"]


def test_a_region_is_missed_if_every_seed_misses_it() -> None:
    rows = [
        {"method": "m", "seed": seed, "file_name": name, "distance": distance, "r": 10.0,
         "discolor_ratio": 1.1}
        for name, distances in {"a": (5.0, 50.0), "b": (30.0, 20.0), "c": (math.nan, 40.0)}.items()
        for seed, distance in enumerate(distances)
    ]  # fmt: skip
    missed = ranking.visible_misses(pd.DataFrame(rows), "m")
    assert missed[["file_name", "distance"]].to_numpy().tolist() == [["b", 20.0], ["c", 40.0]]


def test_seeds_do_not_count_as_images_in_the_hit_rate_by_ratio() -> None:
    rng = np.random.default_rng(0)
    one = pd.DataFrame(
        {"method": "m", "file_name": map(str, range(60)), "photo": map(str, range(60)),
         "discolor_ratio": np.geomspace(1.05, 2, 60), "distance": rng.uniform(0, 10, 60)}
    )  # fmt: skip
    both = pd.concat([one.assign(seed=seed) for seed in (0, 1)], ignore_index=True)
    pd.testing.assert_frame_equal(hit_rates_by_ratio(both), hit_rates_by_ratio(one))
