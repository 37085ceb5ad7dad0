from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import localize
import synth.anomaly
from localize import comparison, registry
from localize.cli import tables
from localize.data.folder import Folder
from localize.evaluation import scoring
from localize.evaluation.baseline import centre_distance
from localize.evaluation.results import Comparison
from localize.localizer import Finding, Learns, Localizer, Told
from localize.methods.boundary import Boundary
from localize.methods.centre import Centre
from localize.options import LearnerOptions
from localize.report import comparison_files, detection_plots, plots
from synth import Anomaly, InputError, folders, read

Retabled = Callable[[Path, Path, pd.DataFrame], Path]

FAST = {"input": (48, 32), "epochs": 2, "progress": False, "device": "cpu"}


class Scripted(Localizer):
    """A localizer that answers x + 3, y + 4 of a known truth, and fails on some images.

    Images without a known truth, the clean ones, get a lower score.
    """

    learns: Learns = "nothing"
    parameters = 7

    def __init__(self, source: Folder, told: frozenset[str] = frozenset(), bad: int = -1) -> None:
        self.told, self.bad = told, bad
        self.truths = {
            source[i].image.tobytes(): (i, source.truth(i)[0]) for i in range(len(source))
        }
        self.told_values: list[Sequence[Told] | None] = []

    def fit(self, train: object, val: object, run: Path) -> None: ...

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        self.told_values.append(told)
        return [self.answer(image) for image in images]

    def answer(self, image: np.ndarray) -> Finding:
        i, truth = self.truths.get(image.tobytes(), (-2, None))
        if i == self.bad:
            raise RuntimeError("cannot see")
        heat = self.heat(truth, image.shape[:2])
        if truth is None:
            return Finding(0, 0, score=0.25, map=heat)
        return Finding(truth.x + 3, truth.y + 4, r=1.0, ratio=2.0, score=0.5, map=heat)

    def heat(self, truth: Anomaly | None, shape: tuple[int, ...]) -> np.ndarray:
        return np.zeros(shape, np.float32)


class Marking(Scripted):
    """Its maps are 1 in the region, and 0 elsewhere."""

    map_marks = "region"

    def heat(self, truth: Anomaly | None, shape: tuple[int, ...]) -> np.ndarray:
        if truth is None:
            return super().heat(truth, shape)
        return synth.anomaly.mask(truth, *shape).astype(np.float32)


class Crooked(Marking):
    """One map has the wrong shape, one holds NaN."""

    def heat(self, truth: Anomaly | None, shape: tuple[int, ...]) -> np.ndarray:
        heat = super().heat(truth, shape)
        if truth is None:
            return heat
        if truth == next(iter(self.truths.values()))[1]:
            return heat[1:]
        if truth == list(self.truths.values())[-1][1]:
            heat[0, 0] = np.nan
        return heat


class PositionsOnly(Scripted):
    """A localizer without score and map."""

    def answer(self, image: np.ndarray) -> Finding:
        return Finding(1.0, 2.0)


def test_predictions_by_hand(small_set: Path) -> None:
    source = Folder(small_set, "all")
    answers = scoring.predict(Scripted(source), "scripted", source)
    table, errors = answers.predictions, answers.errors
    assert list(table.columns) == list(scoring.PREDICTIONS)
    assert errors.empty
    np.testing.assert_allclose(table["distance"], 5)
    np.testing.assert_allclose(table["normalised_distance"], np.hypot(3 / 96, 4 / 80))
    np.testing.assert_array_equal(table[["x", "y"]], source.table[["x", "y"]])
    row = scoring.score(answers, source, 7)
    assert row["mean_distance"] == pytest.approx(5)
    assert row["mean_distance_low"] == pytest.approx(5)
    assert row["hit@5"] == row["hit@r"] == 1
    assert row["n"] == len(source)
    assert row["parameters"] == 7


