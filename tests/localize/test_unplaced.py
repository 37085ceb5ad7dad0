"""Unplaced rows, whose anomaly has no known place, and localizers that give no place."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import localize
from localize import api, comparison, external_predictions, registry
from localize.cli import find, tables
from localize.data.folder import Folder
from localize.evaluation import scoring
from localize.evaluation.suitability import usable_methods
from localize.localizer import Finding, Localizer, Told
from localize.report import page
from synth import InputError, dataset

WIDTH, HEIGHT = 24, 20
Rows = Sequence[tuple[str, int]]


def image(number: int, bright: bool) -> np.ndarray:
    """(H, W, 3) uint8 noise; brighter in rows 5 to 9 and columns 6 to 10 if it has an anomaly."""
    pixels = np.random.default_rng(number).integers(60, 120, (HEIGHT, WIDTH, 3), np.uint8)
    if bright:
        pixels[5:10, 6:11] += 100
    return pixels


def make(folder: Path, placed: int, unplaced: int, masks: int = 0, clean: int = 4) -> Path:
    """A dataset in which all rows are in all splits alike."""
    rows = []
    for split in ("train", "val", "test"):
        for k in range(placed + unplaced + clean):
            label, name = int(k < placed + unplaced), f"images/{split}-{k}.png"
            row = {"file_name": name, "label": label, "split": split, "width": WIDTH,
                   "height": HEIGHT, "codec": "png", "shape": "square", "overflow": "clip",
                   "rounding": "nearest", "feather": 0.0, "photo": f"{split}-{k // 2}"}  # fmt: skip
            if k < placed:
                row |= {"x": 8.0, "y": 7.0, "r": 2.0, "discolor_ratio": 1.5}
            (folder / "images").mkdir(parents=True, exist_ok=True)
            (folder / "masks").mkdir(exist_ok=True)
            Image.fromarray(image(hash_of(name), bool(label))).save(folder / name)
            if placed <= k < placed + masks:
                row["mask_file_name"] = f"masks/{split}-{k}.png"
                mask = np.zeros((HEIGHT, WIDTH), np.uint8)
                mask[5:10, 6:11] = 255
                Image.fromarray(mask).save(folder / row["mask_file_name"])
            rows.append(row)
    dataset.write(folder, dataset.frame(rows), {"made_by": "synth import", "versions": {}})
    return folder


def hash_of(name: str) -> int:
    return sum(name.encode())


class Brightest(Localizer):
    """Its score is the brightest value, its place that pixel, its map the grey values."""

    gives = frozenset({"place", "score", "map"})
    map_marks = "region"

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]:
        return [self.answer(each.astype(np.float32).mean(axis=2)) for each in images]

    def answer(self, grey: np.ndarray) -> Finding:
        y, x = np.unravel_index(grey.argmax(), grey.shape)
        return Finding(float(x), float(y), score=float(grey.max()), map=grey)


class Placeless(Brightest):
    gives = frozenset({"score"})
    map_marks = "centre"

    def answer(self, grey: np.ndarray) -> Finding:
        return Finding(math.nan, math.nan, score=float(grey.max()))


class TellMe(Brightest):
    told = frozenset({"r", "discolor_ratio"})


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2 rows with a place, 3 unplaced (2 with masks) and 4 clean ones in each split."""
    return make(tmp_path_factory.mktemp("mixed") / "set", 2, 3, masks=2)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 unplaced rows without masks and 4 clean ones in each split."""
    return make(tmp_path_factory.mktemp("labelled") / "set", 0, 5)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The localizers of this file as methods."""
    for name, kind in (("brightest", Brightest), ("placeless", Placeless), ("tell-me", TellMe)):
        entry = registry.Method(
            name, f"{__name__}:{kind.__name__}", "nothing", kind.told, "a test", gives=kind.gives
        )
        monkeypatch.setitem(registry.METHODS, name, entry)
        monkeypatch.setattr(entry.__class__, "implementation", _implementation)


def _implementation(entry: registry.Method) -> type[Localizer]:
    import importlib

    module, _, name = entry.target.partition(":")
    kind: type[Localizer] = globals().get(name) or getattr(importlib.import_module(module), name)
    return kind


