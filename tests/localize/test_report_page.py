"""The report in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from localize.report import page as report
from localize.report import plots

if TYPE_CHECKING:
    from playwright.sync_api import Page

Browse = Callable[..., "Page"]
OF_SCORES = "#scores table"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison of four methods, one of them without answers, with plots and a contact sheet."""
    folder = tmp_path_factory.mktemp("page") / "out"
    folder.mkdir()
    photos = np.repeat(np.arange(12), 2)
    distances = {
        "centre": 100.0,
        "boundary": 9.0,
        "a method with a long name": 80.0,
        "mute": np.nan,
    }
    table = pd.concat(
        pd.DataFrame(
            {
                "method": name, "file_name": [f"images/a-long-name-{i}.jpg" for i in range(24)],
                "photo": photos, "x": 50.0, "y": 60.0, "r": 20.0, "discolor_ratio": 1.1,
                "x_pred": 50.0 + each, "y_pred": 60.0, "score": np.nan,
                "distance": each + photos % 3,
            }
        )
        for name, each in distances.items()
    )  # fmt: skip
    means = table.groupby("method", sort=False)["distance"].mean()
    scores = pd.DataFrame(
        {"method": list(distances), "split": "test", "n": 24, "mean_distance": means.to_numpy(),
         "mean_distance_low": 1.0, "mean_distance_high": 99.0, "parameters": [0, 10, 9, 100]}
    )  # fmt: skip
    table.to_csv(folder / "predictions.csv", index=False)
    scores.to_csv(folder / "scores.csv", index=False)
    (folder / "comparison.json").write_text('{"dataset": "set", "dataset_recipe": {"seed": 1}}')
    plots.save(plots.mean_distances(scores[:3]), folder / "distance")
    plots.save(plots.hit_rate_curves(table[table["method"] != "mute"]), folder / "found")
    return report.write(folder)


def column(page: Page, number: int) -> list[str]:
    cells = page.locator(f"{OF_SCORES} tbody tr > :nth-child({number + 1})")
    return [text.split("\n")[0] for text in cells.all_inner_texts()]


def test_tables_sort_by_click_and_by_key(page_file: Path, browse: Browse) -> None:
    page = browse(page_file)
    assert column(page, 0) == ["boundary", "a method with a long name", "centre", "mute"]
    heads = page.locator(f"{OF_SCORES} thead button")
    names = heads.all_inner_texts()
    last = names.index("parameters")
    heads.nth(last).click()
    assert column(page, last) == ["0", "9", "10", "100"]  # as numbers, not as text
    assert heads.nth(last).locator("..").get_attribute("aria-sort") == "ascending"
    heads.nth(last).click()
    assert column(page, last) == ["100", "10", "9", "0"]
    assert heads.nth(last).locator("..").get_attribute("aria-sort") == "descending"
    heads.nth(1).focus()
    for key in ("Enter", " "):
        page.keyboard.press(key)
        assert column(page, 1)[-1] == "–"  # what has no value stays last either way
    assert column(page, 1)[:2] == ["101.0", "81.0"]
    assert page.locator(f"{OF_SCORES} [aria-sort]").count() == 1
    heads.nth(0).click()
    assert column(page, 0) == ["a method with a long name", "boundary", "centre", "mute"]


@pytest.mark.parametrize(("width", "touch"), [(390, True), (1280, False)])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_and_shows_its_plots(
    page_file: Path, browse: Browse, width: int, touch: bool, dark: bool
) -> None:
    page = browse(page_file, width=width, touch=touch, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    plots = page.locator("svg.plot")
    assert plots.count() == 2
    for i in range(2):
        box = plots.nth(i).bounding_box()
        assert box is not None
        assert box["width"] > 300
        assert 0.3 < box["height"] / box["width"] < 1
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(22, 22, 24)" if dark else "rgb(250, 250, 248)")
    ticks = "getComputedStyle(document.querySelector('svg.plot use')).fill"
    ink = page.evaluate("getComputedStyle(document.body).color")
    assert page.evaluate(ticks) == ink


def test_a_plot_grows_where_there_is_little_room(page_file: Path, browse: Browse) -> None:
    page = browse(page_file, width=390, touch=True)
    frame = page.locator("figure > div").first
    plot = frame.locator("svg")
    assert plot.bounding_box()["width"] < 390  # type: ignore[index]
    for press in (frame.tap, lambda: frame.press("Enter")):
        press()
        assert frame.get_attribute("aria-pressed") == "true"
        assert plot.bounding_box()["width"] > 900  # type: ignore[index]
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        frame.press(" ")
        assert plot.bounding_box()["width"] < 390  # type: ignore[index]


def test_on_paper_all_is_open_and_light(page_file: Path, browse: Browse) -> None:
    page = browse(page_file, dark=True)
    assert page.locator("details[open]").count() == 0
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator("details[open]").count() >= 2
    assert len(page.pdf(prefer_css_page_size=True)) > 10_000


def test_it_reads_from_anywhere(page_file: Path, browse: Browse, tmp_path: Path) -> None:
    """The page alone, without its folder."""
    alone = shutil.copy(page_file, tmp_path / "alone.html")
    page = browse(alone)
    assert page.title() == "Comparison of localizers · set · 24 images of 12 photos"
    assert page.locator("img").count() == 0
    assert (
        page.locator(".answer p")
        .first.inner_text()
        .startswith("boundary is best: mean distance 10")
    )
