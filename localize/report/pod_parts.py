"""The parts of a report about a POD analysis: its sentences and its tables.

The page of `localize pod` and the page of `localize sharpness` show the same parts. A ``record``
is the record of an analysis, as in ``pod.json``; ``models`` are the rows of its ``pod.csv``.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from localize.evaluation.verdicts import NEVER
from localize.report.markup import Cell, Column, Html, definition_list, el, join, table
from localize.report.numbers import DASH, number, percent
from synth.json_shapes import Object
from synth.number_kinds import INFINITE, SHARE

BOOTSTRAP = "bootstrap"
HUGE = math.log(1000)  # a step |log ratio| from which the ratio is not written out
TEXTS = ("model", "link", "scale", "verdict")
SIZES = ("a50", "a90", "a90_95", "a90_95_one_sided")
NUMBERS = {
    **dict.fromkeys(("intercept", "slope", "deviance", "aic", *SIZES), INFINITE),
    **dict.fromkeys(("a90_95_bootstrap", "a90_95_one_sided_bootstrap"), INFINITE),
    **dict.fromkeys(("variance_intercept", "variance_slope", "covariance"), INFINITE),
    "chosen": SHARE,
}
ALL_NUMBERS = {**NUMBERS, "lapse": INFINITE, "far": SHARE}  # a signal has no lapse rate
PART_NUMBERS = {
    **dict.fromkeys(("targets", "trials", "hits", "deviance"), INFINITE),
    **dict.fromkeys(("a50", "a90", "a90_95"), INFINITE),
}
ALL_PART_NUMBERS = {**PART_NUMBERS, "far": SHARE}
_COUNTS = ("targets", "trials", "hits", "blanks", "false_calls", "groups")
SHAPE = Object(
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


def summarize(record: dict[str, Any], models: pd.DataFrame) -> list[Html]:
    """The verdict, what was inspected, and the choice of the model, in sentences."""
    chosen = models[models["chosen"] == 1].iloc[0]
    return [verdict(record, chosen), count_sentence(record), choice(record, chosen)]


def verdict(record: dict[str, Any], chosen: Any) -> Html:
    sizes = record["result"]
    if chosen["verdict"]:
        limit = ""
        if chosen["verdict"] == NEVER and math.isfinite(chosen.get("lapse", math.nan)):
            limit = f": its limit for large targets is {number(1 - chosen['lapse'], 3)}"
        return join(el("strong", chosen["verdict"]), f"{limit}. There is no a90.")
    found = f"{record['size']} {sizes['a90']}" if not record.get("side") else sizes["a90"]
    start = f"A target of {found} is found with probability 0.9; "
    if not sizes.get("a90_95_larger") and chosen.get("far") == 1:
        far = el("strong", "beyond three times the largest target")
        return join(start, "with 95 % confidence, its upper bound lies ", far, ".")
    if not sizes.get("a90_95_larger"):
        return join(start, el("strong", "this size has no upper limit"), " with 95 % confidence.")
    basis = sizes.get("basis", "")
    if basis == BOOTSTRAP:
        basis += f" over the groups ({record['group']}), which is above the other bound"
    return join(
        start, "with 95 % confidence, this size is at most ",
        el("strong", sizes["a90_95_larger"]), f" (a90/95, by {basis}).",
    )  # fmt: skip


def count_sentence(record: dict[str, Any]) -> Html:
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


def choice(record: dict[str, Any], chosen: Any) -> Html:
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
    if size > HUGE:
        return "< 0.001" if side == "darker" else "> 1000"
    return _significant(math.exp(-size if side == "darker" else size))


def _significant(value: float) -> str:
    """A size with five significant digits.

    >>> _significant(0.1708668), _significant(math.nan), _significant(math.inf)
    ('0.17087', '–', '∞')
    """
    if math.isnan(value):
        return DASH
    return "∞" if math.isinf(value) else f"{value:.5g}".replace("-", "−")


def model_table(models: pd.DataFrame, side: str) -> Html:
    """All models, the chosen one marked."""
    rows = []
    for row in models.to_dict("records"):
        lapse = row.get("lapse", math.nan)
        extra = row["model"] == "guess and lapse"
        name = row["link"] + (", guess and lapse" if extra else "")
        note = "chosen" if row["chosen"] else ""
        cells = [Cell(name, name, note), Cell(row["scale"], kind="dotted")]
        cells += [Cell(_significant(row[key]), row[key]) for key in ("intercept", "slope")]
        cells += [Cell(number(row[key], 2), row[key]) for key in ("deviance", "aic")]
        cells += [size_cell(row, key, side) for key in SIZES]
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
    if any(row.get("far") == 1 for row in models.to_dict("records")):
        about += "; far beyond: above three times the largest target"
    return table(about, columns, rows)


def size_cell(row: dict[Any, Any], name: str, side: str) -> Cell:
    """A size; as a ratio with the step below it for trials of sharpness."""
    value = row[name]
    if name == "a90" and row["verdict"]:
        return Cell(DASH, math.nan, row["verdict"])
    if math.isinf(value) and row.get("far") == 1:
        return Cell(_significant(value), value, "far beyond")
    if not side or math.isnan(value):
        return Cell(_significant(value), value)
    return Cell(_in_words(value, side), value, _significant(value))


def bound_facts(record: dict[str, Any], models: pd.DataFrame, side: str) -> Html:
    """The covariance of the chosen model and the bounds by bootstrap."""
    row = models[models["chosen"] == 1].iloc[0].to_dict()
    names = ("variance_intercept", "variance_slope", "covariance")
    facts = [(name.replace("_", " of "), _significant(row[name])) for name in names]
    if not math.isnan(row["a90_95_bootstrap"]):
        draws = record.get("bootstrap", {}).get("draws", "")
        for name, words in (("a90_95", "a90/95"), ("a90_95_one_sided", "one-sided")):
            cell = size_cell(row, f"{name}_bootstrap", side)
            facts.append(
                (f"{words}, bootstrap over {record['group']} ({draws} samples)", cell.text)
            )
    return definition_list(facts)


def pooling_parts(record: dict[str, Any], parts: pd.DataFrame, side: str) -> list[Html]:
    """The test of pooling and the curves of the parts."""
    pooling = record.get("pooling")
    if not pooling:
        return []
    differs = "differ significantly" if pooling.get("differs") else "do not differ significantly"
    what = "regression lines" if record["kind"] == "signal" else "curves"
    p = (
        f"The {what} of the parts by {pooling['column']} {differs} (likelihood ratio, p = "
        f"{pooling['p']:.2g})."
    )
    rows = [
        [Cell(str(row["part"]))]
        + [Cell(number(row[name], 0), row[name]) for name in ("targets", "trials", "hits")]
        + [size_cell(row, name, side) for name in ("a50", "a90", "a90_95")]
        for row in parts.to_dict("records")
    ]
    columns = [
        Column(pooling["column"], False), Column("targets"), Column("trials"), Column("hits"),
        Column("a50"), Column("a90"), Column("a90/95"),
    ]  # fmt: skip
    return [el("p", p), table("Separate curves of the parts", columns, rows)]
