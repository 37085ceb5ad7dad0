"""Learning curves: subsets, trainings, interrupted runs, tables, figures, page."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import localize
from localize.data import subset
from localize.data.folder import Folder
from localize.evaluation import curve_tables, label_gain, scoring
from localize.evaluation.curve_tables import LearningCurve
from localize.localizer import Learns
from localize.methods.cnn import Cnn
from localize.report import page
from synth import InputError

Retabled = Callable[[Path, Path, pd.DataFrame], Path]
OPTIONS: dict[str, Any] = {
    "rows": [4, "all"], "repeats": 2, "input": (32, 32), "epochs": 1, "progress": False,
    "device": "cpu",
}  # fmt: skip


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[Folder]:
    """The training images of every call of ``Cnn.fit``, in order."""
    calls: list[Folder] = []
    original = Cnn.fit

    def fit(self: Cnn, train: Folder, val: Folder, run: Path) -> None:
        calls.append(train)
        original(self, train, val, run)

    monkeypatch.setattr(Cnn, "fit", fit)
    return calls


@pytest.fixture(scope="module")
def finished(small_set: Path, tmp_path_factory: pytest.TempPathFactory) -> LearningCurve:
    out = tmp_path_factory.mktemp("curves") / "out"
    return localize.learning_curve(["cnn-fast", "boundary"], small_set, out, **OPTIONS)


def names_of(source: Folder) -> list[str]:
    return source.table["file_name"].tolist()


def clean_names(source: Folder) -> list[str]:
    return [each.name for each in source.negatives()]


@pytest.mark.parametrize("learns", ["labelled", "clean"])
def test_subsets_are_nested_and_take_whole_photos(small_set: Path, learns: Learns) -> None:
    source = Folder(small_set, "all")
    photos = subset.photos_of_images(source, learns)
    order = subset.image_order(source, photos, seed=5, repeat=1)
    assert sorted(order) == list(range(len(photos)))
    for count in range(1, len(order) + 1):
        incomplete = {
            photos[i] for i in order[:count] if any(photos[j] == photos[i] for j in order[count:])
        }
        assert len(incomplete) <= 1


def test_the_order_depends_on_seed_and_repeat_but_not_on_the_method(small_set: Path) -> None:
    source = Folder(small_set, "all")

    def photos_in_order(learns: Learns, seed: int, repeat: int) -> list[str]:
        photos = subset.photos_of_images(source, learns)
        order = subset.image_order(source, photos, seed, repeat)
        return list(dict.fromkeys(photos[i] for i in order))

    first = photos_in_order("labelled", 0, 0)
    assert photos_in_order("labelled", 0, 0) == first
    assert photos_in_order("labelled", 0, 1) != first
    assert photos_in_order("labelled", 1, 0) != first
    clean = photos_in_order("clean", 0, 0)
    assert clean == [photo for photo in first if photo in clean] + [
        photo for photo in clean if photo not in first
    ]


def test_rows_are_repeated_to_the_length_of_the_split(small_set: Path) -> None:
    source = Folder(small_set, "all")
    order = subset.image_order(source, source.groups, 0, 0)
    rows = subset.select_subset(source, "labelled", order[:4], length=11)
    counts = pd.Series(names_of(rows)).value_counts()
    assert len(rows) == 11
    assert sorted(counts) == [2, 3, 3, 3]
    assert set(counts.index) == {names_of(source)[i] for i in order[:4]}
    whole = subset.select_subset(source, "labelled", order, len(source))
    assert names_of(whole) == names_of(source)


@pytest.mark.parametrize("blank", [True, False])
def test_clean_images_of_a_subset(small_set: Path, blank: bool) -> None:
    """With label-0 rows these are taken, without them the clean twins."""
    source = Folder(small_set, "all")
    if not blank:
        source._clean_rows = []
    everything = [each.name for each in source.negatives()]
    order = subset.image_order(source, subset.photos_of_images(source, "clean"), 0, 0)[:3]
    chosen = subset.select_subset(source, "clean", order, length=20)
    assert [each.name for each in chosen.negatives()] == [everything[i] for i in sorted(order)]
    assert len(list(chosen.clean())) == 3


def test_every_training_has_its_row(small_set: Path, finished: LearningCurve) -> None:
    total = len(Folder(small_set, "train"))
    table = finished.scores
    keys = table[["method", "rows", "repeat"]].values.tolist()
    assert keys == [
        ["centre", 0, 0], ["boundary", 0, 0],
        ["cnn-fast", 4, 0], ["cnn-fast", 4, 1], ["cnn-fast", total, 0], ["cnn-fast", total, 1],
    ]  # fmt: skip
    assert table["seed"].isna().tolist() == [True, True, *[False] * 4]
    assert table["seed"].dropna().tolist() == [0, 1, 0, 1]
    assert table["photos"].tolist()[2:4] == [2, 2]
    runs = finished.folder / "runs/cnn-fast"
    assert sorted(path.name for path in runs.iterdir()) == [
        "rows-0004-repeat-0", "rows-0004-repeat-1",
        f"rows-{total:04}-repeat-0", f"rows-{total:04}-repeat-1",
    ]  # fmt: skip
    options = [json.loads((run / "model.json").read_text())["options"] for run in runs.iterdir()]
    assert sorted(each["seed"] for each in options) == [0, 0, 1, 1]


@pytest.mark.usefixtures("no_figures_here")
def test_the_whole_split_gives_the_scores_of_compare(
    small_set: Path, finished: LearningCurve, tmp_path: Path
) -> None:
    options = {name: OPTIONS[name] for name in ("input", "epochs", "progress", "device")}
    compared = localize.compare(small_set, tmp_path / "out", ["cnn-fast"], **options).scores
    table = finished.scores.query("method == 'cnn-fast' and repeat == 0")
    mine = table[table["rows"] == len(Folder(small_set, "train"))]
    theirs = compared[compared["method"] == "cnn-fast"]
    for column in ("mean_distance", "normalised_distance", "hit@5"):
        assert mine[column].item() == theirs[column].item()


def test_the_summary_is_the_mean_over_the_repeats(finished: LearningCurve) -> None:
    for row in finished.summary.to_dict("records"):
        of_row = finished.scores.query("method == @row['method'] and rows == @row['rows']")
        assert row["repeats"] == len(of_row)
        for metric in curve_tables.METRICS:
            mean = of_row[metric].mean()
            assert row[metric] == pytest.approx(mean, nan_ok=True)
        if np.isfinite(row["mean_distance_low"]):
            assert row["mean_distance_low"] <= row["mean_distance"] <= row["mean_distance_high"]


def test_a_method_without_training_has_the_intervals_of_evaluate(
    small_set: Path, finished: LearningCurve
) -> None:
    source = Folder(small_set, "test")
    answers = scoring.predict(localize.load("boundary"), "boundary", source)
    direct = scoring.score(answers, source, None)
    row = finished.summary.query("method == 'boundary'").iloc[0]
    for metric in ("mean_distance", "normalised_distance", "image_auroc"):
        for end in ("", "_low", "_high"):
            assert row[f"{metric}{end}"] == pytest.approx(direct[f"{metric}{end}"], nan_ok=True)


def table_of(distances: np.ndarray, guess: np.ndarray) -> pd.DataFrame:
    """(R, N) distances after R trainings with 50 rows, (N,) of the centre guess -> predictions."""
    rows = [("centre", 0, 0, guess), *(("m", 50, k, each) for k, each in enumerate(distances))]
    photos = [f"{i // 2}.jpg" for i in range(len(guess))]
    names = [f"{i}.png" for i in range(len(guess))]
    return pd.concat(
        pd.DataFrame(
            {"method": method, "rows": count, "repeat": k, "file_name": names, "photo": photos,
             "x": 0.0, "distance": each, "normalised_distance": each / 100, "score": np.nan}
        )
        for method, count, k, each in rows
    )  # fmt: skip


def test_intervals_cover_repeats_and_photos() -> None:
    """Compared with a bootstrap in a plain loop, with other random numbers."""
    rng = np.random.default_rng(3)
    level = np.array([[2.0], [10.0], [14.0]])  # the trainings differ
    distances = level + rng.uniform(0, 6, (3, 40))
    guess = rng.uniform(10, 30, 40)
    summary = curve_tables.summarize(
        table_of(distances, guess), pd.DataFrame(columns=list(curve_tables.TABLES["clean"]))
    ).set_index("method")
    means, gains, hits = [], [], []
    for _ in range(4000):
        photos = rng.integers(20, size=20)
        images = np.concatenate([2 * photos, 2 * photos + 1])
        drawn = distances[rng.integers(3, size=3)][:, images]
        means.append(drawn.mean())
        gains.append((guess[images] - drawn).mean())
        hits.append((drawn <= 5).mean())
    for metric, samples in (("mean_distance", means), ("gain", gains), ("hit@5", hits)):
        low, high = np.quantile(samples, [0.025, 0.975])
        width = high - low
        assert summary.loc["m", f"{metric}_low"] == pytest.approx(low, abs=0.06 * width)
        assert summary.loc["m", f"{metric}_high"] == pytest.approx(high, abs=0.06 * width)
    assert summary.loc["m", "gain"] == pytest.approx((guess - distances).mean())


def test_an_image_without_an_answer_is_a_miss_without_gain() -> None:
    distances, guess = np.array([[1.0, np.nan, 1.0, 9.0]]), np.full(4, 9.0)
    summary = curve_tables.summarize(
        table_of(distances, guess), pd.DataFrame(columns=list(curve_tables.TABLES["clean"]))
    ).set_index("method")
    assert summary.loc["m", "hit@5"] == 0.5
    assert summary.loc["m", "mean_distance"] == pytest.approx(11 / 3)
    assert summary.loc["m", "gain"] == pytest.approx(4)


@pytest.mark.parametrize(
    ("lows", "needed"),
    [([1, 1, 1], 50), ([1, -1, 1], 200), ([-1, -1, -1], None), ([1, 1, np.nan], None)],
)
def test_rows_needed(lows: Sequence[float], needed: int | None) -> None:
    summary = pd.DataFrame({"method": "m", "rows": [50, 100, 200], "gain_low": lows})
    assert curve_tables.rows_needed(summary, "m") == needed


@pytest.mark.usefixtures("no_figures_here")
def test_an_interrupted_run_resumes_and_trains_nothing_twice(
    small_set: Path, finished: LearningCurve, tmp_path: Path, fitted: list[Folder],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    counting = Cnn.fit

    def stopped(self: Cnn, train: Folder, val: Folder, run: Path) -> None:
        if len(fitted) == 2:
            raise KeyboardInterrupt
        counting(self, train, val, run)

    out, methods = tmp_path / "out", ["cnn-fast", "boundary"]
    with monkeypatch.context() as patched:
        patched.setattr(Cnn, "fit", stopped)
        with pytest.raises(KeyboardInterrupt):
            localize.learning_curve(methods, small_set, out, **OPTIONS)
    assert len(fitted) == 2
    assert not out.exists()
    resumed = localize.learning_curve(methods, small_set, out, resume=True, **OPTIONS)
    assert len(fitted) == 4
    pd.testing.assert_frame_equal(resumed.scores, finished.scores)
    pd.testing.assert_frame_equal(resumed.summary, finished.summary)
    said: list[str] = []
    again = localize.learning_curve(
        methods, small_set, out, resume=True, say=said.append, **OPTIONS
    )
    assert len(fitted) == 4
    assert "finished already" in said[0]
    pd.testing.assert_frame_equal(again.summary, resumed.summary, check_dtype=False)


@pytest.mark.usefixtures("no_figures_here")
@pytest.mark.parametrize("same_epochs", [False, True])
def test_a_subset_is_trained_with_the_steps_of_the_whole_split(
    small_set: Path, tmp_path: Path, fitted: list[Folder], same_epochs: bool
) -> None:
    options = OPTIONS | {"repeats": 1}
    localize.learning_curve(
        ["cnn-fast"], small_set, tmp_path / "out", same_epochs=same_epochs, **options
    )
    small, whole = fitted
    assert set(names_of(small)) < set(names_of(whole))
    assert len(set(names_of(small))) == 4
    assert len(small) == (4 if same_epochs else len(whole))


def test_patchcore_learns_from_the_clean_images_of_the_subset(
    small_set: Path, tmp_path: Path, retabled: Retabled
) -> None:
    table = pd.read_csv(small_set / "metadata.csv").query("label == 1")
    twins, out = retabled(small_set, tmp_path / "twins", table), tmp_path / "out"
    result = localize.learning_curve(
        ["patchcore"], twins, out, rows=[2, "all"], repeats=1, random_weights=True,
        backbone="mobilenet_v2", coreset_ratio=0.01, device="cpu", progress=False,
    )  # fmt: skip
    total = len(Folder(twins, "train").negatives())
    whole = result.scores["rows"] == total
    assert result.scores["rows"].tolist() == [0, 2, total]
    assert result.scores["image_auroc"].notna().tolist() == [False, True, True]
    images = [
        json.loads((run / "model.json").read_text())["train_images"]
        for run in sorted((out / "runs/patchcore").iterdir())
    ]
    assert images == [2, total]
    assert (out / "auroc.svg").is_file()
    mean = result.summary["image_auroc"][result.summary["rows"] == total].item()
    assert mean == pytest.approx(result.scores["image_auroc"][whole].item())


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_labels_are_divided_between_train_and_val(
    train: int, val: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(2, train + val))
    for_val = subset.validation_labels(count, train, val)
    assert 1 <= for_val <= val
    assert 1 <= count - for_val <= train
    if count == train + val:
        assert for_val == val


@pytest.fixture(scope="module")
def by_labels(
    small_set: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[LearningCurve, list[tuple[Folder, Folder]]]:
    """A curve over labels, and the train and val images of each training of the CNN."""
    calls: list[tuple[Folder, Folder]] = []
    original = Cnn.fit

    def fit(self: Cnn, train: Folder, val: Folder, run: Path) -> None:
        calls.append((train, val))
        original(self, train, val, run)

    out = tmp_path_factory.mktemp("labels") / "out"
    options = {name: value for name, value in OPTIONS.items() if name != "rows"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cnn, "fit", fit)
        result = localize.learning_curve(
            ["cnn-fast", "patchcore"], small_set, out, labels=[3, 6], random_weights=True,
            backbone="mobilenet_v2", coreset_ratio=0.01, same_epochs=True, **options,
        )  # fmt: skip
    return result, calls


def test_a_curve_over_labels_keeps_all_clean_images(
    small_set: Path, by_labels: tuple[LearningCurve, list[tuple[Folder, Folder]]]
) -> None:
    result, calls = by_labels
    whole = {split: Folder(small_set, split) for split in ("train", "val")}
    assert [len(train) + len(val) for train, val in calls] == [3, 3, 6, 6]
    for train, val in calls:
        assert clean_names(train) == clean_names(whole["train"])
        assert clean_names(val) == clean_names(whole["val"])
        assert set(names_of(train)) <= set(names_of(whole["train"]))
        assert set(names_of(val)) <= set(names_of(whole["val"]))
    for small, large in ((0, 2), (1, 3)):
        for i in (0, 1):
            assert set(names_of(calls[small][i])) <= set(names_of(calls[large][i]))
    assert result.scores[["method", "rows", "repeat"]].values.tolist() == [
        ["centre", 0, 0], ["cnn-fast", 3, 0], ["cnn-fast", 3, 1], ["cnn-fast", 6, 0],
        ["cnn-fast", 6, 1], ["patchcore (random weights)", 0, 0],
    ]  # fmt: skip


def test_labels_are_compared_with_the_best_method_without_labels(
    by_labels: tuple[LearningCurve, list[tuple[Folder, Folder]]],
) -> None:
    result, _ = by_labels
    gains = result.label_gains
    assert set(gains["baseline"]) == {"patchcore (random weights)"}
    assert gains[["metric", "rows"]].values.tolist() == [
        ["mean_distance", 3], ["mean_distance", 6], ["hit@5", 3], ["hit@5", 6],
    ]  # fmt: skip
    means = result.summary.set_index(["method", "rows"])["mean_distance"]
    difference = means["patchcore (random weights)", 0] - means["cnn-fast", 6]
    assert gains["gain"].iloc[1] == pytest.approx(difference)
    text = (result.folder / "report.html").read_text()
    for words in ("How many labels are needed?", "6 labels", "labels needed", "no labels used"):
        assert words in text
    assert "by labelled images" in (result.folder / "distance.svg").read_text()
    (result.folder / "report.html").unlink()
    assert page.write(result.folder).read_text() == text


def test_the_gain_in_auroc_is_paired() -> None:
    """A method that ranks as the baseline but for one pair has a narrow interval, one-sided."""
    rng = np.random.default_rng(0)
    score = rng.normal(size=60)
    names, photos = [f"{i}.png" for i in range(60)], [f"{i // 2}.jpg" for i in range(60)]

    def table(method: str, count: int, score: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
        whole = pd.DataFrame(
            {"method": method, "rows": count, "repeat": 0, "file_name": names, "photo": photos,
             "score": score, "x": 0.0, "distance": 0.0}
        )  # fmt: skip
        return whole[:30], whole[30:]

    better = np.r_[score[:30] + 0.3, score[30:]]
    tables = [table("patchcore", 0, score), table("m", 5, score), table("m", 9, better)]
    predictions, clean = (pd.concat(each) for each in zip(*tables, strict=True))
    areas = [0.4, 0.4, 0.5]
    summary = pd.DataFrame(
        {"method": ["patchcore", "m", "m"], "rows": [0, 5, 9], "image_auroc": areas,
         "mean_distance": np.nan, "hit@5": np.nan}
    )  # fmt: skip
    gains = label_gain.label_gains(summary, predictions, clean, ["patchcore"])
    assert gains.loc[0, ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert gains.loc[1, "gain_low"] > 0
    assert label_gain.labels_needed(gains, "m", "image_auroc") == 9
    assert label_gain.labels_needed(gains, "m", "hit@5") is None


def test_figures_and_page_name_all_methods(finished: LearningCurve) -> None:
    folder = finished.folder
    for name in ("distance", "hits"):
        assert (folder / f"{name}.png").stat().st_size > 0
        drawn = (folder / f"{name}.svg").read_text()
        for method in ("cnn-fast", "boundary (not trained here)", "centre guess"):
            assert f"<!-- {method} -->" in drawn
    text = (folder / "report.html").read_text()
    for words in ("cnn-fast", "boundary", "centre", "rows needed", "localize learning-curve"):
        assert words in text
    (folder / "report.html").unlink()
    assert page.write(folder).read_text() == text


def test_a_damaged_table_is_refused_by_the_report(finished: LearningCurve, tmp_path: Path) -> None:
    for name in ("learning_curve.json", "learning_curve.csv", "predictions.csv"):
        (tmp_path / name).write_bytes((finished.folder / name).read_bytes())
    table = (finished.folder / "learning_curve_summary.csv").read_text()
    (tmp_path / "learning_curve_summary.csv").write_text(table.replace("gain_low", "gain_lwo"))
    with pytest.raises(InputError, match="gain_low"):
        page.write(tmp_path)


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise AssertionError("bad input must be refused before a training")

    monkeypatch.setattr(Cnn, "fit", fail)


@pytest.mark.parametrize(
    ("specs", "options", "words"),
    [
        (["cnn-fast"], {"rows": [4, 999]}, "rows is 999: the train split of"),
        (["cnn-fast"], {"rows": [0]}, "rows is 0"),
        (["cnn-fast"], {"rows": []}, "rows is empty"),
        (["cnn-fast"], {"labels": [5]}, "rows and labels are two kinds"),
        (["cnn-fast"], {"labels": [1], "rows": None}, "labels is 1: train and val"),
        (["cnn-fast"], {"labels": [999], "rows": None}, "labels is 999"),
        (["cnn-fast"], {"repeats": 0}, "repeats is 0"),
        (["cnn-fast"], {"seed": -1}, "seed is -1"),
        (["cnn-fast"], {"epochs": 0}, "epochs is 0"),
        (["cnn-fast"], {"coreset_ratio": 0.5}, "--coreset-ratio is no option"),
        (["boundary", "ringvote"], {}, "--retrain"),
        (["cnn-fast", "anomalib:padim"], {}, "anomalib:padim always learns from the whole"),
        (["cnn-fast", "cnn-fast"], {}, "two methods are called 'cnn-fast'"),
        (["cnn-fats"], {}, "cnn-fast"),
    ],
)
def test_bad_input_is_refused_before_any_training(
    small_set: Path, tmp_path: Path, no_training: None, specs: list[str],
    options: dict[str, Any], words: str,
) -> None:  # fmt: skip
    with pytest.raises(InputError, match=words):
        localize.learning_curve(specs, small_set, tmp_path / "out", **{"rows": [4]} | options)
    assert not (tmp_path / "out").exists()


def test_a_resumed_run_with_other_options_is_refused(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Cnn, "fit", stop)
    with pytest.raises(KeyboardInterrupt):
        localize.learning_curve(["cnn-fast"], small_set, tmp_path / "out", **OPTIONS)
    other = OPTIONS | {"epochs": 2, "resume": True}
    with pytest.raises(InputError, match="another options"):
        localize.learning_curve(["cnn-fast"], small_set, tmp_path / "out", **other)
