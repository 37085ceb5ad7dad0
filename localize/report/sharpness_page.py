"""The page of a measurement of sharpness: how faint a change is still seen."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import tables
from localize.evaluation.provenance import command
from localize.report import thresholds
from localize.report.contents import Contents, Looks, as_json, failures, known, named, repeat, told
from localize.report.figures import figure
from localize.report.markup import Cell, Column, Html, facts, folded, section, table
from localize.report.numbers import listed, number, percent
from localize.report.plots import look
from localize.report.standings import BASELINE
from localize.report.thresholds import ELSEWHERE, SIDES, Threshold, estimate, limits
from synth.number_kinds import ABOVE_ZERO, DISTANCE, INFINITE, PIXELS, POSITIVE, SHARE, SIZE, STEP

NUMBERS = {
    "discolor_ratio": POSITIVE,
    "r": SIZE,
    **dict.fromkeys(("x", "y", "x_pred", "y_pred"), PIXELS),
    "distance": DISTANCE,
    "hit": SHARE,
}
OF_THRESHOLDS = {
    "n": ABOVE_ZERO,
    **dict.fromkeys(("guess", "lapse"), SHARE),
    **thresholds.NUMBERS,
    **dict.fromkeys(("contrast_percent", "contrast_low", "contrast_high"), INFINITE),
    **dict.fromkeys(("slope", "slope_low", "slope_high"), INFINITE),
}
OF_PAIRS = {
    "photos": ABOVE_ZERO,
    **dict.fromkeys(("factor", "factor_low", "factor_high"), STEP),
}
TEXTS = ("method", "cut", "level", "side", "verdict")
SHOWN = ("versions", "definitions", "methods")  # in places of their own
MOST_MISSES = 12


def contents(folder: Path) -> Contents:
    """A folder that sharpness wrote -> its page.

    Raises:
        InputError: a file in it is damaged.
    """
    about = tables.about(folder / "sharpness.json")
    cuts = ("method", "cut", "side", *OF_THRESHOLDS)
    found = tables.read(folder / "thresholds.csv", cuts, TEXTS, OF_THRESHOLDS)
    texts = ("method", "photo", "side", "error", "codec")
    needed = ("method", "photo", "side", *NUMBERS)
    trials = tables.read(folder / "trials.csv", needed, texts, NUMBERS)
    two = ("method", "than", "side")
    pairs = tables.read(folder / "pairs.csv", (*two, *OF_PAIRS), two, OF_PAIRS)
    names = list(dict.fromkeys([*found["method"], *trials["method"]]))
    methods = known(about.get("methods") or {}, names)
    looks = look(names)
    ranked = thresholds.ranked(found, methods)
    defined = about.get("definitions") or {}
    request = {key: value for key, value in about.items() if key not in SHOWN}
    words = folded("What the words mean", facts(list(defined.items()))) if defined else Html("")
    return Contents(
        "How faint can it be?",
        _subject(about, trials),
        thresholds.answer(ranked, found, pairs),
        _small(defined),
        [
            section("Thresholds", _thresholds(found, ranked, looks), figure(
                folder, "psychometric", "How often a change is found, by its strength; points are "
                "what was counted, curves what was fitted.", wide=True,
            ), _pairs(pairs, looks), name="thresholds"),
            section("Of what it depends", figure(
                folder, "acuity", "The acuity chart: the threshold by the size of the region."
            ), _cuts(found, ranked, looks), name="cuts"),
            section("Hit rates", figure(
                folder, "rates", "Hits in 100 trials, by ratio and radius.", wide=True, card=True
            ), name="rates"),
            section("To look at", figure(
                folder, "faintest-hits", "The faintest changes that were found.", wide=True
            ), figure(
                folder, "strongest-misses", "The strongest changes that were not.", wide=True
            ), name="pictures"),
            _misses(trials, ranked, looks),
            failures(_errors(trials), looks),
            _asked(about, methods, looks),
            repeat(
                {"command": about.get("command") or _command(about)}, about.get("versions") or {},
                words, as_json("What was asked, as JSON", request),
            ),
        ],
    )  # fmt: skip


def _subject(about: dict[str, Any], trials: pd.DataFrame) -> str:
    each = trials.groupby("method").size()
    count = f"{number(float(each.max()), 0)} trials a method" if len(each) else ""
    parts = [f"{about['photos']} photos" if "photos" in about else "", count]
    return " · ".join(part for part in parts if part)


def _small(defined: dict[str, str]) -> str:
    hit = f"A hit: {defined['hit'].replace('<=', '≤')}. " if "hit" in defined else ""
    return (
        f"{hit}The threshold stands halfway between the hit rate at ratio exactly 1 and the "
        "ceiling; the farther from 1, the blunter. In brackets: 95 % intervals from bootstrap "
        "samples of whole photos; 1 or ∞ where they end beyond what was tried."
    )


def _thresholds(found: pd.DataFrame, ranked: list[Threshold], looks: Looks) -> Html:
    whole = found[found["cut"] == "all"]
    rows_of = {(row["method"], row["side"]): row for row in whole.to_dict("records")}
    sides = [side for side in SIDES if any(key[1] == side for key in rows_of)]
    if not sides:
        return Html("")
    rows = []
    for each in ranked:
        main = rows_of[each.method, each.side]
        what = ELSEWHERE if each.elsewhere else told(each.told)
        row = [Cell(named(each.method, looks), each.method, what)]
        row += [_ratio(rows_of.get((each.method, side))) for side in sides]
        row.append(Cell(number(each.light.value), each.light.value, limits(each.light, 1)))
        slope = estimate(main, "slope")
        row += [
            Cell(number(slope.value, 2), slope.value, limits(slope, 2)),
            Cell(percent(main["guess"]), main["guess"]),
            Cell(percent(1 - main["lapse"]), 1 - main["lapse"]),
            Cell(number(main["n"], 0), float(main["n"])),
        ]
        rows.append(row)
    columns = [
        Column("method", False),
        *(Column("ratio, both sides" if side == "both" else side) for side in sides),
        Column("in light", about="contrast of luminance, per cent, of the first or better ratio"),
        Column("slope"),
        Column("chance", about="hits at ratio exactly 1"),
        Column("ceiling", about="of the fitted curve"),
        Column("trials"),
    ]
    return table("Half of the way from chance to ceiling, the faintest first", columns, rows)


def _ratio(row: Any) -> Cell:
    if row is None:
        return Cell("–", math.nan)
    if row["verdict"]:
        return Cell(row["verdict"], math.nan, kind="words")
    value = estimate(row, "threshold")
    return Cell(number(value.value, 3), value.value, limits(value, 3))


def _pairs(pairs: pd.DataFrame, looks: Looks) -> Html:
    """Two by two, on the same photos: how many times the step the blunter one needs."""
    sides = [side for side in SIDES if (pairs["side"] == side).any()]
    if not sides:
        return Html("")
    at = {(row["method"], row["than"], row["side"]): row for row in pairs.to_dict("records")}
    rows = []
    for method, than in dict.fromkeys((key[0], key[1]) for key in at):
        row = [Cell(named(method, looks), method), Cell(named(than, looks), than)]
        for side in sides:
            each = at.get((method, than, side))
            if each is None:
                row.append(Cell("–", math.nan))
                continue
            factor = estimate(each, "factor")
            row.append(Cell(f"{number(factor.value, 2)} ×", factor.value, limits(factor, 2)))
        rows.append(row)
    columns = [
        Column("sharper", False),
        Column("than", False),
        *(Column("both sides" if side == "both" else side) for side in sides),
    ]
    caption = "How many times the step |log ratio| the second needs, on the same photos"
    return table(caption, columns, rows)


def _cuts(found: pd.DataFrame, ranked: list[Threshold], looks: Looks) -> Html:
    """The threshold of every method that has one, part by part."""
    names = [each.method for each in ranked if each.method != BASELINE and not each.verdict]
    parts = found[found["cut"] != "all"]
    side = next((side for side in SIDES if (parts["side"] == side).any()), "")
    parts = parts[parts["side"] == side]
    if not names or not len(parts):
        return Html("")
    at = {(row["cut"], row["level"], row["method"]): row for row in parts.to_dict("records")}
    rows = [
        [Cell(f"{cut}: {level}", f"{cut} {i:03}"),
         *(_ratio(at.get((cut, level, name))) for name in names)]
        for i, (cut, level) in enumerate(dict.fromkeys((key[0], key[1]) for key in at))
    ]  # fmt: skip
    columns = [Column("part of the trials", False), *(Column(name) for name in names)]
    caption = "Thresholds by radius, texture, brightness and how the file was made"
    return table(caption + ("" if side == "both" else f"; {side}"), columns, rows)


def _misses(trials: pd.DataFrame, ranked: list[Threshold], looks: Looks) -> Html:
    """What the sharpest missed though it is strong."""
    best = next((each.method for each in ranked if each.method != BASELINE), None)
    mine = trials[(trials["method"] == best) & (trials["hit"] == 0)]
    visible = np.abs(np.log(mine["discolor_ratio"].to_numpy(float))) * mine["r"].to_numpy(float)
    order = np.argsort(-visible, kind="stable")[:MOST_MISSES]
    rows = []
    for i in order:
        row = mine.iloc[int(i)]
        rows.append([
            Cell(str(row["photo"])),
            Cell(number(row["discolor_ratio"], 3), float(row["discolor_ratio"])),
            Cell(number(row["r"], 0), float(row["r"])),
            Cell(number(float(visible[i]), 2), float(visible[i])),
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
        "Misses worth looking at",
        table(f"The most visible changes that {best} missed", columns, rows),
        name="misses",
    )


def _errors(trials: pd.DataFrame) -> pd.DataFrame:
    failed = trials[trials["error"] != ""]
    names = failed["photo"] + ", ratio " + failed["discolor_ratio"].astype(str)
    return pd.DataFrame({"method": failed["method"], "file_name": names, "reason": failed["error"]})


def _asked(about: dict[str, Any], methods: dict[str, Any], looks: Looks) -> Html:
    design = about.get("design") or {}
    size = design.get("size")
    ratios = [number(ratio, 3) for ratio in design.get("ratios", [])]
    conditions = [
        f"{each['codec']}{' ' + str(each['quality']) if each['codec'] == 'jpeg' else ''}, "
        f"{each['rounding']}" + (f", feather {each['feather']:g} px" if each["feather"] else "")
        for each in design.get("conditions", [])
    ]
    adaptive = design.get("adaptive")
    skipped = about.get("skipped") or {}
    pairs = [
        ("ratios", f"{', '.join(ratios)} and 1" if ratios and not adaptive else ""),
        ("mode", f"adaptive, {adaptive} trials a method" if adaptive else "grid"),
        ("sides", listed(list(design.get("sides", [])) or ["–"])),
        ("radii", f"{', '.join(f'{r:g}' for r in design.get('radii', []))} px"),
        ("trials a cell", "" if adaptive else str(design.get("per_cell", ""))),
        ("size", "as the photos" if size == "keep" else " × ".join(map(str, size or []))),
        ("region", f"{design.get('shape', '')}, {design.get('overflow', '')}"),
        ("files", "; ".join(conditions)),
        ("photos", f"{about.get('photos', '–')}"),
        ("photos left out", ", ".join(f"{name} ({why})" for name, why in skipped.items())),
        ("seed", str(design.get("seed", ""))),
        ("curve", str(about.get("curve", ""))),
    ]
    columns = [Column("method", False), Column("told", False), Column("learns from", False),
               Column("parameters"), Column("note", False)]  # fmt: skip
    rows = [
        [Cell(named(name, looks), name), Cell(told(each.get("told"))),
         Cell(str(each.get("learns", "–"))), Cell(number(each.get("parameters"), 0),
         float(each.get("parameters") or 0)), Cell(str(each.get("note") or "–"))]
        for name, each in methods.items()
    ]  # fmt: skip
    shown = table("The methods, and what each is told beside the picture", columns, rows)
    return section("What was asked", facts(pairs), shown, name="asked")


def _command(about: dict[str, Any]) -> list[str]:
    """The words that ask for the same of other photos; folders are to be named."""
    design = about.get("design") or {}
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
    specs = [spec for name, spec in (about.get("specs") or {}).items() if name != BASELINE]
    return command(
        "sharpness", *specs, photos="PHOTOS",
        ratios=None if adaptive else design.get("ratios"),
        radii=design.get("radii"),
        sides="both" if len(sides) == 2 else "".join(sides) or None,
        per_cell=None if adaptive else design.get("per_cell"),
        adaptive=adaptive or None,
        codecs=list(dict.fromkeys(codecs)) or None,
        roundings=each["rounding"] or None,
        feathers=each["feather"] or None,
        shape=design.get("shape"), overflow=design.get("overflow"),
        size="x".join(map(str, size)) if isinstance(size, list) else size,
        within=design.get("within"), share=design.get("share"), seed=design.get("seed"),
        curve=about.get("curve"), out="OUT",
    )  # fmt: skip
