"""The tables of thresholds in a sharpness report: all methods, pairs of methods, strata."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from localize.evaluation.provenance import EXTERNAL_TRIALS
from localize.registry import BASELINE
from localize.report.contents import Styles, inputs_text, method_label
from localize.report.markup import Cell, Column, Html, table
from localize.report.numbers import number, percent
from localize.report.sharpness_summary import SIDES, Threshold, estimate_of, limits


def threshold_table(
    thresholds: pd.DataFrame,
    ranking: list[Threshold],
    styles: Styles,
    caption: str = "Thresholds of all methods, the lowest first",
) -> Html:
    whole = thresholds[thresholds["cut"] == "all"]
    rows_of = {(row["method"], row["side"]): row for row in whole.to_dict("records")}
    sides = [side for side in SIDES if any(key[1] == side for key in rows_of)]
    if not sides:
        return Html("")
    rows = []
    for each in ranking:
        main = rows_of[each.method, each.side]
        form = EXTERNAL_TRIALS if each.external else inputs_text(each.told)
        row = [Cell(method_label(each.method, styles), each.method, form)]
        row += [_ratio_cell(rows_of.get((each.method, side))) for side in sides]
        contrast = each.contrast
        row.append(Cell(number(contrast.value), contrast.value, limits(contrast, 1)))
        slope = estimate_of(main, "slope")
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
        Column("contrast, %", about="for both sides together, or else for the better side"),
        Column("slope"),
        Column("chance", about="hit rate at ratio exactly 1"),
        Column("ceiling", about="of the fitted curve"),
        Column("trials"),
    ]
    return table(caption, columns, rows)


def _ratio_cell(row: Any) -> Cell:
    if row is None:
        return Cell("–", math.nan)
    peak = row.get("rises_to", math.nan)  # older files have no such column
    falls = f"falls beyond {number(peak, 3)}" if math.isfinite(peak) else ""
    if row["verdict"]:
        return Cell(row["verdict"], math.nan, falls, kind="words")
    value = estimate_of(row, "threshold")
    return Cell(
        number(value.value, 3), value.value, ", ".join(filter(None, (limits(value, 3), falls)))
    )


def pair_table(pairs: pd.DataFrame, styles: Styles) -> Html:
    """Pairs of methods on the same photos: the quotient of their steps."""
    sides = [side for side in SIDES if (pairs["side"] == side).any()]
    if not sides:
        return Html("")
    row_of = {(row["method"], row["than"], row["side"]): row for row in pairs.to_dict("records")}
    rows = []
    for method, than in dict.fromkeys((key[0], key[1]) for key in row_of):
        row = [Cell(method_label(method, styles), method), Cell(method_label(than, styles), than)]
        for side in sides:
            each = row_of.get((method, than, side))
            if each is None:
                row.append(Cell("–", math.nan))
                continue
            factor = estimate_of(each, "factor")
            row.append(Cell(f"{number(factor.value, 2)} ×", factor.value, limits(factor, 2)))
        rows.append(row)
    columns = [
        Column("method", False),
        Column("compared with", False),
        *(Column("both sides" if side == "both" else side) for side in sides),
    ]
    caption = (
        "By what factor the second method's threshold |log ratio| is larger, on the same photos"
    )
    return table(caption, columns, rows)


def strata_table(thresholds: pd.DataFrame, ranking: list[Threshold], styles: Styles) -> Html:
    """The thresholds for each stratum of the trials, of the methods that have a threshold."""
    names = [each.method for each in ranking if each.method != BASELINE and not each.verdict]
    strata = thresholds[thresholds["cut"] != "all"]
    side = next((side for side in SIDES if (strata["side"] == side).any()), "")
    strata = strata[strata["side"] == side]
    if not names or not len(strata):
        return Html("")
    row_of = {(row["cut"], row["level"], row["method"]): row for row in strata.to_dict("records")}
    rows = [
        [Cell(f"{cut}: {level}", f"{cut} {i:03}"),
         *(_ratio_cell(row_of.get((cut, level, name))) for name in names)]
        for i, (cut, level) in enumerate(dict.fromkeys((key[0], key[1]) for key in row_of))
    ]  # fmt: skip
    columns = [Column("trials", False), *(Column(name) for name in names)]
    caption = "Thresholds by radius, texture, brightness, codec and feather"
    return table(caption + ("" if side == "both" else f"; {side}"), columns, rows)