def test_only_told_methods_are_told(small_set: Path) -> None:
    source = Folder(small_set, "all")
    image_only = Scripted(source)
    scoring.predict(image_only, "image-only", source)
    assert set(image_only.told_values) == {None}
    told = Scripted(source, frozenset({"r", "discolor_ratio"}))
    scoring.predict(told, "told", source)
    values = [each for batch in told.told_values for each in batch or []]
    # First of the rows, then of their clean twins, which are told their partners' values.
    assert [each.r for each in values] == 2 * source.table["r"].tolist()
    assert [each.discolor_ratio for each in values] == 2 * source.table["discolor_ratio"].tolist()


def test_one_failure_is_recorded_and_stops_nothing(small_set: Path) -> None:
    source = Folder(small_set, "all")
    answers = scoring.predict(Scripted(source, bad=2), "scripted", source)
    table, errors = answers.predictions, answers.errors
    errors = errors[errors["file_name"].str.startswith("images/")]
    assert errors.to_dict("records") == [
        {
            "method": "scripted",
            "file_name": source[2].name,
            "reason": "RuntimeError: cannot see",
        }
    ]
    assert table["distance"].isna().sum() == 1
    row = scoring.score(answers, source, 0)
    assert row["mean_distance"] == pytest.approx(5)
    assert row["hit@5"] == pytest.approx(1 - 1 / len(source))  # a missing answer is a miss


def test_scores_tell_anomalies_from_clean_images(small_set: Path) -> None:
    source = Folder(small_set, "all")
    answers = scoring.predict(Scripted(source), "scripted", source)
    clean = read(small_set).query("label == 0")
    assert answers.clean.columns.tolist() == list(scoring.CLEAN)
    assert answers.clean["file_name"].tolist() == clean["file_name"].tolist()
    assert answers.clean["photo"].tolist() == clean["photo"].tolist()
    row = scoring.score(answers, source, 0)
    assert row["n_clean"] == len(clean)
    assert row["image_auroc"] == row["average_precision"] == row["best_f1"] == 1
    assert row["image_auroc_low"] == row["image_auroc_high"] == 1
    assert row["best_f1_threshold"] == 0.5
    assert "pixel_auroc" not in row  # its maps mark centres


def test_told_methods_are_scored_against_twins(small_set: Path) -> None:
    source = Folder(small_set, "all")
    told = Scripted(source, frozenset({"r", "discolor_ratio"}))
    answers = scoring.predict(told, "told", source)
    assert answers.clean["file_name"].tolist() == source.table["clean_file_name"].tolist()
    assert answers.clean["photo"].tolist() == source.table["photo"].tolist()


def test_an_image_without_a_score_counts_as_the_worst(small_set: Path) -> None:
    source = Folder(small_set, "all")
    answers = scoring.predict(Scripted(source, bad=2), "scripted", source)
    assert scoring.score(answers, source, 0)["image_auroc"] == pytest.approx(1 - 1 / len(source))
    answers = scoring.predict(Scripted(source, bad=-2), "scripted", source)  # all clean ones
    assert answers.clean["score"].isna().all()
    assert len(answers.errors) == len(answers.clean)
    assert scoring.score(answers, source, 0)["image_auroc"] == 0


def test_maps_of_regions_are_scored_pixel_by_pixel(small_set: Path) -> None:
    source = Folder(small_set, "all")
    answers = scoring.predict(Marking(source), "marking", source)
    assert len(answers.maps) == len(source) + len(answers.clean)
    row = scoring.score(answers, source, 0)
    assert row["pixel_auroc"] == row["aupro"] == row["aupro_low"] == 1


@pytest.mark.parametrize("kind", [Crooked, Marking])
def test_a_missing_map_counts_as_the_worst(small_set: Path, kind: type[Scripted]) -> None:
    source = Folder(small_set, "all")
    answers = scoring.predict(kind(source, bad=1 if kind is Marking else -1), "it", source)
    reasons = answers.errors["reason"].tolist()
    if kind is Crooked:
        assert "shape (79, 96), the image (80, 96)" in reasons[0]
        assert "NaN" in reasons[1]
    assert len(reasons) == (1 if kind is Marking else 2)
    assert len(answers.maps) == len(source) + len(answers.clean)
    row = scoring.score(answers, source, 0)
    assert row["aupro"] <= 1 - len(reasons) / len(source)
    assert row["hit@5"] == pytest.approx(1 - (kind is Marking) / len(source))


