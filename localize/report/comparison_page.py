"""The page of a comparison: who finds it."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from localize.evaluation import scoring, tables
from localize.evaluation.detection import Estimate
from localize.evaluation.scoring import ERRORS
from localize.report import sentences, standings
from localize.report.contents import Contents, Looks, as_json, failures, known, named, repeat, told
from localize.report.figures import figure
from localize.report.markup import Cell, Column, Html, el, facts, section, table
from localize.report.numbers import interval, number, percent
from localize.report.plots import look
from localize.report.standings import BASELINE, Standing
from synth.number_kinds import ABOVE_ZERO, DISTANCE, PIXELS, POSITIVE, SHARE, SIZE

NUMBERS = {
    "r": SIZE,
    "discolor_ratio": POSITIVE,
    **dict.fromkeys(("x", "y", "x_pred", "y_pred"), PIXELS),
    "distance": DISTANCE,
}
OF_SCORES = {
    **dict.fromkeys(scoring.DETECTION, SHARE),
    **dict.fromkeys(("n_clean", "parameters", "ms_per_image"), ABOVE_ZERO),
}
SMALL = (
    "In brackets: 95 % intervals, from 4000 bootstrap samples of whole photos (seed 0). Ranked by "
    "how much nearer than the centre guess of the same image; an image without an answer "
    "counts as that guess there, and as a miss in the shares."
)
DETECTION = {
    "image_auroc": Column(
        "AUROC", about="chance that an anomaly outscores a clean image; 0.5 is a guess"
    ),
    "average_precision": Column("average precision"),
    "best_f1": Column("best F1", about="at the threshold that suits these answers best"),
    "pixel_auroc": Column("pixel AUROC"),
    "aupro": Column("AUPRO", about="mean overlap with the region, up to 30 % false positives"),
}
SHOWN = ("dataset_recipe", "versions", "methods")  # in places of their own


def contents(folder: Path) -> Contents:
    """A folder that compare, evaluate or score wrote -> its page.

    Raises:
        InputError: a file in it is damaged.
    """
    about = tables.about(folder / "comparison.json")
    predictions = tables.read(
        folder / "predictions.csv",
        ("method", "file_name", *NUMBERS),
        ("method", "file_name", "photo"),
        NUMBERS,
    )
    scores = tables.read(folder / "scores.csv", ("method",), ("method",), OF_SCORES)
    errors = tables.read(folder / "errors.csv", ERRORS, ERRORS)
    names = list(dict.fromkeys(predictions["method"]))
    looks, methods = look(names), known(about.get("methods") or {}, names)
    stand = standings.standings(predictions, methods)
    recipe = about.get("dataset_recipe") or {}
    return Contents(
        "Who finds it?",
        _subject(about, predictions),
        sentences.answer(stand, partial(standings.lead, predictions)),
        SMALL if _images(predictions)[1] else SMALL.replace("whole photos", "images"),
        [
            section("Scores", _scores(stand, scores, looks), figure(
                folder, "distance", "How far off on average; the line is the 95 % interval."
            ), figure(
                folder, "found", "How many are found within a distance; steep and left is sharp."
            ), name="scores"),
            section("Anomaly or clean?", _presence(scores, looks), figure(
                folder, "presence", "How well the scores tell anomalies from clean images."
            ), figure(
                folder, "reliability",
                "Whether a chance of 80 % comes true in 80 % of cases; larger dots, more cases.",
            ), name="presence"),
            section("To look at", figure(
                folder, "contact", "Some of the images, with the truth (white) and every answer.",
                wide=True,
            ), name="contact"),
            _misses(folder, stand, predictions, looks),
            failures(errors, looks),
            section("Learning", figure(
                folder, "validation", "Distance on the validation split, epoch by epoch."
            ), name="learning"),
            _asked(about, recipe, predictions, methods, looks),
            repeat(
                about, about.get("versions") or {}, as_json("The dataset's recipe", recipe),
                as_json("What was asked, as JSON", {k: about[k] for k in about if k not in SHOWN}),
            ),
        ],
    )  # fmt: skip


def _images(predictions: pd.DataFrame) -> tuple[int, int]:
    """How many images, and of how many photos; 0 where that is not known."""
    first = predictions.drop_duplicates("file_name")
    return len(first), first["photo"].replace("", math.nan).nunique()


def _subject(about: dict[str, Any], predictions: pd.DataFrame) -> str:
    images, photos = _images(predictions)
    split = about.get("split", "")
    parts = [
        str(about.get("dataset", "")),
        "all splits" if split == "all" else f"{split} split" if split else "",
        f"{images} images" + (f" of {photos} photos" if photos else ""),
    ]
    return " · ".join(part for part in parts if part)


def _scores(stand: list[Standing], scores: pd.DataFrame, looks: Looks) -> Html:
    silent = any(each.answered < each.n for each in stand)
    columns = [
        Column("method", False),
        Column("mean distance, px"),
        Column("nearer than the centre, px"),
        Column("beside the centre", False),
        Column("median, px"),
        Column("within 5 px"),
        Column("inside the region"),
        *([Column("answers")] if silent else []),
        Column("ms an image"),
        Column("parameters"),
    ]
    more = scores.drop_duplicates("method").set_index("method")
    rows = []
    for each in stand:
        other = more.loc[each.method] if each.method in more.index else pd.Series(dtype=float)
        guess = each.method == BASELINE
        share = each.answered / max(1, each.n)
        rows.append([
            Cell(named(each.method, looks), each.method, told(each.told)),
            _estimate(each.mean),
            Cell("–", 0.0) if guess else _estimate(each.gain),
            Cell("–" if guess else each.verdict, kind=each.verdict.replace(" ", "-")),
            Cell(number(each.median), each.median),
            _share(each.close),
            _share(each.inside),
            *([Cell(f"{each.answered} of {each.n}", share)] if silent else []),
            _plain(other.get("ms_per_image"), 1),
            _plain(other.get("parameters"), 0),
        ])  # fmt: skip
    return table("All methods, the best first; under each, what it is told", columns, rows)


def _estimate(value: Estimate, digits: int = 1) -> Cell:
    return Cell(
        number(value.value, digits), float(value.value), interval(value.low, value.high, digits)
    )


def _share(value: Estimate) -> Cell:
    note = interval(value.low, value.high, 0, 100)
    return Cell(percent(value.value), float(value.value), note)


def _plain(value: Any, digits: int) -> Cell:
    shown = math.nan if value is None or pd.isna(value) else float(value)
    return Cell(number(shown, digits), shown)


def _presence(scores: pd.DataFrame, looks: Looks) -> Html:
    """What the scores say of whole images and pixels; only columns with a number in them."""
    there = [name for name in DETECTION if name in scores and scores[name].notna().any()]
    if not there:
        return Html("")
    scored = scores[scores[there].notna().any(axis=1)]
    rows = []
    for row in scored.sort_values(there[0], ascending=False).to_dict("records"):
        estimates = (
            Estimate(row[name], row.get(f"{name}_low", math.nan), row.get(f"{name}_high", math.nan))
            for name in there
        )
        method = str(row["method"])
        rows.append([
            Cell(named(method, looks), method), *(_estimate(each, 2) for each in estimates),
            _plain(row.get("n_clean"), 0),
        ])  # fmt: skip
    columns = [
        Column("method", False),
        *(DETECTION[name] for name in there),
        Column("clean images"),
    ]
    return table("Methods that give a score or a map", columns, rows)


def _misses(folder: Path, stand: list[Standing], predictions: pd.DataFrame, looks: Looks) -> Html:
    """What the best method missed though it is visible, and who else missed it."""
    rivals = [each for each in stand if each.method != BASELINE and each.answered]
    if not rivals:
        return Html("")
    best, rest = rivals[0].method, [each for each in rivals[1:] if each.verdict == "better"]
    missed_by = {
        each.method: set(standings.misses(predictions, each.method, len(predictions))["file_name"])
        for each in rest
    }
    rows = []
    for row in standings.misses(predictions, best).to_dict("records"):
        also = [name for name, files in missed_by.items() if row["file_name"] in files]
        ratio, r = row["discolor_ratio"], row["r"]
        rows.append([
            Cell(row["file_name"]),
            Cell(number(ratio, 3), ratio),
            Cell(number(r), r),
            Cell(number(abs(math.log(ratio)) * r, 2), abs(math.log(ratio)) * r),
            Cell(f"{number(row['x'])}, {number(row['y'])}", row["x"]),
            Cell(f"{number(row['x_pred'])}, {number(row['y_pred'])}", row["x_pred"]),
            Cell(number(row["distance"]), row["distance"]),
            Cell(", ".join(also) or "–", len(also)),
        ])  # fmt: skip
    columns = [
        Column("image", False), Column("ratio"), Column("radius, px"),
        Column("visibility", about="|log ratio| · radius"),
        Column("truth x, y"), Column("answer x, y"), Column("distance, px"),
    ]  # fmt: skip
    columns.append(Column("also missed by", False))
    if not rows:
        return section("Misses worth looking at", el("p", f"{best} missed none."), name="misses")
    return section(
        "Misses worth looking at",
        table(
            f"The most visible regions that {best} missed: its answer lies outside", columns, rows
        ),
        figure(folder, "misses", "The same up close, the region in the middle.", wide=True),
        name="misses",
    )


def _asked(
    about: dict[str, Any],
    recipe: dict[str, Any],
    predictions: pd.DataFrame,
    methods: dict[str, dict[str, Any]],
    looks: Looks,
) -> Html:
    images, photos = _images(predictions)
    drawn = recipe.get("recipe") or {}
    size, feather = drawn.get("size"), drawn.get("feather")
    quality = drawn.get("codec") == "jpeg" and drawn.get("quality")
    options = about.get("options") or {}
    one = predictions.drop_duplicates("file_name")
    pairs = [
        ("dataset", str(about.get("dataset", ""))),
        ("split", str(about.get("split", ""))),
        ("images", f"{images}" + (f" of {photos} photos" if photos else "")),
        ("size", "as the photos" if size == "keep" else " × ".join(map(str, size or []))),
        ("ratio", _range(one["discolor_ratio"], 3)),
        ("radius", _range(one["r"], 0) + " px"),
        ("region", _words(drawn.get("shape"), feather and f"feather {feather:g} px")),
        ("values", _words(drawn.get("overflow"), drawn.get("rounding"))),
        ("files", _words(drawn.get("codec"), quality)),
        ("seed of the dataset", str(drawn.get("seed", ""))),
        ("options", ", ".join(f"{name} {_option(value)}" for name, value in options.items())),
    ]
    columns = [Column("method", False), Column("told", False), Column("learns from", False),
               Column("what it does", False)]  # fmt: skip
    rows = [
        [Cell(named(name, looks), name), Cell(told(entry.get("told"))),
         Cell(str(entry.get("learns") or "–")), Cell(str(entry.get("summary") or "–"), kind="long")]
        for name, entry in methods.items()
    ]  # fmt: skip
    return section(
        "What was asked",
        facts(pairs),
        table("The methods, and what each is told beside the picture", columns, rows),
        name="asked",
    )


def _range(values: pd.Series, digits: int) -> str:
    low, high = float(values.min()), float(values.max())
    shown = number(low, digits), number(high, digits)
    return shown[0] if shown[0] == shown[1] else f"{shown[0]} to {shown[1]}"


def _words(*parts: object) -> str:
    return ", ".join(str(part) for part in parts if part)


def _option(value: object) -> str:
    return "×".join(map(str, value)) if isinstance(value, list) else str(value)
