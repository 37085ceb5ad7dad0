"""The report page of a sharpness measurement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import tables
from localize.evaluation.provenance import command
from localize.registry import BASELINE
from localize.report import sharpness_pod, sharpness_summary
from localize.report.contents import (
    Contents,
    Styles,
    failure_section,
    inputs_text,
    json_details,
    method_entries,
    method_label,
    reproduction_section,
)
from localize.report.figures import figure
from localize.report.markup import Cell, Column, Html, definition_list, details, section, table
from localize.report.numbers import enumerate_names, number
from localize.report.plots import method_styles
from localize.report.sharpness_summary import Threshold
from localize.report.sharpness_tables import pair_table, strata_table, threshold_table
from synth.number_kinds import ABOVE_ZERO, DISTANCE, INFINITE, PIXELS, POSITIVE, SHARE, SIZE, STEP

NUMBERS = {
    "discolor_ratio": POSITIVE,
    "r": SIZE,
    **dict.fromkeys(("x", "y", "x_pred", "y_pred"), PIXELS),
    "distance": DISTANCE,
    "hit": SHARE,
}
THRESHOLD_NUMBERS = {
    "n": ABOVE_ZERO,
    **dict.fromkeys(("guess", "lapse"), SHARE),
    **sharpness_summary.NUMBERS,
    **dict.fromkeys(("contrast_percent", "contrast_low", "contrast_high"), INFINITE),
    **dict.fromkeys(("slope", "slope_low", "slope_high"), INFINITE),
}
PAIR_NUMBERS = {
    "photos": ABOVE_ZERO,
    **dict.fromkeys(("factor", "factor_low", "factor_high"), STEP),
}
TEXTS = ("method", "cut", "level", "side", "verdict")
SHOWN_ELSEWHERE = ("versions", "definitions", "methods")  # parts of the record
MAX_MISSES = 12
CURVES = "{} by ratio: points are measured rates, curves are fitted psychometric curves."


def contents(folder: Path) -> Contents:
    """A folder that sharpness wrote -> the contents of its page.

    Raises:
        InputError: a file in the folder is damaged.
    """
    record = tables.read_record(folder / "sharpness.json")
    columns = ["method", "cut", "side", *THRESHOLD_NUMBERS]
    kinds = {**THRESHOLD_NUMBERS, "rises_to": POSITIVE}
    thresholds = tables.read(folder / "thresholds.csv", columns, TEXTS, kinds)
    keys, texts = ["method", "photo", "side"], ["error", "codec"]
    trials = tables.read(folder / "trials.csv", [*keys, *NUMBERS], [*keys, *texts], NUMBERS)
    keys = ["method", "than", "side"]
    pairs = tables.read(folder / "pairs.csv", [*keys, *PAIR_NUMBERS], keys, PAIR_NUMBERS)
    names = list(dict.fromkeys([*thresholds["method"], *trials["method"]]))
    methods = method_entries(record.get("methods") or {}, names)
    styles = method_styles(names)
    ranking = sharpness_summary.rank_thresholds(thresholds, methods)
    detected = tables.read(folder / "thresholds-detected.csv", columns, TEXTS, kinds)
    detected_ranking = sharpness_summary.rank_thresholds(detected, methods)
    rate = "Rate of detected trials" if len(detected) else "Hit rate"
    definitions = record.get("definitions") or {}
    request = {key: value for key, value in record.items() if key not in SHOWN_ELSEWHERE}
    glossary = details("Definitions", definition_list(list(definitions.items())))
    return Contents(
        "Detection thresholds",
        _subject(record, trials),
        [
            *sharpness_summary.summarize(ranking, thresholds, pairs),
            *sharpness_summary.detected_sentence(detected_ranking, record),
        ],
        _small_print(definitions),
        [
            section("Thresholds", threshold_table(thresholds, ranking, styles), figure(
                folder, "psychometric-place", CURVES.format("Hit rate"), wide=True,
            ), threshold_table(
                detected, detected_ranking, styles, "Thresholds of detection: right place and call"
            ), figure(
                folder, "psychometric", CURVES.format(rate), wide=True,
            ), pair_table(pairs, styles), name="thresholds"),
            sharpness_pod.call_section(folder, styles),
            sharpness_pod.pod_section(
                folder, record, trials, [each.method for each in ranking], styles
            ),
            section("Influence of radius, texture, brightness and codec", figure(
                folder, "acuity", "Acuity chart: threshold by the radius of the region."
            ), strata_table(thresholds, ranking, styles), name="cuts"),
            section("Hit rates", figure(
                folder, "rates", "Hit rate in percent by ratio and radius.", wide=True, card=True
            ), name="rates"),
            section("Examples", figure(
                folder, "faintest-hits", "The smallest changes that were found.", wide=True
            ), figure(
                folder, "strongest-misses", "The largest changes that were missed.", wide=True
            ), name="pictures"),
            _miss_section(trials, ranking, styles),
            failure_section(_error_table(trials), styles),
            _setup_section(record, methods, styles),
            reproduction_section(
                {"command": record.get("command") or _repeat_command(record)},
                record.get("versions") or {},
                glossary if definitions else Html(""),
                json_details("Settings of the run (JSON)", request),
            ),
        ],
    )  # fmt: skip


def _subject(record: dict[str, Any], trials: pd.DataFrame) -> str:
    each = trials.groupby("method").size()
    count = f"{number(float(each.max()), 0)} trials per method" if len(each) else ""
    parts = [f"{record['photos']} photos" if "photos" in record else "", count]
    return " · ".join(part for part in parts if part)


def _small_print(defined: dict[str, str]) -> str:
    hit = f"A hit: {defined['hit'].replace('<=', '≤')}. " if "hit" in defined else ""
    return (
        f"{hit}The threshold is the ratio at which the hit rate is halfway between chance (the "
        "hit rate at ratio exactly 1) and the ceiling; closer to 1 is better. Contrast is the "
        "threshold as a difference in linear luminance. In brackets: 95 % intervals from "
        "bootstrap samples of whole photos; 1 or ∞ stands for a limit beyond the ratios tried."
    )


def _miss_section(trials: pd.DataFrame, ranking: list[Threshold], styles: Styles) -> Html:
    """The most visible changes that the best method missed."""
    best = next((each.method for each in ranking if each.method != BASELINE), None)
    missed = trials[(trials["method"] == best) & (trials["hit"] == 0)]
    visibility = np.abs(np.log(missed["discolor_ratio"].to_numpy(float))) * missed["r"].to_numpy(
        float
    )
    order = np.argsort(-visibility, kind="stable")[:MAX_MISSES]
    rows = []
    for i in order:
        row = missed.iloc[int(i)]
        rows.append([
            Cell(str(row["photo"])),
            Cell(number(row["discolor_ratio"], 3), float(row["discolor_ratio"])),
            Cell(number(row["r"], 0), float(row["r"])),
            Cell(number(float(visibility[i]), 2), float(visibility[i])),
            Cell(f"{number(row['x'])}, {number(row['y'])}", float(row["x"])),
            Cell(f"{number(row['x_pred'])}, {number(row['y_pred'])}", float(row["x_pred"])),
            Cell(number(row["distance"]), float(row["distance"])),
        ])  # fmt: skip
    if not rows:
        return Html("")
    columns = [
        Column("photo", False), Column("ratio"), Column("radius, px"),
        Column("visibility", about="|log ratio| · radius"), Column("truth x, y"),
        Column("answer x, y"), Column("distance, px"),
    ]  # fmt: skip
    return section(
        "Most visible misses",
        table(f"The most visibility changes that {best} missed", columns, rows),
        name="misses",
    )


def _error_table(trials: pd.DataFrame) -> pd.DataFrame:
    failed = trials[trials["error"] != ""]
    names = failed["photo"] + ", ratio " + failed["discolor_ratio"].astype(str)
    return pd.DataFrame({"method": failed["method"], "file_name": names, "reason": failed["error"]})


def _setup_section(record: dict[str, Any], methods: dict[str, Any], styles: Styles) -> Html:
    design = record.get("design") or {}
    size = design.get("size")
    ratios = [number(ratio, 3) for ratio in design.get("ratios", [])]
    conditions = [
        f"{each['codec']}{' ' + str(each['quality']) if each['codec'] == 'jpeg' else ''}, "
        f"{each['rounding']}" + (f", feather {each['feather']:g} px" if each["feather"] else "")
        for each in design.get("conditions", [])
    ]
    adaptive = design.get("adaptive")
    skipped = record.get("skipped") or {}
    pairs = [
        ("ratios", f"{', '.join(ratios)} and 1" if ratios and not adaptive else ""),
        ("mode", f"adaptive, {adaptive} trials per method" if adaptive else "grid"),
        ("sides", enumerate_names(list(design.get("sides", [])) or ["–"])),
        ("radii", f"{', '.join(f'{r:g}' for r in design.get('radii', []))} px"),
        ("trials per cell", "" if adaptive else str(design.get("per_cell", ""))),
        ("size", "that of the photos" if size == "keep" else " × ".join(map(str, size or []))),
        ("region", f"{design.get('shape', '')}, {design.get('overflow', '')}"),
        ("codec, rounding", "; ".join(conditions)),
        ("photos", f"{record.get('photos', '–')}"),
        ("photos left out", ", ".join(f"{name} ({why})" for name, why in skipped.items())),
        ("seed", str(design.get("seed", ""))),
        ("curve", str(record.get("curve", ""))),
    ]
    columns = [Column("method", False), Column("input", False), Column("learns from", False),
               Column("parameters"), Column("note", False)]  # fmt: skip
    rows = [
        [Cell(method_label(name, styles), name), Cell(inputs_text(each.get("told"))),
         Cell(str(each.get("learns", "–"))), Cell(number(each.get("parameters"), 0),
         float(each.get("parameters") or 0)), Cell(str(each.get("note") or "–"))]
        for name, each in methods.items()
    ]  # fmt: skip
    methods_table = table(
        "The methods; a told method is given values beside the image", columns, rows
    )
    return section("Trials and methods", definition_list(pairs), methods_table, name="asked")


def _repeat_command(record: dict[str, Any]) -> list[str]:
    """The command that repeats the run, with PHOTOS and OUT for the folders."""
    design = record.get("design") or {}
    conditions = design.get("conditions", [])
    each = {
        name: list(dict.fromkeys(condition[name] for condition in conditions))
        for name in ("rounding", "feather")
    }
    codecs = [
        f"jpeg{condition['quality']}" if condition["codec"] == "jpeg" else condition["codec"]
        for condition in conditions
    ]
    sides = design.get("sides", [])
    size = design.get("size")
    adaptive = design.get("adaptive")
    specs = [spec for name, spec in (record.get("specs") or {}).items() if name != BASELINE]
    return command(
        "sharpness", *specs, photos="PHOTOS",
        ratios=None if adaptive else design.get("ratios"),
        radii=design.get("radii"),
        sides="both" if len(sides) == 2 else "".join(sides) or None,
        per_cell=None if adaptive else design.get("per_cell"),
        adaptive=adaptive or None, false_calls=design.get("false_calls"), clean=design.get("clean"),
        codecs=list(dict.fromkeys(codecs)) or None,
        roundings=each["rounding"] or None,
        feathers=each["feather"] or None,
        shape=design.get("shape"), overflow=design.get("overflow"),
        size="x".join(map(str, size)) if isinstance(size, list) else size,
        within=design.get("within"), share=design.get("share"), seed=design.get("seed"),
        curve=record.get("curve"), out="OUT",
    )  # fmt: skip