def test_methods_without_score_or_map_get_no_clean_images(small_set: Path) -> None:
    source = Folder(small_set, "all")
    localizer = PositionsOnly(source)
    answers = scoring.predict(localizer, "positions", source)
    assert len(answers.predictions) == len(source)
    assert len(localizer.told_values) == -(-len(source) // localizer.batch_size)
    assert answers.clean.empty
    assert not set(scoring.DETECTION) & set(scoring.score(answers, source, 0))


def test_without_clean_images_there_is_nothing_to_tell_apart(
    small_set: Path, tmp_path: Path, retabled: Retabled
) -> None:
    table = pd.read_csv(small_set / "metadata.csv").drop(columns=["clean_file_name"])
    copy = retabled(small_set, tmp_path / "set", table[table["label"] == 1])
    result = localize.evaluate(["boundary"], copy, tmp_path / "out")
    assert result.scores[list(scoring.DETECTION)].isna().all(axis=None)
    assert not (tmp_path / "out" / "clean.csv").exists()
    assert not (tmp_path / "out" / "presence.png").exists()


def test_a_clean_image_that_cannot_be_read_stops_nothing(small_set: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(small_set, tmp_path / "set")
    broken = read(copy).query("label == 0")["file_name"].iloc[0]
    (copy / broken).write_bytes(b"no image")
    source = Folder(copy)
    answers = scoring.predict(Marking(source), "marking", source)
    assert answers.errors["file_name"].tolist() == [broken]
    assert scoring.score(answers, source, 0)["image_auroc"] < 1


def test_progress_counts_both(small_set: Path) -> None:
    source = Folder(small_set, "all")
    seen: list[tuple[int, int]] = []
    answers = scoring.predict(
        Scripted(source), "scripted", source, lambda done, total: seen.append((done, total))
    )
    everything = len(source) + len(answers.clean)
    assert (len(source), len(source)) in seen
    assert seen[-1] == (everything, everything)


def test_interval_is_over_photos_not_rows(small_set: Path) -> None:
    source = Folder(small_set, "all")
    answers = scoring.predict(Centre(), "centre", source)
    row = scoring.score(answers, source, 0)
    from localize.evaluation import metrics

    groups = source.table["photo"].tolist()
    assert len(set(groups)) < len(groups)
    assert (row["mean_distance_low"], row["mean_distance_high"]) == metrics.bootstrap(
        answers.predictions["distance"].to_numpy(), groups
    )


@pytest.fixture(scope="module")
def compared(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("compared") / "results"
    return localize.compare(small_set, out, ["cnn-fast", "cnn-fuse-last", "boundary"], **FAST)


def test_compare_writes_tables_and_figures(compared: Comparison) -> None:
    folder = compared.folder
    scores = pd.read_csv(folder / "scores.csv")
    assert list(scores.columns) == list(scoring.SCORES)
    assert scores["method"].tolist() == ["centre", "cnn-fast", "cnn-fuse-last", "boundary"]
    assert (scores["split"] == "test").all()
    predictions = pd.read_csv(folder / "predictions.csv")
    assert list(predictions.columns) == list(scoring.PREDICTIONS)
    assert len(predictions) == scores["n"].sum()
    history = pd.read_csv(folder / "history.csv")
    assert history.groupby("method")["epoch"].max().to_dict() == {
        "cnn-fast": 2,
        "cnn-fuse-last": 2,
    }
    last = pd.read_csv(folder / "scores-last-epoch.csv")
    assert last["method"].tolist() == ["cnn-fast", "cnn-fuse-last"]
    clean = pd.read_csv(folder / "clean.csv")
    assert list(clean.columns) == list(scoring.CLEAN)
    assert set(clean["method"]) == {"boundary"}
    detected = scores.set_index("method")["image_auroc"].notna()
    assert detected[detected].index.tolist() == ["boundary"]
    assert scores.set_index("method")["n_clean"]["boundary"] == len(clean)
    for name in ("validation", "distance", "found", "contact", "presence"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not folder.with_name("results.partial").exists()


@pytest.mark.usefixtures("no_figures_here")
def test_evaluate_agrees_with_compare(
    compared: Comparison, small_set: Path, tmp_path: Path
) -> None:
    run = compared.folder / "runs" / "cnn-fast"
    again = localize.evaluate([run, "boundary"], small_set, tmp_path / "scores")
    columns = [c for c in scoring.SCORES if c != "ms_per_image"]
    both = ["centre", "cnn-fast", "boundary"]
    pd.testing.assert_frame_equal(
        again.scores.set_index("method").loc[both, columns[1:]],
        compared.scores.set_index("method").loc[both, columns[1:]],
    )


@pytest.mark.usefixtures("no_figures_here")
def test_compare_resumes_after_a_finished_method(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "results"

    def refuse(self: object, images: object, told: object = None) -> list[Finding]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Centre, "locate", refuse)
        with pytest.raises(KeyboardInterrupt):
            localize.compare(small_set, out, ["cnn-fast"], **FAST)
    assert not out.exists()
    with pytest.raises(InputError, match="--resume"):
        localize.compare(small_set, out, ["cnn-fast"], **FAST)
    lines: list[str] = []
    localize.compare(small_set, out, ["cnn-fast"], resume=True, say=lines.append, **FAST)
    assert lines == ["cnn-fast: trained already"]
    assert (out / "scores.csv").is_file()


def test_split_falls_back_to_val(small_set: Path, tmp_path: Path, retabled: Retabled) -> None:
    table = pd.read_csv(small_set / "metadata.csv")
    copy = retabled(small_set, tmp_path / "set", table[table["split"] != "test"])
    assert comparison.choose_split(copy, None).split == "val"
    with pytest.raises(InputError, match="split test"):
        comparison.choose_split(copy, "test")


def test_two_runs_of_one_name_are_refused(
    compared: Comparison, small_set: Path, tmp_path: Path
) -> None:
    run = compared.folder / "runs" / "cnn-fast"
    shutil.copytree(run, tmp_path / "cnn-fast")
    with pytest.raises(InputError, match="rename"):
        localize.evaluate([run, tmp_path / "cnn-fast"], small_set, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("no_figures_here")
def test_chance_is_always_scored(small_set: Path, tmp_path: Path) -> None:
    result = localize.evaluate(["boundary"], small_set, tmp_path / "out")
    assert result.scores["method"].tolist() == ["centre", "boundary"]


def test_centre_distance_by_hand(small_set: Path) -> None:
    source = Folder(small_set, "val")
    by_hand = [
        np.hypot(t.x - 47.5, t.y - 39.5) for t in (source.truth(i)[0] for i in range(len(source)))
    ]
    assert centre_distance(Folder(small_set, "val")) == pytest.approx(np.mean(by_hand))


def test_found_within_ends_at_the_share_of_answers(compared: Comparison) -> None:
    figure = plots.hit_rate_curves(compared.predictions)
    steps = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert {line.get_label() for line in steps} == set(compared.scores["method"])
    for line in steps:
        assert np.asarray(line.get_ydata())[-1] == pytest.approx(1)


def test_the_legend_covers_no_data(compared: Comparison) -> None:
    for figure in (
        plots.hit_rate_curves(compared.predictions),
        plots.validation_curves(compared.history, 30.0),
        detection_plots.roc_curves(compared.predictions, compared.clean),
    ):
        figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
        assert not legend.overlaps(figure.axes[0].get_window_extent())


def test_colours_stay_with_their_method() -> None:
    few, many = (
        plots.method_styles(["cnn-slow", "mine"]),
        plots.method_styles(["centre", "boundary", "cnn-slow"]),
    )
    assert few["cnn-slow"] == many["cnn-slow"]
    assert len(set(plots.method_styles(list(registry.METHODS)).values())) == len(registry.METHODS)
    assert few["mine"] not in many.values()


def test_the_registry_begins_with_what_needs_no_training() -> None:
    assert list(registry.METHODS)[:2] == ["centre", "boundary"]


def test_resuming_with_another_request_is_refused(small_set: Path, tmp_path: Path) -> None:
    building = tmp_path / "results.partial"
    building.mkdir()
    (building / folders.UNFINISHED).touch()
    request = comparison_files.request_of(Folder(small_set, "test"), {"input": (32, 32)})
    (building / comparison_files.ABOUT).write_text(json.dumps(request))
    with pytest.raises(InputError, match="another options"):
        localize.compare(small_set, tmp_path / "results", ["cnn-fast"], resume=True, **FAST)
    assert building.is_dir()


class Fitted(PositionsOnly):
    """Learns from clean images, without epochs; a run says whether its weights were random."""

    learns: Learns = "clean"

    def __init__(self, **options: object) -> None:
        self.told, self.options, self.note = frozenset(), options, ""

    def fit(self, train: object, val: object, run: Path) -> None:
        run.mkdir(parents=True)
        (run / "model.json").write_text(json.dumps({"method": "fitted"}))

    @classmethod
    def load(cls, run: Path) -> Fitted:
        localizer = cls()
        localizer.note = "random weights"
        localizer.told_values = []
        return localizer


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of our own: the baselines and the method above."""
    entry = registry.Method("fitted", "here:Fitted", "clean", frozenset(), "a test", LearnerOptions)
    monkeypatch.setattr(type(entry), "implementation", lambda self: entries[self.name])
    known = {name: registry.METHODS[name] for name in ("centre", "boundary")}
    entries = {"centre": Centre, "boundary": Boundary, "fitted": Fitted}
    monkeypatch.setattr(registry, "METHODS", {**known, "fitted": entry})
    monkeypatch.setattr(comparison, "DEFAULT_METHODS", (*known, "fitted"))


@pytest.mark.usefixtures("fitted", "no_figures_here")
def test_a_method_without_epochs_is_scored_once(small_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    result = localize.compare(small_set, out, ["fitted"], seed=1, device="cpu")
    name = "fitted (random weights)"
    assert result.scores["method"].tolist() == ["centre", name]
    assert set(result.predictions["method"]) == {"centre", name}
    assert result.last.empty
    assert result.history.empty
    assert not (out / "history.csv").exists()
    again = localize.evaluate([out / "runs" / "fitted"], small_set, tmp_path / "again")
    assert again.scores["method"].tolist() == ["centre", name]


@pytest.mark.usefixtures("fitted", "no_figures_here")
def test_without_clean_images_what_learns_from_them_is_left_out(
    small_set: Path, tmp_path: Path, retabled: Retabled
) -> None:
    table = pd.read_csv(small_set / "metadata.csv").drop(columns=["clean_file_name"])
    copy = retabled(small_set, tmp_path / "set", table[table["label"] == 1])
    lines: list[str] = []
    result = localize.compare(copy, tmp_path / "out", comparison.DEFAULT_METHODS, say=lines.append)
    assert result.scores["method"].tolist() == ["centre", "boundary"]
    assert len(lines) == 1
    assert lines[0].startswith("fitted: left out")


def test_the_report_has_a_column_for_scores_where_there_are_any(
    compared: Comparison, capsys: pytest.CaptureFixture[str]
) -> None:
    tables.print_scores(compared, None)
    lines = capsys.readouterr().out.splitlines()
    value = compared.scores.set_index("method")["image_auroc"]["boundary"]
    assert any("AUROC" in line and "hit@r" in line for line in lines)
    assert any("boundary" in line and f"{value:.2f} [" in line for line in lines)
    without_auroc = compared.scores.assign(image_auroc=np.nan)
    tables.print_scores(dataclasses.replace(compared, scores=without_auroc), None)
    assert "AUROC" not in capsys.readouterr().out
