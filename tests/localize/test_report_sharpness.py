"""The report of a measurement of sharpness, from tables made by hand."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from localize.report import page as report
from localize.report import sharpness_page, sharpness_summary
from localize.sharpness import paired
from synth import InputError

NAN = math.nan
METHODS: dict[str, dict[str, Any]] = {
    "centre": {"told": [], "learns": "nothing", "parameters": 0, "note": ""},
    "told": {"told": ["discolor_ratio", "r"], "learns": "labelled", "parameters": 5, "note": ""},
    "other": {"told": ["discolor_ratio", "r"], "learns": "nothing", "parameters": 0, "note": ""},
    "plain": {"told": [], "learns": "labelled", "parameters": 5, "note": ""},
    "<Ann>": {"note": "trials made elsewhere"},
    "flat": {"told": [], "learns": "clean", "parameters": 9, "note": ""},
    "weak": {"told": [], "learns": "clean", "parameters": 9, "note": ""},
}


def row(method: str, value: float = NAN, low: float = NAN, high: float = NAN, **more: Any) -> Any:
    """A row of thresholds.csv; in light 2.2 times the ratio's step."""
    light = [220 * (each - 1) for each in (value, low, high)]
    return {
        "method": method, "cut": "all", "level": "", "side": "both", "n": 90, "photos": 24,
        "guess": 0.01, "lapse": 0.02, "threshold": value, "threshold_low": low,
        "threshold_high": high, "contrast_percent": light[0], "contrast_low": light[1],
        "contrast_high": light[2], "slope": 2.0, "slope_low": 1.0, "slope_high": 3.0,
        "deviance": 1.0, "verdict": "", **more,
    }  # fmt: skip


FOUND = {
    "told": row("told", 1.02, 1.018, 1.024),
    "other": row("other", 1.023, 1.02, 1.03),
    "plain": row("plain", 1.06, 1.04, math.inf),
    "<Ann>": row("<Ann>", 1.1, 1.08, 1.15),
    "flat": row("flat", verdict="no threshold"),
    "weak": row("weak", verdict="above the largest tried"),
    "centre": row("centre", verdict="no threshold"),
}


PAIRS = pd.DataFrame(
    [
        ("told", "other", "both", 24, 1.15, 0.98, 1.4),
        ("told", "plain", "both", 24, 2.94, 2.1, math.inf),
    ],
    columns=list(paired.PAIRS),
)


def answer(*names: str, more: Sequence[Any] = (), **instead: Any) -> list[str]:
    table = pd.DataFrame([*(instead.get(name, FOUND[name]) for name in names), *more])
    sentences = sharpness_summary.summarize(
        sharpness_summary.rank_thresholds(table, METHODS), table, PAIRS
    )
    return [re.sub("<[^>]+>", "", sentence).replace("\u00a0", " ") for sentence in sentences]


def test_three_sentences_from_known_numbers() -> None:
    assert answer(*reversed(FOUND)) == [
        "told has the lowest threshold: ratio 1.020 [1.018, 1.024], contrast 4.4 % [4.0, 5.3].",
        "Second is other: ratio 1.023 [1.020, 1.030], contrast 5.1 % [4.4, 6.6] "
        "(1.15 [0.98, 1.40] times the step, no significant difference); among image-only methods, "
        "plain is best: ratio 1.060 [1.040, ∞], contrast 13 % [9, ∞]; &lt;Ann&gt; (trials made "
        "elsewhere): ratio 1.100 [1.080, 1.150], contrast 22 % [18, 33].",
        "No threshold (no significant rise of the hit rate): flat; above the largest tried: weak.",
    ]


