"""The report page of a POD analysis."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd

from localize.evaluation import tables
from localize.report.contents import Contents, json_details, reproduction_section
from localize.report.figures import figure
from localize.report.markup import Cell, Column, Html, definition_list, el, join, section, table
from localize.report.numbers import DASH, number, percent
from synth import json_shapes
from synth.errors import InputError
from synth.json_shapes import Object
from synth.number_kinds import INFINITE, SHARE

ABOUT, BOOTSTRAP = "pod.json", "bootstrap"
TEXTS = ("model", "link", "scale", "verdict")
SIZES = ("a50", "a90", "a90_95", "a90_95_one_sided")
NUMBERS = {
    **dict.fromkeys(("intercept", "slope", "deviance", "aic", *SIZES), INFINITE),
    **dict.fromkeys(("a90_95_bootstrap", "a90_95_one_sided_bootstrap"), INFINITE),
    **dict.fromkeys(("variance_intercept", "variance_slope", "covariance"), INFINITE),
    "chosen": SHARE,
}
PART_NUMBERS = {
    **dict.fromkeys(("targets", "trials", "hits", "deviance"), INFINITE),
    **dict.fromkeys(("a50", "a90", "a90_95"), INFINITE),
}
_COUNTS = ("targets", "trials", "hits", "blanks", "false_calls", "groups")
_SHAPE = Object(
    {
        **dict.fromkeys(("kind", "size", "side", "group", "smallest", "largest", "table"), str),
        **dict.fromkeys(_COUNTS, float),
        "warnings": [str],
        "notes": [str],
        "result": Object(others=str),
        "comparison": (Object(others=float), None),
        "alike": Object({"models": float, "low": str, "high": str}),
        "pooling": (Object({"column": str, "p": float}, needed=("column", "p")), None),
        "bootstrap": Object({"draws": float, "seed": float}),
    },
    needed=("kind", "size", "result", "warnings", "notes", "smallest", "largest", *_COUNTS),
)
SMALL_HITS = (
    "a50 and a90 are the sizes that are found with probability 0.5 and 0.9. a90/95 is the upper "
    "bound of a90 by a likelihood ratio of 3.841, the practice of MIL-HDBK-1823A; it is the upper "
    "end of a 95 % interval, so that a90 lies above it in about 2.5 % of all experiments. The "
    "one-sided bound of 95 % (2.706) is below it. The statements hold for targets and conditions "
    "like those inspected."
)
SMALL_SIGNAL = (
    "a50 and a90 are the sizes that are found with probability 0.5 and 0.9: their signal reaches "
    "the decision value. a90/95 is the one-sided upper bound of a90 of 95 % by the delta method, "
    "the practice of MIL-HDBK-1823A. The statements hold for targets and conditions like those "
    "inspected, and if the signals scatter evenly about the line."
)


def contents(folder: Path) -> Contents:
    """A folder that pod wrote -> the contents of its page.

    Raises:
        InputError: a file in the folder is damaged.
    """
    record = tables.read_record(folder / ABOUT)
    if wrong := json_shapes.fault(record, _SHAPE):
        raise InputError(f"{folder / ABOUT} is damaged ({wrong}): make it again")
    models = tables.read(folder / "pod.csv", [*TEXTS, *NUMBERS], TEXTS, NUMBERS)
    parts = tables.read(
        folder / "parts.csv", ["part", *PART_NUMBERS, "verdict"], ["part", "verdict"], PART_NUMBERS
    )
    if not (models["chosen"] == 1).any():
        raise InputError(f"{folder / 'pod.csv'} is damaged (no model is chosen): make it again")
    request = {name: value for name, value in record.items() if name != "versions"}
    side = record.get("side", "")
    caption = (
        "POD by size. Band: bounds of the whole curve; its lower edge is dashed. Marks above and "
        "below: hits and misses. Points: observed rates with 95 % intervals."
    )
    return Contents(
        "Probability of detection",
        _subject(record),
        summarize(record, models),
        SMALL_SIGNAL if record["kind"] == "signal" else SMALL_HITS,
        [
            _warning_section(record),
            section("Curve", figure(folder, "pod", caption, wide=True), name="curve"),
            section("Models", _model_table(models, side), _bound_facts(record, models, side),
                    name="models"),
            section("Pooling", *_pooling(record, parts, side), name="pooling"),
            section("Data", definition_list(_facts(record)), name="data"),
            reproduction_section(
                record, record.get("versions") or {}, json_details("Record (JSON)", request)
            ),
        ],
    )  # fmt: skip


def _subject(record: dict[str, Any]) -> str:
    counts = f"{record['targets']} targets · {record['trials']} trials"
    return " · ".join(filter(None, (record.get("table", ""), counts)))


def summarize(record: dict[str, Any], models: pd.DataFrame) -> list[Html]:
    """The verdict, what was inspected, and the choice of the model, in sentences."""
    chosen = models[models["chosen"] == 1].iloc[0]
    return [_verdict(record, chosen), _count_sentence(record), _choice(record, chosen)]


def _verdict(record: dict[str, Any], chosen: Any) -> Html:
    sizes = record["result"]
    if chosen["verdict"]:
        limit = ""
        if math.isfinite(chosen.get("lapse", math.nan)):
            limit = f": its limit for large targets is {number(1 - chosen['lapse'], 3)}"
        return join(el("strong", chosen["verdict"]), f"{limit}. There is no a90.")
    found = f"{record['size']} {sizes['a90']}" if not record.get("side") else sizes["a90"]
    start = f"A target of {found} is found with probability 0.9; "
    if not sizes.get("a90_95_larger"):
        return join(start, el("strong", "this size has no upper limit"), " with 95 % confidence.")
    basis = sizes.get("basis", "")
    if basis == BOOTSTRAP:
        basis += f" over the groups ({record['group']}), which is above the other bound"
    return join(
        start, "with 95 % confidence, this size is at most ",
        el("strong", sizes["a90_95_larger"]), f" (a90/95, by {basis}).",
    )  # fmt: skip


def _count_sentence(record: dict[str, Any]) -> Html:
    text = (
        f"{record['targets']} targets from {record['smallest']} to {record['largest']} were "
        f"inspected; {record['hits']} of {record['trials']} trials were hits."
    )
    if record["blanks"]:
        share = percent(record["false_calls"] / record["blanks"], 1)
        text += (
            f" Of {record['blanks']} trials without a target, {record['false_calls']} ({share}) "
            "were counted as hits."
        )
    else:
        text += " There were no trials without a target, so the rate of false calls is not known."
    return join(text)


def _choice(record: dict[str, Any], chosen: Any) -> Html:
    """Why the model was chosen, and what the others would give."""
    options = record.get("options") or {}
    given = [name for name in ("link", "scale") if name in options]
    among = f" of those with the given {' and '.join(given)}" if given else ""
    text = f"The model is {record['result'].get('model', '')}: the smallest deviance{among}."
    comparison = record.get("comparison")
    if comparison:
        p = f"p = {comparison.get('p', math.nan):.2g}"
        text += (
            f" A model with guess and lapse fits significantly better than the handbook's ({p})."
            if chosen["model"] == "guess and lapse"
            else f" A model with guess and lapse does not fit significantly better ({p})."
        )
    alike = record.get("alike") or {}
    if alike.get("models", 0) > 1:
        text += (
            f" {alike['models']:g} models fit about equally well (their deviances differ by less "
            f"than 2); their a90/95 goes from {alike.get('low')} to {alike.get('high')}."
        )
    return join(text)


def _in_words(size: float, side: str) -> str:
    """A size, or the ratio of a step |log ratio|, with five significant digits."""
    if not side or not math.isfinite(size):
        return _significant(size)
    return _significant(math.exp(-size if side == "darker" else min(size, 700.0)))


def _significant(value: float) -> str:
    """A size with five significant digits.

    >>> _significant(0.1708668), _significant(math.nan), _significant(math.inf)
    ('0.17087', '–', '∞')
    """
    if math.isnan(value):
        return DASH
    return "∞" if math.isinf(value) else f"{value:.5g}".replace("-", "−")


def _warning_section(record: dict[str, Any]) -> Html:
    lines = [*record["warnings"], *record["notes"]]
    if not lines:
        return Html("")
    return section(
        "Warnings and notes", el("ul", *(el("li", line) for line in lines)), name="warnings"
    )


def _model_table(models: pd.DataFrame, side: str) -> Html:
    """All models, the chosen one marked."""
    rows = []
    for row in models.to_dict("records"):
        lapse = row.get("lapse", math.nan)
        extra = row["model"] == "guess and lapse"
        name = row["link"] + (", guess and lapse" if extra else "")
        note = "chosen" if row["chosen"] else ""
        cells = [Cell(name, name, note), Cell(row["scale"])]
        cells += [Cell(_significant(row[key]), row[key]) for key in ("intercept", "slope")]
        cells += [Cell(number(row[key], 2), row[key]) for key in ("deviance", "aic")]
        cells += [_size_cell(row, key, side) for key in SIZES]
        cells.append(Cell(number(lapse, 3) if extra else DASH, lapse if extra else math.nan))
        rows.append(cells)
    columns = [
        Column("link", False), Column("size", False), Column("intercept"), Column("slope"),
        Column("deviance", about="minus twice the log likelihood of single trials"),
        Column("AIC"), Column("a50"), Column("a90"), Column("a90/95"), Column("one-sided"),
        Column("lapse", about="share of misses however large the target"),
    ]  # fmt: skip
    about = "All models, so that none is chosen for its a90/95; sizes are " + (
        "ratios, below them |log ratio|" if side else "in the unit of the table"
    )
    return table(about, columns, rows)


def _size_cell(row: dict[Any, Any], name: str, side: str) -> Cell:
    """A size; as a ratio with the step below it for trials of sharpness."""
    value = row[name]
    if name == "a90" and row["verdict"]:
        return Cell(DASH, math.nan, row["verdict"])
    if not side or math.isnan(value):
        return Cell(_significant(value), value)
    return Cell(_in_words(value, side), value, _significant(value))


def _bound_facts(record: dict[str, Any], models: pd.DataFrame, side: str) -> Html:
    """The covariance of the chosen model and the bounds by bootstrap."""
    row = models[models["chosen"] == 1].iloc[0].to_dict()
    names = ("variance_intercept", "variance_slope", "covariance")
    facts = [(name.replace("_", " of "), _significant(row[name])) for name in names]
    if not math.isnan(row["a90_95_bootstrap"]):
        draws = record.get("bootstrap", {}).get("draws", "")
        for name, words in (("a90_95", "a90/95"), ("a90_95_one_sided", "one-sided")):
            cell = _size_cell(row, f"{name}_bootstrap", side)
            facts.append(
                (f"{words}, bootstrap over {record['group']} ({draws} samples)", cell.text)
            )
    return definition_list(facts)


def _pooling(record: dict[str, Any], parts: pd.DataFrame, side: str) -> list[Html]:
    """The test of pooling and the curves of the parts."""
    pooling = record.get("pooling")
    if not pooling:
        return []
    differs = "differ significantly" if pooling.get("differs") else "do not differ significantly"
    p = (
        f"The curves of the parts by {pooling['column']} {differs} (likelihood ratio, p = "
        f"{pooling['p']:.2g})."
    )
    rows = [
        [Cell(str(row["part"]))]
        + [Cell(number(row[name], 0), row[name]) for name in ("targets", "trials", "hits")]
        + [_size_cell(row, name, side) for name in ("a50", "a90", "a90_95")]
        for row in parts.to_dict("records")
    ]
    columns = [
        Column(pooling["column"], False), Column("targets"), Column("trials"), Column("hits"),
        Column("a50"), Column("a90"), Column("a90/95"),
    ]  # fmt: skip
    return [el("p", p), table("Separate curves of the parts", columns, rows)]


def _facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    options = record.get("options") or {}
    given = {name: ", ".join(v) if isinstance(v, list) else str(v) for name, v in options.items()}
    groups = f"{record['groups']} ({record['group']})" if record["group"] else "none"
    return [
        ("table", record.get("table", "")),
        ("size", record["size"]),
        ("targets", number(record["targets"], 0)),
        ("trials on targets", number(record["trials"], 0)),
        ("trials without a target", number(record["blanks"], 0)),
        ("groups", groups),
        *((name, text) for name, text in given.items() if name != "size"),
    ]
