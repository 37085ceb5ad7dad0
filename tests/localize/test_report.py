"""The report of a comparison: its sentences from known numbers, and that the page is whole."""

from __future__ import annotations

import json
import math
import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import localize
from localize.cli import main
from localize.data.folder import Folder
from localize.evaluation import calibration
from localize.methods.boundary import Boundary
from localize.report import (
    closeups,
    comparison_summary,
    detection_plots,
    figures,
    markup,
    plots,
    ranking,
)
from localize.report import page as report
from localize.report.markup import Cell, Column, Html
from synth import InputError

IMAGE_ONLY: dict[str, Any] = {"told": []}
TOLD: dict[str, Any] = {"told": ["discolor_ratio", "r"]}


def predictions(photos: int = 10, **distances: Any) -> pd.DataFrame:
    """Two images a photo; a method's distance is one number, or one for every photo."""
    tables = []
    for method, distance in {"centre": 100.0, **distances}.items():
        each = np.repeat(np.broadcast_to(distance, photos).astype(float), 2)
        where = np.repeat(np.arange(photos), 2)
        names = [f"images/{photo}-{i % 2}.jpg" for i, photo in enumerate(where)]
        tables.append(
            pd.DataFrame(
                {
                    "method": method, "file_name": names, "photo": [f"{k}.png" for k in where],
                    "x": 50.0, "y": 60.0, "r": 20.0 + where, "discolor_ratio": 1.1,
                    "x_pred": 50.0 + each, "y_pred": np.where(np.isnan(each), np.nan, 60.0),
                    "score": np.nan, "distance": each,
                }
            )
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def answer(table: pd.DataFrame, **methods: Any) -> list[str]:
    results = ranking.rank_methods(table, methods)
    sentences = comparison_summary.summarize(results, partial(ranking.distance_gap, table))
    return [re.sub("<[^>]+>", "", sentence).replace("\u00a0", " ") for sentence in sentences]


def test_three_sentences_from_known_numbers() -> None:
    noise = np.resize([90.0, 110.0], 10)
    table = predictions(sharp=1.0, second=11.0, plain=20.0, noisy=noise, bad=120.0, empty=math.nan)
    assert answer(table, sharp=TOLD, second=TOLD, plain=IMAGE_ONLY, noisy=IMAGE_ONLY) == [
        "sharp is best: mean distance 1.0 px [1.0, 1.0], within 5 px in 100 % [100, 100] of the "
        "images; on average 99 px [99, 99] closer than the centre guess.",
        "Second is second, 10 px [10, 10] farther; among image-only methods, plain is best: mean "
        "distance 20 px [20, 20], within 5 px in 0 % [0, 0] of the images.",
        "Not significantly different from the centre guess: noisy; worse than the centre guess: "
        "bad; no answers: empty.",
    ]


@pytest.mark.parametrize(
    ("photos", "distances", "expected"),
    [
        (10, {"a": np.resize([80.0, 110.0], 10), "b": 120.0},
         ["None of the 2 methods is better than the centre guess (mean distance 100 px "
          "[100, 100]). The first in the ranking, a, is 5.0 px [−4.0, 14] closer.",
          "Not significantly different from the centre guess: a; worse than the centre guess: b."]),
        (10, {"a": 101.0},
         ["a is worse than the centre guess (mean distance 100 px [100, 100]): it is 1.0 px "
          "[1.0, 1.0] farther."]),
        (10, {"a": np.resize([5.0, 195.0], 10)},
         ["a is no better than the centre guess (mean distance 100 px [100, 100]): it is 0.0 px "
          "[−57, 57] closer; however, its answer lies inside the region in 50 % [20, 80] of the "
          "images, that of the centre guess in 0 % [0, 0]."]),
        (1, {"a": 2.0},
         ["a has the smallest distance: mean distance 2.0 px, within 5 px in 100 % of the images; "
          "the mean distance of the centre guess is 100 px. With one photo there is no interval, "
          "so the difference may be due to chance."]),
        (10, {"a": math.nan}, ["No method gave an answer; the reasons are listed below."]),
        (10, {}, ["Nothing to compare: a comparison needs a method and the centre guess."]),
        (10, {"a": 1.0, "b": 2.0},
         ["a is best: mean distance 1.0 px [1.0, 1.0], within 5 px in 100 % [100, 100] of the "
          "images; on average 99 px [99, 99] closer than the centre guess.",
          "Second is b, 1.0 px [1.0, 1.0] farther.",
          "Both methods are better than the centre guess."]),
    ],
)  # fmt: skip
def test_sentences_at_and_below_chance(
    photos: int, distances: dict[str, Any], expected: list[str]
) -> None:
    assert answer(predictions(photos, **distances)) == expected


def test_silence_is_no_skill() -> None:
    """One exact answer and nine missing: worth a tenth of the gain, and a tenth of the hits."""
    table = predictions(rare=[0.0, *[math.nan] * 9], steady=50.0)
    first, second = (each for each in ranking.rank_methods(table, {}) if each.method != "centre")
    assert (first.method, second.method) == ("steady", "rare")
    assert second.gain.value == pytest.approx(10)
    assert second.hit_5.value == pytest.approx(0.1)
    assert second.mean.value == 0
    assert second.verdict == "no better"


def test_a_sentence_says_that_answers_far_on_average_are_often_inside() -> None:
    table = predictions(a=1.0, torn=np.resize([5.0, 195.0], 10))
    assert "torn (but inside the region in 50 % [20, 80])" in answer(table)[-1]


def test_a_difference_is_paired() -> None:
    """Photos differ far more than the methods do: only image by image is the lead clear."""
    rng = np.random.default_rng(0)
    hard = rng.uniform(0, 90, 10)
    gap = ranking.distance_gap(predictions(a=hard, b=hard + 1), "a", "b")
    assert gap == pytest.approx((1, 1, 1))


def test_misses_come_by_visibility() -> None:
    table = predictions(a=[0.0, 300.0, math.nan, *[300.0] * 7])
    table.loc[(table["method"] == "a") & (table["photo"] == "5.png"), "discolor_ratio"] = 0.5
    missed = ranking.visible_misses(table, "a")
    assert missed["photo"].tolist()[:4] == ["5.png", "5.png", "9.png", "9.png"]
    assert len(missed) == 12
    assert "2.png" in set(ranking.visible_misses(table, "a", 99)["photo"])
    assert "0.png" not in set(ranking.visible_misses(table, "a", 99)["photo"])


NASTY = "<script>alert('x')</script>&\"--><b>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a comparison leaves, with a method, a photo and a reason that are no friends."""
    folder = tmp_path_factory.mktemp("report") / "out"
    folder.mkdir()
    table = predictions(**{NASTY: 3.0, "boundary": np.resize([90.0, 110.0], 10)})
    table.loc[[5, 25, 45], "file_name"] = f"images/{NASTY}.jpg"
    table.loc[25, ["distance", "x_pred", "y_pred"]] = np.nan
    scores = pd.DataFrame(
        [
            {"method": name, "split": "test", "n": 20, "mean_distance": rows["distance"].mean(),
             "mean_distance_low": 1.0, "mean_distance_high": 120.0, "image_auroc": 0.5 + i / 8,
             "ms_per_image": 2.0, "parameters": 7}
            for i, (name, rows) in enumerate(table.groupby("method", sort=False))
        ]
    )  # fmt: skip
    errors = [{"method": NASTY, "file_name": "images/2-1.jpg", "reason": f"ValueError: {NASTY}"}]
    for name, each in {"predictions": table, "scores": scores, "errors": errors}.items():
        pd.DataFrame(each).to_csv(folder / f"{name}.csv", index=False)
    about = {
        "dataset": NASTY, "split": "test", "options": {"augment": [NASTY]},
        "command": ["localize", "evaluate", NASTY], "versions": {"acuity": "0", NASTY: NASTY},
        "methods": {NASTY: {"told": ["r"], "learns": NASTY, "summary": NASTY}},
        "dataset_recipe": {"recipe": {"size": [96, 80], "seed": 3, "shape": NASTY}},
    }  # fmt: skip
    (folder / "comparison.json").write_text(json.dumps(about))
    plots.save(plots.mean_distances(scores), folder / "distance")
    plots.save(plots.hit_rate_curves(table), folder / "found")
    noise = np.random.default_rng(0).integers(0, 255, (1300, 2000, 3), np.uint8)
    Image.fromarray(noise).save(folder / "contact.png", compress_level=1)
    report.write(folder)
    return folder


class Page(HTMLParser):
    """All elements, ids, links and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_markup_in_a_table_is_shown_as_text(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 1
    assert NASTY.partition("<b>")[0] not in text
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    shown = "".join(page.texts)
    for where in (f"ValueError: {NASTY}", f"images/{NASTY}.jpg", f"{NASTY} · test split"):
        assert where in shown


def test_the_page_loads_no_other_file(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "http" not in text
    assert "@import" not in text
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(set(ids)) == len(ids) > 100
    links = set(re.findall(r"url\(#([^)]*)\)", text))
    assert not re.search(r"url\((?!#)", text)
    for tag, attrs in page.elements:
        assert tag not in ("link", "iframe", "base", "object", "embed", "metadata")
        for name in ("src", "href", "xlink:href"):
            value = attrs.get(name) or "data:"
            assert value.startswith(("data:image/", "#", "data:"))
            if value.startswith("#"):
                links.add(value[1:])
    assert links <= set(ids)


def test_pictures_are_made_small_enough(folder: Path) -> None:
    assert (folder / "contact.png").stat().st_size > 5_000_000
    assert (folder / "report.html").stat().st_size < 2_500_000


def test_the_same_files_give_the_same_page(folder: Path) -> None:
    before = (folder / "report.html").read_bytes()
    result = CliRunner().invoke(main.app, ["report", str(folder)])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == str(folder / "report.html")
    assert (folder / "report.html").read_bytes() == before


def test_plots_take_the_colours_of_the_page(folder: Path) -> None:
    drawn = figures.svg((folder / "distance.svg").read_text(encoding="utf-8"), "d", "x")
    assert "#ffffff" not in drawn
    assert "#000000" not in drawn
    assert "var(--m0)" in drawn  # boundary's orange
    assert {figures.theme_colour(colour) for colour in plots.COLOURS if colour != "#000000"} == {
        f"var(--m{i})" for i in range(len(plots.COLOURS)) if plots.COLOURS[i] != "#000000"
    }
    style = (Path(report.__file__).parent / "web" / "page.css").read_text(encoding="utf-8")
    for name in figures.THEME.values():
        assert style.count(f"{name[4:-1]}:") >= 2, name  # light and dark


def test_an_svg_brings_no_script() -> None:
    drawn = figures.svg(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 2" onload="x()"><!-- a > b -->'
        '<script>x()</script><foreignObject><b/></foreignObject><g id="a" onclick="x()">'
        '<use href="#a"/><image href="http://there/x.png"/><path style="fill: #FFFFFF"/></g></svg>',
        "p", "a <plot>",
    )  # fmt: skip
    assert "x()" not in drawn
    assert "there" not in drawn
    assert 'id="p-a"' in drawn
    assert 'href="#p-a"' in drawn
    assert "var(--paper)" in drawn
    assert 'aria-label="a &lt;plot&gt;"' in drawn


def test_nothing_sorts_as_a_number() -> None:
    shown = markup.table("t", [Column("a", False), Column("b")], [[Cell("x"), Cell("–", math.nan)]])
    assert 'data-value="x"' in shown
    assert 'data-value=""' in shown
    assert isinstance(shown, Html)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "holds no comparison.json"),
        ({"comparison.json": "{"}, "comparison.json is damaged"),
        ({"comparison.json": "[]"}, "comparison.json is damaged"),
        ({"comparison.json": "{}", "predictions.csv": "method,x\na,1\n"}, "lacks the column"),
        ({"comparison.json": "{}", "predictions.csv": ""}, "predictions.csv"),
    ],
)
def test_foreign_and_damaged_folders(tmp_path: Path, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_values_of_another_type_are_refused_by_their_key_or_shown(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("predictions.csv", "scores.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    about = json.loads((folder / "comparison.json").read_text())
    for key in (*about, "methods.told"):
        for value in (5, "x", [5], {"a": [None]}):
            outer, _, inner = key.partition(".")
            changed = {NASTY: {inner: value}} if inner else value
            (tmp_path / "comparison.json").write_text(json.dumps(about | {outer: changed}))
            try:
                report.write(tmp_path)
            except InputError as error:
                assert f"comparison.json is damaged ({outer}" in str(error)  # noqa: PT017
    for outer in ("methods", "versions", "options", "command"):
        (tmp_path / "comparison.json").write_text(json.dumps(about | {outer: 5}))
        with pytest.raises(InputError, match=rf"{outer} is 5"):
            report.write(tmp_path)


def test_a_page_of_another_program_is_kept(folder: Path, tmp_path: Path) -> None:
    for name in ("comparison.json", "predictions.csv", "scores.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    page = report.write(tmp_path)
    assert report.write(tmp_path) == page  # ours is written again
    page.write_text("<html><title>My report</title>")
    with pytest.raises(InputError, match="was not written by Acuity"):
        report.write(tmp_path)
    assert "My report" in page.read_text()


@pytest.mark.parametrize(
    ("file", "column", "value"),
    [
        ("predictions.csv", "r", "banana"),
        ("predictions.csv", "distance", "1e308"),
        ("predictions.csv", "x_pred", "nan"),
        ("predictions.csv", "y", "9" * 5000),
        ("predictions.csv", "discolor_ratio", "-1.1"),
        ("scores.csv", "parameters", "banana"),
        ("scores.csv", "ms_per_image", "inf"),
        ("scores.csv", "best_f1", "1,5"),
        ("scores.csv", "average_precision_low", "banana"),
        ("scores.csv", "image_auroc", "7"),
    ],
)
def test_a_cell_that_is_no_number_is_named(
    folder: Path, tmp_path: Path, file: str, column: str, value: str
) -> None:
    for name in ("comparison.json", "predictions.csv", "scores.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    table = pd.read_csv(tmp_path / file, dtype=str)
    table[column] = table.get(column, "")
    table.loc[1, column] = value
    table.to_csv(tmp_path / file, index=False)
    with pytest.raises(InputError) as caught:
        report.write(tmp_path)
    assert re.search(rf"{file}, row 1, line 3.*: {column} is '{value[:20]}", str(caught.value))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.html").exists()


def test_a_damaged_picture_is_named(folder: Path, tmp_path: Path) -> None:
    for name in ("comparison.json", "predictions.csv", "scores.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "found.svg").write_text("<svg")
    with pytest.raises(InputError, match=r"found\.svg is damaged"):
        report.write(tmp_path)
    (tmp_path / "found.svg").unlink()
    (tmp_path / "found.png").write_bytes(b"\x89PNG")
    with pytest.raises(InputError, match=r"found\.png is damaged"):
        report.write(tmp_path)


def test_up_close_are_the_misses_of_the_best(small_set: Path) -> None:
    source = Folder(small_set, "all")
    table = source.table.assign(method="a", x_pred=0.0, y_pred=0.0, distance=40.0)
    table.loc[0, "distance"] = 0.5
    table.loc[1, "discolor_ratio"] += 0.1  # the dataset has no image of this ratio
    centre = table.assign(method="centre", distance=60.0)
    figure = closeups.missed_regions(pd.concat([table, centre]), source)
    assert figure is not None
    assert len([axes for axes in figure.axes if axes.images]) == 8
    image = figure.axes[0].images[0]
    assert image.get_array().shape[0] == image.get_array().shape[1]
    hit = pd.concat([table.assign(distance=0.0), centre])
    assert closeups.missed_regions(hit, source) is None


def test_calibration_by_hand() -> None:
    found = calibration.reliability_bins(np.array([0.1, 0.1, 0.9, 1.0]), np.array([0, 1, 1, 1]))
    np.testing.assert_allclose(found.predicted, [0.1, 0.95])
    np.testing.assert_allclose(found.observed, [0.5, 1])
    assert found.count.tolist() == [2, 2]
    assert found.error == pytest.approx((0.4 + 0.05) / 2)
    assert (found.low < found.observed).all()
    assert (found.observed <= found.high).all()


def test_correct_log_odds_have_a_small_calibration_error() -> None:
    rng = np.random.default_rng(0)
    log_odds = rng.normal(0, 2, 20000)
    positive = rng.random(20000) < calibration.sigmoid(log_odds)
    correct = calibration.reliability_bins(calibration.sigmoid(log_odds), positive)
    overconfident = calibration.reliability_bins(calibration.sigmoid(3 * log_odds), positive)
    assert correct.error < 0.015 < 0.1 < overconfident.error
    assert np.mean((correct.low <= correct.predicted) & (correct.predicted <= correct.high)) >= 0.8


def test_the_reliability_plot_shows_methods_whose_scores_are_log_odds() -> None:
    table = predictions(sure=1.0, other=5.0)
    table["score"] = np.where(table["method"] == "sure", np.inf, 3.0)
    clean = pd.DataFrame({"method": ["sure", "sure", "other"], "score": [-np.inf, np.nan, 1.0]})
    figure = detection_plots.reliability_diagrams(table, clean, ["sure"])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["sure: calibration error 0.00 and 0.00"]


def test_evaluate_leaves_a_report_and_what_it_needs(
    small_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Boundary, "score_kind", "log odds", raising=False)
    out = tmp_path / "out"
    localize.evaluate(["boundary"], small_set, out, split="test")
    about = json.loads((out / "comparison.json").read_text())
    assert about["command"] == [
        "localize", "evaluate", "boundary", str(small_set), "--split", "test",
        "--out", str(out),
    ]  # fmt: skip
    method = about["methods"]["boundary"]
    assert (method["told"], method["scores"]) == (["discolor_ratio", "r"], "log odds")
    table = pd.read_csv(out / "predictions.csv")
    assert set(table["photo"]) == set(Folder(small_set, "test").groups)
    for name in ("reliability.png", "reliability.svg", "report.html"):
        assert (out / name).stat().st_size > 1000
    text = (out / "report.html").read_text(encoding="utf-8")
    assert f"of {table['photo'].nunique()} photos" in text
    assert "radius and ratio" in text
    assert 'id="reliability-figure_1"' in text