@pytest.mark.parametrize(
    ("names", "instead", "expected"),
    [
        (("centre", "flat"), {},
         ["No threshold (no significant rise of the hit rate): flat."]),
        (("centre", "flat", "weak"), {},
         ["None of the 2 methods has a threshold among the ratios tried.",
          "No threshold (no significant rise of the hit rate): flat; above the largest tried: "
          "weak."]),
        (("centre", "plain"), {},
         ["plain has a threshold: ratio 1.060 [1.040, ∞], contrast 13 % [9, ∞]."]),
        (("told", "plain"), {},
         ["told has the lowest threshold: ratio 1.020 [1.018, 1.024], contrast 4.4 % [4.0, 5.3].",
          "Second is plain, which is image-only: ratio 1.060 [1.040, ∞], contrast 13 % [9, ∞] "
          "(2.94 [2.10, ∞] times the step)."]),
        (("other", "<Ann>"), {"<Ann>": row("<Ann>", 1.028, 1.02, 1.04)},
         ["other has the lowest threshold: ratio 1.023 [1.020, 1.030], contrast 5.1 % [4.4, 6.6].",
          "Second is &lt;Ann&gt;: ratio 1.028 [1.020, 1.040], contrast 6.2 % [4.4, 8.8] (the "
          "intervals overlap)."]),
        (("told", "plain"), {"plain": row("plain", verdict="below the smallest tried")},
         ["plain finds even the smallest change tried: its threshold is below the ratios tried, "
          "so try smaller ones.",
          "Second is told: ratio 1.020 [1.018, 1.024], contrast 4.4 % [4.0, 5.3]."]),
        (("centre",), {},
         ["Nothing to compare: only the centre guess was measured."]),
    ],
)  # fmt: skip
def test_sentences_without_a_threshold(
    names: tuple[str, ...], instead: dict[str, Any], expected: list[str]
) -> None:
    assert answer(*names, **instead) == expected


def test_the_last_sentence_is_about_size_where_all_see_it() -> None:
    sizes = [
        row("told", value, value - 0.01, value + 0.01, cut="radius", level=f"{r} px")
        for r, value in ((20, 1.08), (40, 1.04), (80, 1.02))
    ]
    assert answer("centre", "told", "other", more=sizes)[-1] == (
        "The threshold of told is ratio 1.080 [1.070, 1.090] for regions of radius 20 px, and "
        "ratio 1.020 [1.010, 1.030] for regions of radius 80 px."
    )


def test_darker_alone_ranks_by_the_step() -> None:
    dark = {"side": "darker"}
    table = pd.DataFrame(
        [row("plain", 0.90, 0.88, 0.95, **dark), row("told", 0.97, 0.95, 0.98, **dark)]
    )
    assert [each.method for each in sharpness_summary.rank_thresholds(table, METHODS)] == [
        "told",
        "plain",
    ]


