"""The report page of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from localize.evaluation import scoring, tables
from localize.evaluation.calls import CALL_SCORES
from localize.evaluation.location import gives_place, location_rows
from localize.evaluation.metrics import DRAWS
from localize.evaluation.results import OVER_SEEDS
from localize.evaluation.scoring import ERRORS
from localize.localizer import HIT_RADIUS
from localize.registry import BASELINE
from localize.report import comparison_summary, detection_section, ranking, seeds
from localize.report.cells import estimate_cell, number_cell, share_cell
from localize.report.contents import (
    Contents,
    Styles,
    failure_section,
    inputs_text,
    json_details,
    method_entries,
    method_label,
    methods_table,
    options_text,
    reproduction_section,
)
from localize.report.figures import figure
from localize.report.markup import Cell, Column, Html, definition_list, el, section, table
from localize.report.numbers import number
from localize.report.plots import method_styles
from localize.report.ranking import MethodResult
from localize.report.ratio_plot import ratio_section
from synth.number_kinds import ABOVE_ZERO, DISTANCE, INFINITE, PIXELS, POSITIVE, SHARE, SIZE

NUMBERS = {
    "r": SIZE,
    "discolor_ratio": POSITIVE,
    **dict.fromkeys(("x", "y", "x_pred", "y_pred"), PIXELS),
    "distance": DISTANCE,
}
SCORE_NUMBERS = {
    **dict.fromkeys(OVER_SEEDS, ABOVE_ZERO),
    **dict.fromkeys(scoring.DETECTION, SHARE),
    **dict.fromkeys(set(CALL_SCORES) - {"call_threshold"}, SHARE),
    **dict.fromkeys(("n_clean", "parameters", "ms_per_image"), ABOVE_ZERO),
}
SMALL = (
    f"In brackets: 95 % intervals from {DRAWS} bootstrap samples of {{unit}} (seed 0).{{ranking}}"
)
RANKING = (
    " Methods are ranked by how much closer their answers are than the centre guess, averaged over "
    "the images. An image without an answer counts as the centre guess in the ranking and as a "
    "miss in the hit rates."
)
NO_PLACE = " No image has a known place, so there are no distances."
VERDICT = Column("verdict", False, about="better or worse if the interval of the gain excludes 0")
SHOWN_ELSEWHERE = ("dataset_recipe", "versions", "methods")  # parts of the record


def contents(folder: Path) -> Contents:
    """A folder that compare, evaluate or score wrote -> the contents of its page.

    Raises:
        InputError: a file in the folder is damaged.
    """
    record = tables.read_record(folder / "comparison.json")
    predictions = tables.read(
        folder / "predictions.csv",
        ("method", "file_name", *NUMBERS),
        ("method", "file_name", "photo"),
        {**NUMBERS, "seed": INFINITE},
    )
    texts = ("method", "note")
    scores = tables.read(folder / "scores.csv", ("method",), texts, SCORE_NUMBERS)
    errors = tables.read(folder / "errors.csv", ERRORS, ERRORS)
    names = list(dict.fromkeys(predictions["method"]))
    styles, methods = method_styles(names), method_entries(record.get("methods") or {}, names)
    located = location_rows(predictions, methods)
    results = ranking.rank_methods(located, methods)
    recipe = record.get("dataset_recipe") or {}
    request = {key: record[key] for key in record if key not in SHOWN_ELSEWHERE}
    return Contents(
        "Comparison of localizers",
        _subject(record, predictions),
        comparison_summary.summarize(results, partial(ranking.distance_gap, located))
        if any(each.method != BASELINE for each in results)
        else [detection_section.summarize(scores, "" if results else NO_PLACE)],
        SMALL.format(
            unit="whole photos" if _count_images(predictions)[1] else "images",
            ranking=RANKING if results else "",
        ),
        [
            section("Scores", _score_table(results, scores, styles, methods), figure(
                folder, "distance", "Mean distance to the true centre with its 95 % interval."
            ), figure(
                folder, "found", "Share of images with an answer within a distance of the true "
                "centre, by that distance.",
            ), name="scores"),
            ratio_section(folder),
            section("Detection of images with an anomaly", detection_section.detection_table(
                scores, styles, costs=not results
            ), figure(
                folder, "presence", "ROC curves: images with an anomaly against clean images."
            ), figure(
                folder, "reliability", "Calibration: observed frequency by predicted probability, "
                "with 95 % intervals. Larger dots stand for more cases.",
            ), name="presence"),
            section("Examples", figure(
                folder, "contact", "Some of the images with the truth (white outline) and the "
                "answers of all methods.", wide=True,
            ), name="contact"),
            _miss_section(folder, results, located, styles),
            failure_section(errors, styles),
            section("Training", figure(
                folder, "validation", "Mean distance on the validation split after each epoch."
            ), name="learning"),
            _setup_section(record, recipe, predictions, methods, styles),
            reproduction_section(
                record, record.get("versions") or {},
                json_details("Recipe of the dataset (JSON)", recipe),
                json_details("Settings of the run (JSON)", request),
            ),
        ],
    )  # fmt: skip


def _count_images(predictions: pd.DataFrame) -> tuple[int, int]:
    """The numbers of images and of photos; 0 photos if these are unknown."""
    first = predictions.drop_duplicates("file_name")
    return len(first), first["photo"].replace("", math.nan).nunique()


def _image_count_text(predictions: pd.DataFrame) -> str:
    images, photos = _count_images(predictions)
    unplaced = predictions.loc[predictions["r"].isna(), "file_name"].nunique()
    of_photos = f" of {photos} photos" if photos else ""
    return f"{images} images{of_photos}" + (f", {unplaced} without a place" if unplaced else "")


def _subject(record: dict[str, Any], predictions: pd.DataFrame) -> str:
    split = record.get("split", "")
    parts = [
        str(record.get("dataset", "")),
        "all splits" if split == "all" else f"{split} split" if split else "",
        _image_count_text(predictions),
    ]
    return " · ".join(part for part in parts if part)


def _score_table(
    results: list[MethodResult],
    scores: pd.DataFrame,
    styles: Styles,
    methods: Mapping[str, Mapping[str, Any]],
) -> Html:
    """The location scores; empty if no image has a known place."""
    if not results:
        return Html("")
    incomplete = any(each.answered < each.n for each in results)
    has_seeds = "seeds" in scores and scores["seeds"].notna().any()
    columns = [
        Column("method", False),
        Column("mean distance, px"),
        *([seeds.COLUMN] if has_seeds else []),
        Column("gain, px", about="how much closer than the centre guess of the same image"),
        VERDICT,
        Column("median, px"),
        Column(f"within {HIT_RADIUS:g} px"),
        Column("inside the region"),
        *([Column("answers")] if incomplete else []),
        Column("ms per image"),
        Column("parameters"),
    ]
    score_rows = scores.drop_duplicates("method").set_index("method")
    rows = []
    for each in results:
        known = each.method in score_rows.index
        score = score_rows.loc[each.method] if known else pd.Series(dtype=float)
        is_guess = each.method == BASELINE
        share = each.answered / max(1, each.n)
        rows.append([
            Cell(
                method_label(each.method, styles), each.method,
                "; ".join(filter(None, (inputs_text(each.told), str(score.get("note", ""))))),
            ),
            estimate_cell(each.mean),
            *([seeds.deviation_cell(score.to_dict())] if has_seeds else []),
            Cell("–", 0.0) if is_guess else estimate_cell(each.gain),
            Cell("–" if is_guess else each.verdict, kind=each.verdict.replace(" ", "-")),
            Cell(number(each.median), each.median),
            share_cell(each.hit_5),
            share_cell(each.hit_r),
            *([Cell(f"{each.answered} of {each.n}", share)] if incomplete else []),
            number_cell(score.get("ms_per_image"), 1),
            number_cell(score.get("parameters"), 0),
        ])  # fmt: skip
    for name in (name for name, entry in methods.items() if not gives_place(entry)):
        score = score_rows.loc[name] if name in score_rows.index else pd.Series(dtype=float)
        cells = [Cell("–", math.inf) for _ in columns[1:-2]]
        cells[columns.index(VERDICT) - 1] = Cell("gives no place")
        rows.append([
            Cell(method_label(name, styles), name, inputs_text(methods[name].get("told"))),
            *cells,
            number_cell(score.get("ms_per_image"), 1),
            number_cell(score.get("parameters"), 0),
        ])  # fmt: skip
    return table("All methods, the best first", columns, rows)


def _miss_section(
    folder: Path, results: list[MethodResult], predictions: pd.DataFrame, styles: Styles
) -> Html:
    """The most visible regions that the best method missed, and which others missed them."""
    methods = [each for each in results if each.method != BASELINE and each.answered]
    if not methods:
        return Html("")
    title, best = "Most visible misses", methods[0].method
    missed_by = {
        each.method: set(
            ranking.visible_misses(predictions, each.method, len(predictions))["file_name"]
        )
        for each in methods[1:]
        if each.verdict == "better"
    }
    rows = []
    for row in ranking.visible_misses(predictions, best).to_dict("records"):
        others = [name for name, files in missed_by.items() if row["file_name"] in files]
        ratio, r = row["discolor_ratio"], row["r"]
        rows.append([
            Cell(row["file_name"]),
            Cell(number(ratio, 3), ratio),
            Cell(number(r), r),
            Cell(number(abs(math.log(ratio)) * r, 2), abs(math.log(ratio)) * r),
            Cell(f"{number(row['x'])}, {number(row['y'])}", row["x"]),
            Cell(f"{number(row['x_pred'])}, {number(row['y_pred'])}", row["x_pred"]),
            Cell(number(row["distance"]), row["distance"]),
            Cell(", ".join(others) or "–", len(others)),
        ])  # fmt: skip
    columns = [
        Column("image", False), Column("ratio"), Column("radius, px"),
        Column("visibility", about="|log ratio| · radius"),
        Column("truth x, y"), Column("answer x, y"), Column("distance, px"),
        Column("also missed by", False),
    ]  # fmt: skip
    if not rows:
        return section(title, el("p", f"{best} found all regions."), name="misses")
    return section(
        title,
        table(f"The most visible regions that {best} did not find", columns, rows),
        figure(folder, "misses", "The same regions, each in the middle of its image.", wide=True),
        name="misses",
    )


def _setup_section(
    record: dict[str, Any],
    dataset_recipe: dict[str, Any],
    predictions: pd.DataFrame,
    methods: dict[str, dict[str, Any]],
    styles: Styles,
) -> Html:
    recipe = dataset_recipe.get("recipe") or {}
    size, feather = recipe.get("size"), recipe.get("feather")
    quality = recipe.get("codec") == "jpeg" and recipe.get("quality")
    options = record.get("options") or {}
    images = predictions.drop_duplicates("file_name")
    pairs = [
        ("dataset", str(record.get("dataset", ""))),
        ("split", str(record.get("split", ""))),
        ("images", _image_count_text(predictions).replace(" images", "")),
        ("size", "that of the photos" if size == "keep" else " × ".join(map(str, size or []))),
        ("ratio", _range(images["discolor_ratio"], 3)),
        ("radius", _range(images["r"], 0, " px")),
        ("region", _comma_list(recipe.get("shape"), feather and f"feather {feather:g} px")),
        ("overflow, rounding", _comma_list(recipe.get("overflow"), recipe.get("rounding"))),
        ("codec", _comma_list(recipe.get("codec"), quality)),
        ("seed of the dataset", str(recipe.get("seed", ""))),
        ("options", options_text(options)),
    ]
    return section(
        "Dataset and methods",
        definition_list(pairs),
        methods_table(methods, styles),
        name="asked",
    )


def _range(values: pd.Series, digits: int, unit: str = "") -> str:
    """The least and the largest value; "" if there is none."""
    if values.isna().all():
        return ""
    low, high = float(values.min()), float(values.max())
    ends = number(low, digits), number(high, digits)
    return (ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}") + unit


def _comma_list(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)
