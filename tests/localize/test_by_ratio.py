"""Hit rate by ratio: bins and intervals, the figure, and where there is none."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import localize
from localize.evaluation import by_ratio, metrics
from localize.report import page as report
from localize.report import ratio_plot
from synth import InputError, Recipe, generate
from tools import paired_by_ratio

N = 45


def predictions() -> pd.DataFrame:
    """Three images a photo of increasing ratio, every other one inverse; two methods."""
    ratios = np.exp(np.geomspace(0.02, 1.0, N))
    ratios[::2] = 1 / ratios[::2]
    order = np.random.default_rng(0).permutation(N)
    images = pd.DataFrame(
        {
            "file_name": [f"{i}.jpg" for i in range(N)],
            "photo": [f"{i % 15}.png" for i in range(N)],
            "discolor_ratio": ratios[order],
        }
    )
    found = np.where(order > 20, 5.0, np.where(order % 3, 5.1, np.nan))
    return pd.concat(
        [images.assign(method="centre", distance=90.0), images.assign(method="a", distance=found)],
        ignore_index=True,
    )


def test_bins_and_intervals_equal_a_direct_computation() -> None:
    table = predictions()
    rates = by_ratio.hit_rates_by_ratio(table)
    assert rates["method"].tolist() == ["centre"] * 4 + ["a"] * 4
    own = table[table["method"] == "a"]
    sizes = np.abs(np.log(own["discolor_ratio"].to_numpy()))
    by_size = own.iloc[np.argsort(sizes)]
    rows = rates[rates["method"] == "a"].to_dict("records")
    # Quarters of 45 images; the image in the middle of the second half is in the third quarter.
    for row, inside in zip(rows, np.split(np.arange(N), [11, 22, 34]), strict=True):
        images = by_size.iloc[inside]
        step = np.sort(sizes)[inside]
        assert row["ratio_from"] == pytest.approx(math.exp(step[0]))
        assert row["ratio_to"] == pytest.approx(math.exp(step[-1]))
        assert row["ratio"] == pytest.approx(math.exp(np.prod(step) ** (1 / len(step))))
        hits, n = np.array([d <= 5 for d in images["distance"]], float), len(inside)
        assert (row["n"], row["hit@5"]) == (n, hits.sum() / n)
        # Wilson's limits solve (hits / n - p)^2 = z^2 p (1 - p) / n for p.
        z2, share = 1.959964**2, hits.mean()
        wilson = np.roots([1 + z2 / n, -2 * share - z2 / n, share**2])
        low, high = metrics.bootstrap(hits, images["photo"].tolist())
        assert row["hit@5_low"] == pytest.approx(min(low, *wilson), abs=1e-6)
        assert row["hit@5_high"] == pytest.approx(max(high, *wilson), abs=1e-6)
    assert [row["hit@5"] for row in rows][::3] == [0, 1]
    assert 0 < rows[-1]["hit@5_low"] < 0.8  # no false certainty at 100 %


def test_ratio_1_is_left_out_and_similar_ratios_have_no_bins() -> None:
    table = predictions()
    table.loc[table["discolor_ratio"].between(0.97, 1.03), "discolor_ratio"] = 1.0
    rates = by_ratio.hit_rates_by_ratio(table)
    assert rates["n"].sum() == (table["discolor_ratio"] != 1).sum() < 2 * N
    assert np.isfinite(rates[list(by_ratio.COLUMNS[1:])]).all(axis=None)
    similar = table.assign(discolor_ratio=np.exp(np.resize([0.1, -0.15, 0.19], 2 * N)))
    few = table[table["file_name"].isin([f"{i}.jpg" for i in range(2 * by_ratio.MIN_ROWS - 1)])]
    for other in (similar, few, table.iloc[:0], table.assign(discolor_ratio=1.0)):
        empty = by_ratio.hit_rates_by_ratio(other)
        assert (len(empty), tuple(empty.columns)) == (0, by_ratio.COLUMNS)


def test_one_photo_has_no_interval() -> None:
    rates = by_ratio.hit_rates_by_ratio(predictions().assign(photo="0.png"))
    assert rates[["hit@5_low", "hit@5_high"]].isna().all(axis=None)
    assert rates["hit@5"].notna().all()


@given(st.lists(st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.3, 1.0, 1.1]), max_size=120))
def test_each_bin_has_enough_images(values: list[float]) -> None:
    sizes = np.array(values)
    lowest = by_ratio.lowest_of_bins(sizes)
    assert len(lowest) <= by_ratio.MAX_BINS
    assert (np.diff(lowest) > 0).all()
    if len(lowest) > 1:
        counts = np.diff([*np.searchsorted(np.sort(sizes), lowest), len(sizes)])
        assert counts.min() >= by_ratio.MIN_ROWS
        assert counts.sum() == len(sizes)


def test_the_figure_has_a_curve_for_each_method_over_the_log_of_the_ratio() -> None:
    rates = by_ratio.hit_rates_by_ratio(predictions())
    (axes,) = ratio_plot.hit_rate_by_ratio(rates).axes
    centre, found = axes.lines
    assert (centre.get_linestyle(), found.get_linestyle()) == ("--", "-")
    own = rates[rates["method"] == "a"]
    np.testing.assert_allclose(found.get_xdata(), np.log(own["ratio"]), rtol=0.01)
    np.testing.assert_array_equal(found.get_ydata(), own["hit@5"])
    intervals = np.array([line.get_segments() for line in axes.collections])
    np.testing.assert_array_equal(intervals[1, :, :, 1], own[["hit@5_low", "hit@5_high"]])
    ticks = dict(zip(axes.get_xticks(), axes.get_xticklabels(), strict=True))
    assert {label.get_text(): round(math.exp(at), 3) for at, label in ticks.items()} == {
        f"{ratio:g}": ratio for ratio in (1.02, 1.03, 1.05, 1.1, 1.2, 1.35, 1.5, 2)
    }


@pytest.mark.parametrize(("ratio", "drawn"), [((0.5, 2.0), True), ((1.2, 1.4), False)])
def test_a_comparison_has_the_figure_if_its_ratios_spread(
    scene_folder: Path, tmp_path: Path, ratio: tuple[float, float], drawn: bool
) -> None:
    recipe = Recipe(size=(64, 64), per_photo=3, ratio=ratio, ratio_scale="log", radius=(8, 12))
    generate(scene_folder, tmp_path / "set", recipe)
    out = tmp_path / "out"
    localize.evaluate(["centre"], tmp_path / "set", out, split="all")
    files = {path.name for path in out.iterdir()}
    expected = {"found-by-ratio.png", "found-by-ratio.svg", "found-by-ratio.csv"}
    assert expected & files == (expected if drawn else set())
    text = (out / "report.html").read_text(encoding="utf-8")
    assert ('<section id="by-ratio">' in text) == drawn
    assert ('aria-label="Hit rate at ratio ' in text) == drawn
    if drawn:
        table = pd.read_csv(out / "found-by-ratio.csv")
        assert tuple(table.columns) == by_ratio.COLUMNS
        assert f"({table['n'].min()} images)" in text
        (out / "found-by-ratio.csv").write_text("method,n\na,x\n")
        with pytest.raises(InputError, match=r"found-by-ratio\.csv lacks the column ratio_from"):
            report.write(out)


def test_paired_differences_equal_a_direct_computation() -> None:
    table = predictions().assign(r=6.0)
    lines = list(paired_by_ratio.rows(table, against="centre", within="r"))
    assert lines[0] == "| ratio | images | `centre` | `a` |"
    first = np.abs(np.log(table["discolor_ratio"])) < by_ratio_limit(table)
    own = table[(table["method"] == "a") & first]
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert int(cells[1]) == len(own)
    assert cells[2] == "0 %"
    assert cells[3].startswith(f"{100 * (own['distance'] <= 6).mean():+.0f} [")


def by_ratio_limit(table: pd.DataFrame) -> float:
    """The smallest |log ratio| of the second bin."""
    sizes = np.abs(np.log(table["discolor_ratio"].to_numpy()[:N]))
    return float(by_ratio.lowest_of_bins(sizes)[1])
