from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import localize
from localize import comparison, plots, scoring
from localize import localizer as localizers
from localize.localizer import Finding, Learns, Told
from localize.methods.centre import Centre
from localize.sources import Folder
from synth import InputError

Retabled = Callable[[Path, Path, pd.DataFrame], Path]

FAST = {"input": (48, 32), "epochs": 2, "progress": False, "device": "cpu"}


class Scripted:
    """A localizer that answers x + 3, y + 4 of a known truth, and fails on some images."""

    learns: Learns = "nothing"
    parameters = 7

    def __init__(self, source: Folder, told: frozenset[str] = frozenset(), bad: int = -1) -> None:
        self.told, self.bad = told, bad
        self.truths = {
            source[i].image.tobytes(): (i, source.truth(i)[0]) for i in range(len(source))
        }
        self.heard: list[Sequence[Told] | None] = []

    def fit(self, train: object, val: object, run: Path) -> None: ...

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        self.heard.append(told)
        found = []
        for image in images:
            i, truth = self.truths[image.tobytes()]
            if i == self.bad:
                raise RuntimeError("cannot see")
            found.append(Finding(truth.x + 3, truth.y + 4, r=1.0, ratio=2.0, score=0.5))
        return found


def test_predictions_by_hand(small_set: Path) -> None:
    source = Folder(small_set, "all")
    table, errors = scoring.predict(Scripted(source), "scripted", source)
    assert list(table.columns) == list(scoring.PREDICTIONS)
    assert errors.empty
    np.testing.assert_allclose(table["distance"], 5)
    np.testing.assert_allclose(table["normalised_distance"], np.hypot(3 / 96, 4 / 80))
    np.testing.assert_array_equal(table[["x", "y"]], source.table[["x", "y"]])
    row = scoring.score(table, source, 7)
    assert row["mean_distance"] == pytest.approx(5)
    assert row["mean_distance_low"] == pytest.approx(5)
    assert row["hit@5"] == row["hit@r"] == 1
    assert row["n"] == len(source)
    assert row["parameters"] == 7


def test_only_told_methods_are_told(small_set: Path) -> None:
    source = Folder(small_set, "all")
    silent = Scripted(source)
    scoring.predict(silent, "silent", source)
    assert set(silent.heard) == {None}
    told = Scripted(source, frozenset({"r", "discolor_ratio"}))
    scoring.predict(told, "told", source)
    heard = [hint for hints in told.heard for hint in hints or []]
    assert [h.r for h in heard] == source.table["r"].tolist()
    assert [h.discolor_ratio for h in heard] == source.table["discolor_ratio"].tolist()


def test_one_failure_is_recorded_and_stops_nothing(small_set: Path) -> None:
    source = Folder(small_set, "all")
    table, errors = scoring.predict(Scripted(source, bad=2), "scripted", source)
    assert errors.to_dict("records") == [
        {
            "method": "scripted",
            "file_name": source[2].name,
            "reason": "RuntimeError: cannot see",
        }
    ]
    assert table["distance"].isna().sum() == 1
    row = scoring.score(table, source, 0)
    assert row["mean_distance"] == pytest.approx(5)
    assert row["hit@5"] == pytest.approx(1 - 1 / len(source))  # a missing answer is a miss


def test_interval_is_over_photos_not_rows(small_set: Path) -> None:
    source = Folder(small_set, "all")
    table, _ = scoring.predict(Centre(), "centre", source)
    row = scoring.score(table, source, 0)
    from localize import metrics

    groups = source.table["photo"].tolist()
    assert len(set(groups)) < len(groups)
    assert (row["mean_distance_low"], row["mean_distance_high"]) == metrics.bootstrap(
        table["distance"].to_numpy(), groups
    )


@pytest.fixture(scope="module")
def compared(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> comparison.Comparison:
    out = tmp_path_factory.mktemp("compared") / "results"
    return localize.compare(small_set, out, ["cnn-fast", "cnn-fuse-last", "boundary"], **FAST)


def test_compare_writes_tables_and_pictures(compared: comparison.Comparison) -> None:
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
    for name in ("validation", "distance", "found", "contact"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not folder.with_name("results.partial").exists()


def test_evaluate_agrees_with_compare(
    compared: comparison.Comparison, small_set: Path, tmp_path: Path
) -> None:
    run = compared.folder / "runs" / "cnn-fast"
    again = localize.evaluate([run, "boundary"], small_set, tmp_path / "scores")
    columns = [c for c in scoring.SCORES if c != "ms_per_image"]
    both = ["centre", "cnn-fast", "boundary"]
    pd.testing.assert_frame_equal(
        again.scores.set_index("method").loc[both, columns[1:]],
        compared.scores.set_index("method").loc[both, columns[1:]],
    )


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
    compared: comparison.Comparison, small_set: Path, tmp_path: Path
) -> None:
    import shutil

    run = compared.folder / "runs" / "cnn-fast"
    shutil.copytree(run, tmp_path / "cnn-fast")
    with pytest.raises(InputError, match="rename"):
        localize.evaluate([run, tmp_path / "cnn-fast"], small_set, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_chance_is_always_scored(small_set: Path, tmp_path: Path) -> None:
    result = localize.evaluate(["boundary"], small_set, tmp_path / "out")
    assert result.scores["method"].tolist() == ["centre", "boundary"]


def test_centre_distance_by_hand(small_set: Path) -> None:
    source = Folder(small_set, "val")
    by_hand = [
        np.hypot(t.x - 47.5, t.y - 39.5) for t in (source.truth(i)[0] for i in range(len(source)))
    ]
    assert comparison.centre_distance(small_set) == pytest.approx(np.mean(by_hand))


def test_found_within_ends_at_the_share_of_answers(compared: comparison.Comparison) -> None:
    figure = plots.found_within(compared.predictions)
    steps = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert {line.get_label() for line in steps} == set(compared.scores["method"])
    for line in steps:
        assert np.asarray(line.get_ydata())[-1] == pytest.approx(1)


def test_the_legend_covers_no_data(compared: comparison.Comparison) -> None:
    for figure in (
        plots.found_within(compared.predictions),
        plots.validation(compared.history, 30.0),
    ):
        figure.draw_without_rendering()
        legend = figure.legends[0].get_window_extent()
        assert not legend.overlaps(figure.axes[0].get_window_extent())


def test_colours_stay_with_their_method() -> None:
    few, many = plots.look(["cnn-slow", "mine"]), plots.look(["centre", "boundary", "cnn-slow"])
    assert few["cnn-slow"] == many["cnn-slow"]
    assert len(set(plots.look(list(localizers.METHODS)).values())) == len(localizers.METHODS)
    assert few["mine"] not in many.values()


def test_told_methods_hear_nothing_but_r_and_ratio() -> None:
    assert {f.name for f in Told.__dataclass_fields__.values()} == {"r", "discolor_ratio"}


def test_registry_lists_seven_methods() -> None:
    assert list(localizers.METHODS)[:2] == ["centre", "boundary"]
    assert len(localizers.METHODS) == 7


def test_resuming_with_another_request_is_refused(small_set: Path, tmp_path: Path) -> None:
    building = tmp_path / "results.partial"
    building.mkdir()
    request = comparison._request(Folder(small_set, "test"), {"input": (32, 32)})
    comparison._same_request(building, request)
    comparison._same_request(building, request)
    with pytest.raises(InputError, match="another options"):
        localize.compare(small_set, tmp_path / "results", ["cnn-fast"], resume=True, **FAST)
    assert building.is_dir()