def test_a_folder_keeps_unplaced_rows_apart(mixed: Path) -> None:
    source = Folder(mixed, "test")
    assert (len(source), len(source.unplaced), len(source.negatives())) == (2, 3, 4)
    assert [each.name for each in source.unplaced] == [f"images/test-{k}.png" for k in (2, 3, 4)]
    images = source.anomalous_images()
    assert len(images) == 5
    for k in range(5):
        assert np.array_equal(images[k], image(hash_of(f"images/test-{k}.png"), True))
    assert [len(source.select_unplaced([2]).unplaced), len(source.select_unplaced([2]))] == [1, 2]
    assert not source.select([0]).unplaced
    assert len(source.unplaced) == 3, "a selection changes nothing"


def test_detection_counts_all_rows_and_location_those_with_a_place(mixed: Path) -> None:
    source = Folder(mixed, "test")
    answers = scoring.predict(Brightest(), "it", source)
    row = scoring.score(answers, source, 0)
    assert (row["n"], row["n_anomalous"], row["n_clean"]) == (2, 5, 4)
    assert row["image_auroc"] == 1
    assert row["hit@5"] == 1
    assert row["mean_distance"] == pytest.approx(answers.predictions["distance"][:2].mean())
    assert answers.predictions["distance"].isna().tolist() == [False] * 2 + [True] * 3
    assert answers.predictions[["x", "y", "r", "discolor_ratio"]].iloc[2:].isna().all(axis=None)
    assert answers.predictions[["x_pred", "score"]].notna().all(axis=None)
    assert answers.errors.empty
    assert len(answers.maps) == 2 + 2 + 4, "the row without a mask has no pixels to compare"
    assert row["pixel_auroc"] == 1


def test_pixel_scores_need_a_mask(labelled: Path) -> None:
    source = Folder(labelled, "test")
    answers = scoring.predict(Brightest(), "it", source)
    row = scoring.score(answers, source, 0)
    assert row["image_auroc"] == 1
    assert math.isnan(row["pixel_auroc"])
    assert all(math.isnan(row[name]) for name in ("hit@5", "hit@r", "mean_distance"))


def test_told_methods_answer_rows_with_a_place_alone(mixed: Path) -> None:
    source = Folder(mixed, "test")
    answers = scoring.predict(TellMe(), "it", source)
    assert answers.predictions["file_name"].tolist() == source.table["file_name"].tolist()
    assert scoring.score(answers, source, 0)["n_anomalous"] == 2


def test_a_localizer_without_a_place_has_empty_location_scores(mixed: Path) -> None:
    source = Folder(mixed, "test")
    answers = scoring.predict(Placeless(), "it", source)
    row = scoring.score(answers, source, 0)
    assert answers.errors.empty
    assert (row["n"], row["n_anomalous"], row["image_auroc"]) == (2, 5, 1)
    assert all(math.isnan(row[name]) for name in ("hit@5", "hit@r", "median_distance"))
    failing = scoring.predict(Failing(), "it", source)
    assert len(failing.errors) == 5 + 0, "a crash is an error in any case"


class Failing(Placeless):
    def answer(self, grey: np.ndarray) -> Finding:
        raise RuntimeError("no")


