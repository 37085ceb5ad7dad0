"""Names as people choose them: in tables, in drawings, on disk."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from localize import registry
from localize.evaluation.scoring import SCORES
from localize.names import LONGEST, MAX_BYTES, display_width, file_stem, plain, short
from localize.report import detection_plots, plots, style
from localize.report.figures import svg

NAMES = [
    "$\\frac{", "r$^$", "cost $5 vs $10", "_mine", "__", "{", "\\alpha", "%s {0}", "#", "a_b^c",
    "<b>&amp;", "中文方法", "日本語の手法", "طريقة", "😀", "new\nline", "tab\there", "nul\x00",
    "bad\udcff", "\ud800", "\x1b[31m", "x" * 300, "--", "",
]  # fmt: skip
texts = st.text(st.characters(codec=None), max_size=300)


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@given(texts)
def test_any_text_becomes_one_line_that_can_be_stored(text: str) -> None:
    line = plain(text)
    line.encode("utf-8")
    assert line == plain(line)
    assert line
    assert len(line.splitlines()) == 1
    assert display_width(short(text)) <= LONGEST


@given(texts, texts)
def test_file_names_are_short_and_differ(one: str, other: str) -> None:
    stems = [file_stem(one), file_stem(other)]
    assert all(0 < len(stem.encode()) <= MAX_BYTES for stem in stems)
    assert all(stem.strip(". ") == stem and "/" not in stem for stem in stems)
    assert (stems[0] == stems[1]) == (one == other)


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("centre", "mine", "Ärmel 3", "方法", "patchcore (random weights)"):
        assert plain(name) == short(name) == name
    assert file_stem("ringvote-told") == registry.folder_of("ringvote-told") == "ringvote-told"
    assert registry.folder_of("anomalib:padim") == "anomalib-padim"


def test_a_spec_of_any_length_is_looked_for_without_a_crash(tmp_path: Path) -> None:
    assert not registry.is_folder(Path("x" * 5000))
    assert registry.name_of(f"{tmp_path}/mine.py:{'f' * 300}") == "f" * 300


def comparison(names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Predictions, clean images and scores of methods of these names."""
    rng = np.random.default_rng(0)
    rows = [
        {"method": name, "file_name": str(i), "distance": rng.uniform(0, 50), "r": 10.0,
         "score": rng.normal(), "x_pred": 1.0, "y_pred": 2.0}
        for name in names for i in range(4)
    ]  # fmt: skip
    predictions = pd.DataFrame(rows)
    clean = predictions[["method", "file_name", "score"]].assign(photo="p")
    scores = pd.DataFrame(
        {"method": names, "mean_distance": 20.0, "mean_distance_low": 10.0,
         "mean_distance_high": 30.0, "n": 4, "split": "test"},
        columns=list(SCORES),
    )  # fmt: skip
    return predictions, clean, scores


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_names_are_drawn_as_they_are_and_without_a_warning() -> None:
    names = ["centre", *map(plain, NAMES)]
    predictions, clean, scores = comparison(names)
    history = pd.DataFrame({"method": names, "epoch": 1, "val_distance": 3.0})
    figures = [
        plots.hit_rate_curves(predictions),
        plots.mean_distances(scores),
        detection_plots.roc_curves(predictions, clean),
        detection_plots.reliability_diagrams(predictions, clean, names),
        plots.validation_curves(history, 30.0),
    ]
    for figure in figures:
        plots.figure_bytes(figure, "png")
        named = [text for text in figure.findobj(Text) if "$" in text.get_text()]
        assert named
        assert not any(text.get_parse_math() for text in named)
    drawn = plots.figure_bytes(figures[0], "svg").decode()
    svg(drawn, "plot", "a plot")  # as the report reads it
    assert labels(figures[0]) == [short(name) for name in names]
    assert "_mine" in labels(figures[0])
    assert "cost $5 vs $10" in labels(figures[0])
    ticks = [text.get_text() for text in figures[1].axes[0].get_yticklabels()]
    assert ticks == [short(name) for name in names]


@pytest.mark.parametrize(
    ("name", "count"), [("a", 40), ("x" * 120, 2), ("長" * 60, 12)], ids=["many", "long", "wide"]
)
def test_axes_keep_their_room_beside_any_legend(name: str, count: int) -> None:
    names = ["centre", *(f"{i}{name}{i}" for i in range(count))]
    predictions, clean, _ = comparison(names)
    for figure in (
        plots.hit_rate_curves(predictions),
        detection_plots.reliability_diagrams(predictions, clean, names),
    ):
        plots.figure_bytes(figure, "png")
        box = figure.axes[0].get_window_extent()
        assert min(box.width, box.height) > 200  # of 1200 x 675 px
        for legend in figure.legends:
            with style.figure_style():
                whole, inside = figure.bbox, legend.get_window_extent()
            assert whole.x0 <= inside.x0
            assert inside.x1 <= whole.x1
            assert whole.y0 <= inside.y0
            assert inside.y1 <= whole.y1


@pytest.mark.parametrize("centre", [30.0, np.nan])
@pytest.mark.parametrize("values", [[np.nan] * 3, [np.inf, 3.0, np.nan], [1e300, 2.0, 5.0], [0.0]])
def test_training_that_diverges_is_drawn(values: list[float], centre: float) -> None:
    epochs = range(1, len(values) + 1)
    history = pd.DataFrame({"method": "cnn-fast", "epoch": epochs, "val_distance": values})
    with style.figure_style():
        figure = plots.validation_curves(history, centre)
        figure.draw_without_rendering()
    assert 0 < figure.axes[0].get_ylim()[1] < 1e301


@pytest.mark.parametrize("mean", [0.0, 1e9, np.nan])
def test_a_method_far_off_leaves_room_for_the_others(mean: float) -> None:
    scores = comparison(["centre", "near", "far"])[2]
    ends = ["mean_distance", "mean_distance_low", "mean_distance_high"]
    scores.loc[2, ends] = mean
    with style.figure_style():
        figure = plots.mean_distances(scores)
        figure.draw_without_rendering()
    assert figure.axes[0].get_xlim()[1] == pytest.approx(1.04 * 30)


def test_fonts_are_those_that_are_installed() -> None:
    with style.figure_style():
        text = Text(text="中")
    first, *others = text.get_fontfamily()
    assert first == "DejaVu Sans"
    assert set(others) <= set(style.FONTS)


def test_a_log_axis_has_plain_numbers() -> None:
    figure = plots.hit_rate_curves(comparison(["centre"])[0])
    plots.figure_bytes(figure, "png")
    ticks = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert {"0.1", "1", "10"} <= set(ticks)
