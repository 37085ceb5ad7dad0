"""What a measurement of sharpness says of each method, and the answer in three sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from localize.evaluation.detection import Estimate
from localize.report.markup import Html, el, join
from localize.report.numbers import listed, number
from localize.report.standings import BASELINE
from synth.number_kinds import STEP, Number

ELSEWHERE = "trials made elsewhere"  # the note of people, and of other programs
NEVER = "no threshold"
BELOW = "below the smallest tried"
SIDES = ("both", "brighter", "darker")
NUMBERS = {  # of thresholds.csv: a threshold that there is, and the limits of its interval
    "threshold": Number(math.ulp(0.0), words="a number above 0", infinite=True),
    **dict.fromkeys(("threshold_low", "threshold_high"), STEP),
}
UNTOLD = "told nothing but the picture"


@dataclass(frozen=True)
class Threshold:
    """How faint a change one method still sees.

    Args:
        told: what it was told beside the image; None: not known.
        elsewhere: its trials were made elsewhere, by people for instance.
        ratio: halfway between chance and ceiling; above 1 where both sides count together.
        light: the same as contrast of luminance, per cent.
        verdict: why there is no threshold, in words; else empty.
        side: both, brighter or darker: whose threshold it is.
    """

    method: str
    told: frozenset[str] | None
    elsewhere: bool
    ratio: Estimate
    light: Estimate
    verdict: str
    side: str

    @property
    def step(self) -> float:
        """|log ratio|: what methods are ranked by; 0 below all that was tried, else infinite."""
        if self.verdict:
            return 0.0 if self.verdict == BELOW else math.inf
        return abs(math.log(self.ratio.value))


def estimate(row: Any, name: str, ends: str = "") -> Estimate:
    """A value and its limits from a row of ``thresholds.csv``."""
    ends = ends or name
    return Estimate(*(float(row[key]) for key in (name, f"{ends}_low", f"{ends}_high")))


def ranked(table: pd.DataFrame, methods: dict[str, Any]) -> list[Threshold]:
    """The thresholds of all trials, the faintest first.

    Those of both sides together; where they were not taken together, of each method's better side.
    """
    whole = table[table["cut"] == "all"]
    found = []
    for name, rows in whole.groupby("method", sort=False):
        about = methods.get(str(name), {})
        told = about.get("told")
        sides = [
            Threshold(
                str(name),
                None if told is None else frozenset(told),
                about.get("note") == ELSEWHERE,
                estimate(row, "threshold"),
                estimate(row, "contrast_percent", "contrast"),
                row["verdict"],
                row["side"],
            )
            for row in rows.to_dict("records")
        ]
        together = [each for each in sides if each.side == "both"]
        found.append(min(together or sides, key=lambda each: each.step))
    return sorted(found, key=lambda each: each.step)


def answer(thresholds: Sequence[Threshold], table: pd.DataFrame, pairs: pd.DataFrame) -> list[Html]:
    """Who sees the faintest change; what the next, the untold and people reach; who sees none.

    Where all see it the last sentence says what a smaller region asks of the best.

    Args:
        table: ``thresholds.csv``.
        pairs: ``pairs.csv``.
    """
    rivals = [each for each in thresholds if each.method != BASELINE]
    if not rivals:
        return [Html("Only the centre guess was asked: there is nothing to compare it with.")]
    seen = [each for each in rivals if each.step < math.inf]
    sentences = (
        _first(seen, len(rivals)),
        _others(seen, pairs),
        _none(rivals) or _sizes(seen, table),
    )
    return [sentence for sentence in sentences if sentence]


def _name(threshold: Threshold) -> Html:
    return el("strong", threshold.method)


def reach(threshold: Threshold) -> str:
    """A threshold in words, as ratio and in light."""
    if threshold.verdict:
        return threshold.verdict
    return (
        f"at a ratio of {number(threshold.ratio.value, 3)} {limits(threshold.ratio, 3)}, "
        f"{light(threshold.light)} in light"
    )


def light(value: Estimate) -> str:
    """Contrast in per cent, with its interval."""
    digits = 0 if abs(value.value) >= 9.95 else 1
    return f"{number(value.value, digits)}\u00a0% {limits(value, digits)}".rstrip()


def limits(value: Estimate, digits: int) -> str:
    """An interval in brackets; infinite where it ends beyond what was tried."""
    if math.isnan(value.low) or math.isnan(value.high):
        return ""
    return f"[{number(value.low, digits)}, {number(value.high, digits)}]"


def _first(seen: Sequence[Threshold], count: int) -> Html:
    if not seen:
        if count == 1:
            return Html("")
        return Html(f"None of the {count} methods reaches a threshold with the changes tried.")
    best = seen[0]
    if best.verdict:
        return join(
            _name(best), " sees even the smallest change that was tried: its threshold lies ",
            "below, so ask for fainter ones.",
        )  # fmt: skip
    start = " sees the faintest change: it is" if count > 1 else " is"
    return join(_name(best), f"{start} halfway between chance and its ceiling {reach(best)}.")


def _others(seen: Sequence[Threshold], pairs: pd.DataFrame) -> Html:
    """The runner-up, the best of the untold, and those whose trials were made elsewhere."""
    if len(seen) < 2:
        return Html("")
    best, second = seen[0], seen[1]
    untold = f", {UNTOLD}," if best.told and second.told == frozenset() else ","
    parts: list[str] = ["Next is ", _name(second), f"{untold} {reach(second)}"]
    parts += [_times(best, second, pairs)]
    blind = next((each for each in seen if each.told == frozenset()), None)
    if blind and best.told and blind is not second:
        parts += [f"; {UNTOLD}, ", _name(blind), f" is best, {reach(blind)}"]
    for each in seen[2:]:
        if each.elsewhere:
            parts += ["; ", _name(each), f", whose trials were made elsewhere, {reach(each)}"]
    return join(*parts, ".")


def _sizes(seen: Sequence[Threshold], table: pd.DataFrame) -> Html:
    """The best method's thresholds at the smallest and the largest radius."""
    mine = table[(table["cut"] == "radius") & (table["method"] == seen[0].method)]
    side = next((side for side in SIDES if (mine["side"] == side).any()), "")
    rows = mine[(mine["side"] == side) & (mine["verdict"] == "")].to_dict("records")
    if len(rows) < 2:
        return Html("")
    shown = []
    for row in (rows[0], rows[-1]):
        value = estimate(row, "threshold")
        shown.append(f"{number(value.value, 3)} {limits(value, 3)} at a radius of {row['level']}")
    return join(_name(seen[0]), f" needs {shown[0]}, and {shown[1]}.")