def test_sides_that_were_not_taken_together_count_by_the_better() -> None:
    table = pd.DataFrame(
        [
            row("plain", side="brighter", verdict="no threshold"),
            row("plain", 0.90, 0.88, 0.95, side="darker"),
            row("told", 1.02, 1.01, 1.03, side="brighter"),
            row("told", 0.97, 0.95, 0.98, side="darker"),
        ]
    )
    found = sharpness_summary.rank_thresholds(table, METHODS)
    assert [(each.method, each.ratio.value) for each in found] == [("told", 1.02), ("plain", 0.9)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What sharpness leaves, of every method above, with cuts and a trial that failed."""
    rows = list(FOUND.values())
    for name in ("told", "flat"):
        for r in (20, 40):
            value = row(name, 1.1 - r / 1000, 1.01, 1.2, cut="radius", level=f"{r} px")
            rows.append(value if name == "told" else value | {"verdict": "no threshold"})
    rows += [each | {"side": "brighter"} for each in FOUND.values()]
    trial = {
        "photo": "<i>.png", "side": "brighter", "x": 9.0, "y": 8.0, "x_pred": 90.0, "y_pred": 8.0,
        "distance": 81.0, "hit": 0, "codec": "jpeg", "error": "",
    }  # fmt: skip
    trials = [
        trial | {"method": "told", "discolor_ratio": ratio, "r": r}
        for ratio, r in ((1.0, 80.0), (1.1, 20.0), (0.5, 40.0), (1.3, 20.0))
    ]
    trials.append(trials[0] | {"method": "<Ann>", "hit": 1, "error": "ValueError: <x>"})
    pd.DataFrame(rows).to_csv(tmp_path / "thresholds.csv", index=False)
    pd.DataFrame(trials).to_csv(tmp_path / "trials.csv", index=False)
    PAIRS.to_csv(tmp_path / "pairs.csv", index=False)
    condition = {"codec": "jpeg", "quality": 90, "rounding": "nearest", "feather": 0.0}
    about = {
        "specs": {"centre": "centre", "told": "told", "plain": "runs/my plain"},
        "design": {
            "ratios": [1.01, 1.35], "radii": [20.0, 40.0], "sides": ["darker", "brighter"],
            "conditions": [condition, condition | {"codec": "png"}], "per_cell": 4,
            "size": [512, 512], "shape": "circle", "overflow": "clip", "within": 5.0,
            "share": 0.5, "adaptive": 0, "seed": 0,
        },
        "curve": "weibull", "methods": METHODS, "photos": 24, "skipped": {"<b>.png": "<small>"},
        "definitions": {"hit": "distance <= max(5 px, 0.5 r)"}, "versions": {"acuity": "0"},
    }  # fmt: skip
    (tmp_path / "sharpness.json").write_text(json.dumps(about))
    return tmp_path


def test_the_page_has_every_part(folder: Path) -> None:
    text = report.write(folder).read_text(encoding="utf-8")
    for name in ("thresholds", "cuts", "misses", "errors", "asked", "repeat"):
        assert f'<section id="{name}">' in text, name
    assert '<section id="rates">' not in text  # there is no rates.png
    for mark in ("<i>.png", "<Ann>", "<x>", "<b>.png", "<small>"):
        assert mark not in text
    assert text.count("no threshold") >= 4
    assert "2.94 ×" in text
    visibility = [math.log(1 / 0.5) * 40, math.log(1.3) * 20, math.log(1.1) * 20, 0]
    part = text[text.index('id="misses"') : text.index('id="errors"')]
    shown = re.findall(r'<td class="number" data-value="([\d.]+)">[\d.]+</td>', part)
    assert [float(value) for value in shown[2::4]] == pytest.approx(visibility)


def test_the_command_asks_for_the_same(folder: Path) -> None:
    """Every flag is one that the command knows."""
    from typer.testing import CliRunner

    from localize.cli import main

    about = json.loads((folder / "sharpness.json").read_text())
    words = sharpness_page._repeat_command(about)
    assert shlex.join(words).startswith(
        "localize sharpness told 'runs/my plain' --photos PHOTOS --ratios 1.01,1.35 --radii 20,40 "
        "--sides both --per-cell 4 --codecs jpeg90,png --roundings nearest --feathers 0 "
    )
    asked = CliRunner().invoke(main.app, ["sharpness", "--help"], env={"COLUMNS": "200"})
    known = set(re.findall(r"--[a-z-]+", asked.output))
    assert {word for word in words if word.startswith("--")} <= known


def test_a_folder_of_an_earlier_version_has_no_pairs(folder: Path) -> None:
    (folder / "pairs.csv").unlink()
    assert "times the step" not in report.write(folder).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("design", {"conditions": [{"codec": "png"}]}, "conditions[0].rounding is missing"),
        ("design", {"radii": [20, None]}, "radii[1] is None"),
        ("design", [], "design is []"),
        ("definitions", {"hit": 5}, "definitions.hit is 5"),
        ("methods", {"told": {"parameters": "many"}}, "methods.told.parameters is 'many'"),
        ("skipped", "none", "skipped is 'none'"),
    ],
)
def test_a_value_of_another_type_is_named(folder: Path, key: str, value: Any, word: str) -> None:
    path = folder / "sharpness.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(InputError, match=re.escape(word)):
        report.write(folder)


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("thresholds.csv", "threshold"),
        ("thresholds.csv", "guess"),
        ("thresholds.csv", "slope_low"),
        ("trials.csv", "hit"),
        ("trials.csv", "r"),
        ("pairs.csv", "factor"),
    ],
)
def test_a_cell_that_is_no_number_is_named(folder: Path, file: str, column: str) -> None:
    table = pd.read_csv(folder / file, dtype=str)
    table.loc[0, column] = "banana"
    table.to_csv(folder / file, index=False)
    with pytest.raises(InputError, match=rf"{file}, row 0, line 2: {column} is 'banana', not a"):
        report.write(folder)


def test_a_damaged_table_is_named(folder: Path) -> None:
    (folder / "thresholds.csv").write_text("method,cut\na,all\n")
    with pytest.raises(InputError, match=r"thresholds\.csv lacks the column side"):
        report.write(folder)
