"""The report page of learning curves."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from localize.evaluation import curve_tables, tables
from localize.evaluation.curve_tables import ABOUT, LearningCurve
from localize.evaluation.detection import Estimate
from localize.evaluation.label_gain import NAMES, labels_needed
from localize.evaluation.metrics import DRAWS
from localize.localizer import HIT_RADIUS
from localize.registry import BASELINE
from localize.report.contents import (
    Contents,
    Styles,
    failure_section,
    json_details,
    method_entries,
    method_label,
    methods_table,
    options_text,
    reproduction_section,
)
from localize.report.curve_plots import CHARTS, X_AXES
from localize.report.figures import figure
from localize.report.markup import Cell, Column, Html, definition_list, el, join, section, table
from localize.report.numbers import enumerate_names, estimate_text, interval, number
from localize.report.plots import method_styles

SMALL = (
    f"In brackets: 95 % intervals from {DRAWS} bootstrap samples of the repeats and of whole test "
    "photos (seeds 1 and 0). With few repeats, such an interval is too narrow: with three, the "
    "part that comes from the repeats has about 0.8 of its width. A method is better than chance "
    "if the interval of its gain, in px closer than the centre guess of the same image, lies "
    "above 0."
)
CAPTIONS = {
    "mean_distance": ("Mean distance in px", 1),
    "normalised_distance": ("Normalised distance", 3),
    "hit@5": (f"Share of images within {HIT_RADIUS:g} px", 2),
    "image_auroc": ("AUROC of the score, images with an anomaly against clean ones", 2),
    "gain": ("Gain: how many px closer than the centre guess", 1),
}
SHOWN_ELSEWHERE = ("versions", "methods")  # parts of the record


def contents(folder: Path) -> Contents:
    """A folder that learning-curve wrote -> the contents of its page.

    Raises:
        InputError: a file in the folder is damaged.
    """
    record = tables.read_record(folder / ABOUT)
    result = curve_tables.read(folder)
    names = list(dict.fromkeys(result.summary["method"]))
    styles, methods = method_styles(names), method_entries(record.get("methods") or {}, names)
    request = {key: record[key] for key in record if key not in SHOWN_ELSEWHERE}
    by = record.get("by", "rows")
    by = by if by in X_AXES else "rows"
    unit = X_AXES[by][0]
    return Contents(
        "Learning curves",
        _subject(record, result),
        summarize(result.summary, by),
        SMALL,
        [
            _labels_section(result, styles),
            section(f"Scores by {unit}", figure(
                folder, CHARTS[0].file, "Mean distance to the true centre by the number of "
                f"{unit}.",
            ), figure(
                folder, CHARTS[1].file, f"Share of images within {HIT_RADIUS:g} px of the true "
                f"centre by the number of {unit}.",
            ), *(_table(result, styles, metric, by) for metric in (
                "mean_distance", "hit@5", "gain", "normalised_distance",
            )), name="scores"),
            section("Detection of images with an anomaly",
            _table(result, styles, "image_auroc", by), figure(
                folder, CHARTS[2].file, f"AUROC of the score by the number of {unit}.",
            ), name="presence"),
            _training_section(result, styles, by),
            failure_section(result.errors, styles),
            _setup_section(record, methods, styles),
            reproduction_section(
                record, record.get("versions") or {},
                json_details("Settings of the run (JSON)", request),
            ),
        ],
    )  # fmt: skip


def _subject(record: dict[str, Any], result: LearningCurve) -> str:
    images = result.predictions["file_name"].nunique()
    split = record.get("split", "")
    parts = [str(record.get("dataset", "")), f"{split} split", f"{images} images"]
    return " · ".join(part for part in parts if part)


def summarize(summary: pd.DataFrame, by: str = "rows") -> list[Html]:
    """Two sentences: the best method with all rows; the rows from which each is above chance.

    Args:
        by: the word for the numbers: rows or labels.
    """
    trained = summary[summary["rows"] > 0]
    most = trained[trained["rows"] == trained.groupby("method")["rows"].transform("max")]
    answered = most[most["mean_distance"].notna()]
    if not len(answered):
        return [_best_detector(most, by)]
    best = answered.sort_values("gain", ascending=False).iloc[0]
    first = join(
        f"With all of its {'training ' * (by == 'rows')}{by}, ", el("strong", best["method"]),
        f" has the largest gain over the centre guess: mean distance "
        f"{estimate_text(_estimate(best, 'mean_distance'))}, within {HIT_RADIUS:g}\u00a0px in "
        f"{estimate_text(_estimate(best, 'hit@5'), '%')} of the images.",
    )  # fmt: skip
    with_place = trained.loc[trained["mean_distance"].notna(), "method"]
    needed = {name: curve_tables.rows_needed(trained, name) for name in dict.fromkeys(with_place)}
    enough = [f"{name} from {count} {by} on" for name, count in needed.items() if count]
    never = [str(name) for name, count in needed.items() if not count]
    parts = [f"Better than chance: {enumerate_names(enough)}"] if enough else []
    if never:
        start = f"not with any number of {by} tried" if enough else "Never better than chance"
        parts.append(f"{start}: {enumerate_names(never)}")
    return [first, join("; ".join(parts), ".")]


def _best_detector(most: pd.DataFrame, by: str) -> Html:
    """A sentence about the best score, where no method answers with a place."""
    scored = most[most["image_auroc"].notna()]
    if not len(scored):
        return Html("No trained method gave an answer; the reasons are listed below.")
    best = scored.sort_values("image_auroc", ascending=False).iloc[0]
    return join(
        f"With all of its {'training ' * (by == 'rows')}{by}, ", el("strong", best["method"]),
        f" has the largest AUROC: {estimate_text(_estimate(best, 'image_auroc'))}.",
    )  # fmt: skip


def _estimate(row: Any, metric: str) -> Estimate:
    return Estimate(*(float(row[f"{metric}{end}"]) for end in ("", "_low", "_high")))


def _table(result: LearningCurve, styles: Styles, metric: str, by: str) -> Html:
    """A metric of each method (rows) by the number of training rows or labels (columns)."""
    summary = result.summary[result.summary[metric].notna()]
    if metric == "gain":
        summary = summary[summary["method"] != BASELINE]
    if not len(summary):
        return Html("")
    caption, digits = CAPTIONS[metric]
    row_of = {(row["method"], row["rows"]): row for row in summary.to_dict("records")}
    counts = sorted(set(summary["rows"]))
    rows = []
    for name in dict.fromkeys(summary["method"]):
        cells = [Cell(method_label(name, styles), name)]
        cells += [_cell(row_of.get((name, count)), metric, digits) for count in counts]
        if metric == "gain":
            needed = curve_tables.rows_needed(summary, name)
            text = "never" if needed is None else number(needed, 0) if needed else "–"
            cells.append(Cell(text, math.inf if needed is None else needed))
        rows.append(cells)
    without = "not trained here" if by == "rows" else "no labels used"
    columns = [Column("method", False)]
    columns += [Column(f"{count} {by}" if count else without) for count in counts]
    if metric == "gain":
        columns.append(
            Column(
                f"{by} needed",
                about=f"the fewest {by} from which on the method is better than chance with every "
                f"number of {by} tried",
            )
        )
    return table(caption, columns, rows)


def _cell(row: Any, metric: str, digits: int) -> Cell:
    if row is None:
        return Cell("–", math.nan)
    value = _estimate(row, metric)
    return Cell(number(value.value, digits), value.value, interval(value.low, value.high, digits))


def _labels_section(result: LearningCurve, styles: Styles) -> Html:
    """What labels add to the best method without labels; empty for a curve over rows."""
    gains = result.label_gains
    if not len(gains):
        return Html("")
    tables = []
    for metric, rows in gains.groupby("metric", sort=False):
        counts, digits = sorted(set(rows["rows"])), 1 if metric == "mean_distance" else 2
        row_of = {(row["method"], row["rows"]): row for row in rows.to_dict("records")}
        body = []
        for name in dict.fromkeys(rows["method"]):
            needed = labels_needed(rows, name, str(metric))
            cells = [Cell(method_label(name, styles), name)]
            cells += [_cell(row_of.get((name, count)), "gain", digits) for count in counts]
            text = "never" if needed is None else number(needed, 0)
            body.append([*cells, Cell(text, math.inf if needed is None else needed)])
        unit = ", px closer" if metric == "mean_distance" else ""
        caption = f"Gain over {rows['baseline'].iloc[0]}: {NAMES[str(metric)]}{unit}"
        about = (
            "the fewest labels from which on the method is better than the best method without "
            "labels, with every number of labels tried"
        )
        columns = [Column("method", False), *(Column(f"{count} labels") for count in counts)]
        tables.append(table(caption, [*columns, Column("labels needed", about=about)], body))
    text = (
        "Each method trained with labels is compared with the best method that learned from "
        "clean images alone, on the same images. A method is better if the 95 % interval of its "
        "gain lies above 0. All clean images are used with every number of labels; the labels "
        "are those of train and val together."
    )
    return section("How many labels are needed?", el("p", text), *tables, name="labels")


def _training_section(result: LearningCurve, styles: Styles, by: str) -> Html:
    """Every training with its own scores."""
    rows = [
        [
            Cell(method_label(row["method"], styles), row["method"]),
            *(Cell(number(row[name], 0), float(row[name])) for name in ("rows", "photos")),
            *(Cell(str(row[name]), float(row[name])) for name in ("repeat", "seed")),
            Cell(number(row["mean_distance"]), row["mean_distance"]),
            Cell(number(row["hit@5"], 2), row["hit@5"]),
            Cell(number(row["image_auroc"], 2), row["image_auroc"]),
        ]
        for row in result.scores.to_dict("records")
        if row["rows"]
    ]
    columns = [
        Column("method", False), Column(by), Column("photos"), Column("repeat"),
        Column("seed"), Column("mean distance, px"), Column(f"within {HIT_RADIUS:g} px"),
        Column("AUROC"),
    ]  # fmt: skip
    return section("Trainings", table("Every training", columns, rows), name="trainings")


def _setup_section(record: dict[str, Any], methods: dict[str, Any], styles: Styles) -> Html:
    options = record.get("options") or {}
    pairs = [
        ("dataset", str(record.get("dataset", ""))),
        ("train split", f"{record.get('train_images', '–')} images with an anomaly"),
        ("repeats", str(record.get("repeats", ""))),
        ("seed", str(record.get("seed", ""))),
        ("length of a training", "the same number of epochs for all subsets"
         if record.get("same_epochs") else "that of the whole train split"),
        ("options", options_text(options)),
    ]  # fmt: skip
    return section(
        "Dataset and methods",
        definition_list(pairs),
        methods_table(methods, styles),
        name="asked",
    )