def _overlap(one: Estimate, other: Estimate) -> bool:
    return max(one.low, other.low) <= min(one.high, other.high)


def _times(best: Threshold, other: Threshold, pairs: pd.DataFrame) -> str:
    """By what factor the second needs a stronger change, where both were asked the same.

    Else, whether their intervals overlap.
    """
    chosen = pairs["method"].eq(best.method) & pairs["than"].eq(other.method)
    rows = pairs[chosen & pairs["side"].eq(best.side)].to_dict("records")
    if best.side != other.side or not rows:
        both = not best.verdict and not other.verdict
        return " (the intervals overlap)" if both and _overlap(best.ratio, other.ratio) else ""
    factor = estimate(rows[0], "factor")
    unclear = ", no clear difference" if factor.low <= 1 <= factor.high else ""
    return f" ({number(factor.value, 2)} {limits(factor, 2)} times the step{unclear})"


def _none(rivals: Sequence[Threshold]) -> Html:
    """Why the others have no threshold."""
    parts: list[str] = []
    verdicts = {each.verdict for each in rivals} - {"", BELOW}
    for verdict in sorted(verdicts, key=lambda verdict: (verdict != NEVER, verdict)):
        why = " (the hit rate does not rise with the change)" if verdict == NEVER else ""
        names = listed([each.method for each in rivals if each.verdict == verdict])
        parts += [f"; {verdict}" if parts else verdict.capitalize(), f"{why}: ", names]
    return join(*parts, ".") if parts else Html("")