def test_a_comparison_without_places(
    labelled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = localize.compare(labelled, tmp_path / "out", ["brightest", "placeless"])
    tables.print_scores(result, None)
    printed = capsys.readouterr().out
    assert "5 images without a place" in " ".join(printed.split())
    assert "hit@5" not in printed
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert "presence.svg" in files
    assert not {"distance.svg", "found.svg", "contact.png", "found-by-ratio.csv"} & files
    html = (tmp_path / "out/report.html").read_text()
    assert "has the highest AUROC" in html
    assert "there are no distances" in html
    assert "centre guess, averaged" not in html
    page.write(tmp_path / "out")
    assert (tmp_path / "out/report.html").read_text() == html


def test_a_comparison_with_and_without_places(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = localize.compare(mixed, tmp_path / "out", ["brightest", "placeless", "tell-me"])
    tables.print_scores(result, None)
    assert "2 images with a place and 3 without" in " ".join(capsys.readouterr().out.split())
    scores = result.scores.set_index("method")
    assert scores["n_anomalous"].to_dict() == {
        "centre": 5, "brightest": 5, "placeless": 5, "tell-me": 2,
    }  # fmt: skip
    assert np.isnan(scores.loc["placeless", "hit@5"])
    record = json.loads((tmp_path / "out/comparison.json").read_text())
    assert record["methods"]["placeless"]["gives"] == ["score"]
    html = (tmp_path / "out/report.html").read_text()
    assert "gives no place" in html
    assert "placeless" not in (tmp_path / "out/found.svg").read_text()
    assert not (tmp_path / "out/errors.csv").exists()

    again = external_predictions.score(
        tmp_path / "out/predictions.csv", mixed, tmp_path / "again",
        clean=tmp_path / "out/clean.csv",
    )  # fmt: skip
    columns = ["n", "n_anomalous", "hit@5", "mean_distance", "image_auroc"]
    names = ["brightest", "placeless"]
    pd.testing.assert_frame_equal(
        again.scores.set_index("method").loc[names, columns], scores.loc[names, columns]
    )
    assert again.errors.empty


def test_scores_of_another_program_need_no_places(labelled: Path, tmp_path: Path) -> None:
    rows = [f"images/test-{k}.png,{9 - k}" for k in range(9)]
    (tmp_path / "mine.csv").write_text("file_name,score\n" + "\n".join(rows))
    result = external_predictions.score(tmp_path / "mine.csv", labelled, tmp_path / "out")
    row = result.scores.set_index("method").loc["mine"]
    assert (row["n_anomalous"], row["n_clean"], row["image_auroc"]) == (5, 4, 1)
    assert result.errors.empty


def test_methods_that_need_places_are_left_out_or_refused(labelled: Path, mixed: Path) -> None:
    lines: list[str] = []
    source = Folder(labelled, "test")
    entries = [registry.METHODS[name] for name in ("boundary", "cnn-fast", "ringvote", "patchcore")]
    kept = usable_methods(entries, source, lines.append)
    assert [entry.name for entry in kept] == ["ringvote", "patchcore"]
    assert [line.split(",")[0] for line in lines] == ["boundary: left out", "cnn-fast: left out"]
    assert usable_methods(entries, Folder(mixed, "test"), lines.append) == entries
    for name in ("boundary", "cnn-fast"):
        with pytest.raises(InputError, match=f"{name}: it .* has no row with a known place"):
            usable_methods([registry.METHODS[name]], source, None)
    with pytest.raises(InputError, match="tell-me: it is told r and the ratio"):
        comparison.evaluate(["tell-me"], labelled, labelled.parent / "no")


def test_sharpness_refuses_methods_without_a_place(mixed: Path, tmp_path: Path) -> None:
    from localize.sharpness.measurement import measure

    with pytest.raises(InputError, match="placeless gives no place, and sharpness"):
        measure(["placeless"], mixed, tmp_path / "s")


def test_a_learning_curve_of_labels_counts_unplaced_rows(mixed: Path, tmp_path: Path) -> None:
    """2 of the 5 labelled images of a split have a place; transfer needs none, cnn-fast does."""
    options = {"repeats": 1, "input": (32, 32), "epochs": 1, "progress": False, "device": "cpu"}
    result = localize.learning_curve(
        ["transfer", "cnn-fast", "placeless"], mixed, tmp_path / "l", labels=[2, "all"],
        random_weights=True, **options,
    )  # fmt: skip
    table = result.scores.set_index("method")
    names = [name for name in table.index.unique() if name.startswith("transfer")]
    assert table.loc[names, "rows"].tolist() == [2, 10]
    assert table.loc["cnn-fast", "rows"].tolist() == [2, 4]
    for name in (*names, "placeless"):
        assert result.summary.set_index("method").loc[[name], ["hit@5", "gain"]].isna().all(None)
        assert result.summary.set_index("method").loc[[name], "image_auroc"].notna().all()
    assert result.summary.set_index("method").loc["cnn-fast", "mean_distance"].notna().all()
    assert result.label_gains.empty  # nothing has learned from clean images alone


def test_find_prints_a_score_alone(
    mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = mixed / "images/test-0.png"
    find.find([path], method="placeless")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "placeless gives no place, only whether an image has an anomaly"
    assert lines[1].startswith(f"{path}: score ")
    with pytest.raises(InputError, match="gives no place to draw"):
        find.find([path], method="placeless", overlay=tmp_path / "drawn")
    assert math.isnan(api.locate("placeless", image(0, True)).x)
