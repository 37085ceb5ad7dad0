"""The sections of a sharpness report about calls and about the probability of detection."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from localize.evaluation import tables
from localize.evaluation.calls import COLUMNS, FILE, LATER
from localize.names import file_stem
from localize.registry import BASELINE
from localize.report import pod_parts
from localize.report.contents import Styles, method_label
from localize.report.figures import figure
from localize.report.markup import Cell, Column, Html, details, el, section, table
from localize.report.numbers import DASH, enumerate_names, interval, number, percent
from synth import json_shapes
from synth.errors import InputError
from synth.json_files import Damaged, parse_object
from synth.number_kinds import INFINITE, STEP

RECORDS = "pod-records.json"
KEYS = ("method", "side", "answer")
TEXTS = (*KEYS, "model", "link", "scale", "verdict")
RATIOS = ("a50", "a90", "a90_95", "a90_95_larger")
NUMBERS = {**dict.fromkeys(("n", "hits"), INFINITE), **dict.fromkeys(RATIOS, STEP)}
ANSWERS = {
    "place": "right place",
    "detected": "right place and call",
    "called": "call anywhere",
}
CAPTION = (
    "POD of {} by ratio. Band: bounds of the whole curve; its lower edge is dashed. Above and "
    "below: hits and misses, as marks or numbers. Points: observed rates with 95 % intervals. "
    "Dash-dotted: the rate of hits on clean pictures."
)
MOST = 1000.0  # a larger ratio is not written out
MANY = 3  # from so many methods on, the details of all but the first are folded


@dataclass(frozen=True)
class Pod:
    """The tables of a run about the probability of detection, and its records by method."""

    rows: pd.DataFrame
    models: pd.DataFrame
    parts: pd.DataFrame
    records: list[dict[str, Any]]


def figure_name(method: str) -> str:
    """The name of the figure of a method, without its suffix."""
    return f"pod-{file_stem(method)}"


def call_section(folder: Path, styles: Styles) -> Html:
    """The rates of false calls and the decision thresholds; empty without calls."""
    calls = _read_calls(folder)
    if not len(calls):
        return Html("")
    rows = []
    for row in calls.to_dict("records"):
        limits = f"[{_signal(row['threshold_low'])}, {_signal(row['threshold_high'])}]"
        rate = Cell(percent(row["rate"], 1), row["rate"], interval(row["low"], row["high"], 1, 100))
        rows.append([
            Cell(method_label(row["method"], styles), row["method"]),
            Cell(row["reason"], math.nan, kind="words") if row["reason"] else rate,
            Cell(number(row["false_calls"], 0), row["false_calls"]),
            Cell(number(row["clean"], 0), row["clean"], _independent(row)),
            Cell(_signal(row["threshold"]), row["threshold"], "" if row["reason"] else limits),
        ])  # fmt: skip
    columns = [
        Column("method", False),
        Column("rate of false calls", about="with its exact 95 % interval (Clopper and Pearson), "
               "for the independent pictures that the clean ones count as"),
        Column("false calls"), Column("clean pictures"),
        Column("threshold", about="score from which a picture is called, set on all clean "
               "pictures; in brackets the lowest and the highest of the folds"),
    ]  # fmt: skip
    wanted, folds = percent(calls["wanted"].iloc[0], 1), number(calls["folds"].max(), 0)
    text = (
        f"A picture is called if the score reaches a threshold. The photos are dealt into {folds} "
        f"folds; the threshold for a fold is the lowest clean score of the other folds that at "
        f"most {wanted} of their clean pictures reach. So no picture is called by a threshold "
        "that was set with its own photo."
    )
    return section(
        "Calls", el("p", text, class_="prose"),
        table(f"False calls; the wanted rate is at most {wanted}", columns, rows),
        name="calls",
    )  # fmt: skip


def _read_calls(folder: Path) -> pd.DataFrame:
    texts = ("method", "answer", "reason")
    numbers = dict.fromkeys(set(COLUMNS) - set(texts), INFINITE)
    needed = [name for name in COLUMNS if name not in LATER]
    return tables.read(folder / f"{FILE}.csv", needed, texts, numbers)


def _signal(value: float) -> str:
    """A score with four significant digits."""
    return DASH if math.isnan(value) else f"{value:.4g}".replace("-", "−")


def pod_section(
    folder: Path, record: dict[str, Any], trials: pd.DataFrame, names: Sequence[str], styles: Styles
) -> Html:
    """The table of a90 and a90/95 of all methods, then the details of each.

    Args:
        record: of the run.
        trials: ``trials.csv``.
        names: of the methods, the best first.
    """
    pod = read(folder)
    if not len(pod.rows):
        return Html("")
    return section(
        "Probability of detection",
        el("p", _scope(record, pod), class_="prose"),
        _summary_table(pod, trials, names, styles),
        *_details(folder, pod, names, _rates(folder)),
        name="pod",
    )


def read(folder: Path) -> Pod:
    """The files of a run about the probability of detection; empty for older runs.

    Raises:
        InputError: one of them is damaged.
    """
    rows = tables.read(folder / "pod.csv", (*TEXTS, *NUMBERS), TEXTS, NUMBERS)
    models = tables.read(
        folder / "pod-models.csv", (*TEXTS, *pod_parts.NUMBERS), TEXTS, pod_parts.ALL_NUMBERS
    )
    texts = (*KEYS, "part", "verdict")
    parts = tables.read(
        folder / "pod-parts.csv",
        (*texts, *pod_parts.PART_NUMBERS),
        texts,
        pod_parts.ALL_PART_NUMBERS,
    )
    return Pod(rows, models, parts, _records(folder / RECORDS))


def _records(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    keys = json_shapes.Object({**dict.fromkeys(KEYS, str), "fault": str}, needed=KEYS)
    try:
        content = parse_object(path.read_bytes())
        wrong = json_shapes.fault(content, json_shapes.Object({"analyses": [keys]}))
        records: list[dict[str, Any]] = content.get("analyses", []) if not wrong else []
        for each in records:
            if "fault" not in each:
                wrong = wrong or json_shapes.fault(each, pod_parts.SHAPE)
    except (OSError, Damaged) as error:
        wrong = str(error)
    if wrong:
        raise InputError(f"{path} is damaged ({wrong}): make it again")
    return records


def _scope(record: dict[str, Any], pod: Pod) -> str:
    """What was inspected, what counts as found, and the limits of the claim."""
    design = record.get("design") or {}
    size, radii = design.get("size"), [f"{r:g}" for r in design.get("radii", [])]
    sides = " × ".join(map(str, size)) if isinstance(size, list) else ""
    pictures = f"crops of {sides} px" if sides else "whole photos"
    codecs = [
        f"JPEG {each.get('quality')}" if each["codec"] == "jpeg" else "PNG"
        for each in design.get("conditions", [])
    ]
    region = f"{design.get('shape', 'region')}s of radius {enumerate_names(radii or [DASH])} px"
    together = ", all radii together" if len(radii) > 1 else ""
    detected = (pod.rows["answer"] == "detected").any()
    found = (
        "A region is detected if the answer is in the right place and the score is a call."
        if detected
        else "A region is found if the answer is in the right place. Every method must answer, so "
        "that nothing is said about false calls; --false-calls measures them."
    )
    return (
        f"Inspected were {pictures} of {record.get('photos', DASH)} photos "
        f"({enumerate_names(list(dict.fromkeys(codecs)) or [DASH])}) with {region}{together}. "
        f"{found} The a90 is the ratio that is found with probability 0.9, and a90/95 its bound "
        "with 95 % confidence: the larger one of those by likelihood and by a bootstrap over "
        "photos. The values hold for photos, pictures and regions like these."
    )


def _summary_table(pod: Pod, trials: pd.DataFrame, names: Sequence[str], styles: Styles) -> Html:
    """A row for each method and side; with calls, a90 of the place and of the call beside it."""
    row_of = {tuple(row[name] for name in KEYS): row for row in pod.rows.to_dict("records")}
    has_calls = any(answer == "detected" for _, _, answer in row_of)
    others = ("place", "called") if has_calls else ()
    rows = []
    for method in names:
        for side in dict.fromkeys(key[1] for key in row_of if key[0] == method):
            shown = "detected" if (method, side, "detected") in row_of else "place"
            row = row_of[method, side, shown]
            of_side = trials.loc[trials["side"] == side, "discolor_ratio"]
            most = float(of_side.max() if side == "brighter" else of_side.min())
            note = "right place, no score" if has_calls and shown == "place" else ""
            rows.append([
                Cell(method_label(method, styles), method, note),
                Cell(side, kind="dotted"),
                Cell(f"{number(row['hits'], 0)} of {number(row['n'], 0)}", row["hits"] / row["n"]),
                _ratio_cell(row, "a50", most),
                _a90_cell(row, most),
                _ratio_cell(row, "a90_95_larger", most),
                Cell(f"{row['link']}, {row['scale']} size" if row["link"] else DASH,
                     note="guess and lapse" if row["model"] == "guess and lapse" else ""),
                *(_a90_cell(row_of.get((method, side, other)), most) for other in others),
            ])  # fmt: skip
    columns = [
        Column("method", False), Column("side", False),
        Column("detected" if has_calls else "found", about="of the regions of this side"),
        Column("a50"), Column("a90"), Column("a90/95"), Column("model", False),
        *(Column(f"a90, {ANSWERS[other]}") for other in others),
    ]  # fmt: skip
    return table("Ratios that are found with probability 0.5 and 0.9", columns, rows)


def _a90_cell(row: dict[Any, Any] | None, most: float) -> Cell:
    """The a90 of a row, or why there is none."""
    if row is None:
        return Cell(DASH, math.nan)
    if row["verdict"]:
        return Cell(row["verdict"], math.nan, kind="words")
    return _ratio_cell(row, "a90", most)


def _ratio_cell(row: dict[Any, Any], name: str, most: float) -> Cell:
    """A ratio; a note if it lies beyond all that were tried."""
    value = row[name]
    if math.isnan(value):
        return Cell(DASH, math.nan)
    brighter = row["side"] == "brighter"
    if value == 0 or math.isinf(value):
        return Cell("no limit", math.inf)
    beyond = "beyond all tried" if (value > most if brighter else value < most) else ""
    text = number(value, 3)
    if not 1 / MOST < value < MOST:
        text = f"above {MOST:g}" if brighter else f"below {1 / MOST:g}"
    return Cell(text, value if brighter else 1 / value, beyond)


def _independent(row: dict[Any, Any]) -> str:
    """As how many independent pictures the clean ones count; "" if not known."""
    photos, count = row.get("photos", math.nan), row.get("independent", math.nan)
    return f"{photos:.0f} photos; count as {count:.0f}" if photos > 0 else ""


def _of_photos(row: dict[Any, Any]) -> str:
    """From how many photos the clean pictures are; "" if not known."""
    photos, count = row.get("photos", math.nan), row.get("independent", math.nan)
    if not photos > 0:
        return ""
    alike = f", which count as {count:.0f} independent ones" if count < row["clean"] - 0.5 else ""
    return f" of {photos:.0f} photos{alike}"


def _rates(folder: Path) -> dict[str, str]:
    """Method -> a sentence about its rate of false calls."""
    return {
        row["method"]: f"The threshold was set for a rate of false calls of at most "
        f"{percent(row['wanted'], 1)}; measured on photos that did not set it, the rate is "
        f"{percent(row['rate'], 1)} {interval(row['low'], row['high'], 1, 100)}: "
        f"{row['false_calls']:.0f} of {row['clean']:.0f} clean pictures{_of_photos(row)}."
        for row in _read_calls(folder).to_dict("records")
        if not row["reason"]
    }


def _details(folder: Path, pod: Pod, names: Sequence[str], rates: Mapping[str, str]) -> list[Html]:
    """For each method a block with its figure and, for each side, the verdict and the models."""
    blocks: list[Html] = []
    for method in [name for name in names if name != BASELINE]:
        records = [each for each in pod.records if each["method"] == method]
        shown = "detected" if any(each["answer"] == "detected" for each in records) else "place"
        own = [each for each in records if each["answer"] == shown]
        sides = [_side(each, pod) for each in own]
        if all("fault" in each for each in own):
            continue
        content = [
            figure(
                folder,
                figure_name(method),
                CAPTION.format(method),
                wide=sum("fault" not in each for each in own) > 1,
            ),
            el("p", rates[method], class_="prose") if method in rates else Html(""),
            *(part for side in sides for part in side),
        ]
        is_open = len(blocks) == 0 or len(names) <= MANY
        blocks.append(details(f"{method}: {ANSWERS[shown]}", *content, is_open=is_open))
    return blocks


def _side(record: dict[str, Any], pod: Pod) -> list[Html]:
    """The verdict in sentences, the warnings and the models of one method and side."""
    heading = el("h3", f"{record['method']}, {record['side']} regions")
    if "fault" in record:
        return [heading, el("p", f"There is no curve: {record['fault']}.", class_="prose")]
    models, parts = (_own(table, record) for table in (pod.models, pod.parts))
    side = record["side"]
    lines = [*record["warnings"], *record["notes"]]
    pooled = pod_parts.pooling_parts(record, parts, side)
    return [
        heading,
        *(el("p", each, class_="prose") for each in pod_parts.summarize(record, models)),
        el("ul", *(el("li", line) for line in lines), class_="small") if lines else Html(""),
        pod_parts.model_table(models, side),
        pod_parts.bound_facts(record, models, side),
        *pooled,
        el("p", "The same alone: ", el("code", _command(record)), class_="small"),
    ]


def _command(record: dict[str, Any]) -> str:
    """The command that repeats the analysis of one method and side in the folder of the run."""
    words = [str(word) for word in record.get("command") or []]
    return shlex.join("trials.csv" if word == "TABLE" else word for word in words)


def _own(frame: pd.DataFrame, record: dict[str, Any]) -> pd.DataFrame:
    """The rows of one analysis."""
    same = [frame[name] == record[name] for name in KEYS]
    return frame[same[0] & same[1] & same[2]]
