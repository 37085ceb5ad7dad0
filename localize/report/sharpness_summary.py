"""Ranks the thresholds of a sharpness measurement, and writes the summary of its report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from localize.evaluation.detection import Estimate
from localize.evaluation.provenance import EXTERNAL_TRIALS
from localize.evaluation.verdicts import BELOW, NO_THRESHOLD
from localize.registry import BASELINE
from localize.report.markup import Html, el, join
from localize.report.numbers import enumerate_names, number, percent
from synth.number_kinds import STEP, Number

SIDES = ("both", "brighter", "darker")
NUMBERS = {  # permitted values in thresholds.csv; an interval may end at 0 or infinity
    "threshold": Number(math.ulp(0.0), words="a number above 0", infinite=True),
    **dict.fromkeys(("threshold_low", "threshold_high"), STEP),
}


@dataclass(frozen=True)
class Threshold:
    """The threshold of one method over all trials.

    Args:
        told: what the method is told beside the image; None if unknown.
        external: whether its trials come from an external file, for instance of a person.
        ratio: the threshold; above 1 if it is for both sides together.
        contrast: the threshold as a contrast of luminance, percent.
        verdict: why there is no threshold, or "".
        side: both, brighter or darker.
    """

    method: str
    told: frozenset[str] | None
    external: bool
    ratio: Estimate
    contrast: Estimate
    verdict: str
    side: str

    @property
    def step(self) -> float:
        """|log ratio|, by which methods are ranked; 0 if below all ratios tried, inf if none."""
        if self.verdict:
            return 0.0 if self.verdict == BELOW else math.inf
        return abs(math.log(self.ratio.value))


def estimate_of(row: Any, name: str, prefix: str = "") -> Estimate:
    """A value and its interval from a row of ``thresholds.csv``.

    Args:
        prefix: of the columns of the limits, if it differs from ``name``.
    """
    prefix = prefix or name
    return Estimate(*(float(row[key]) for key in (name, f"{prefix}_low", f"{prefix}_high")))


def rank_thresholds(table: pd.DataFrame, methods: dict[str, Any]) -> list[Threshold]:
    """The thresholds over all trials in ascending order of their step.

    A method's threshold is that of both sides together; if these were not fitted together, that
    of its better side.

    Args:
        table: ``thresholds.csv``.
        methods: the record's entries by name.
    """
    whole = table[table["cut"] == "all"]
    thresholds = []
    for name, rows in whole.groupby("method", sort=False):
        entry = methods.get(str(name), {})
        told = entry.get("told")
        sides = [
            Threshold(
                str(name),
                None if told is None else frozenset(told),
                entry.get("note") == EXTERNAL_TRIALS,
                estimate_of(row, "threshold"),
                estimate_of(row, "contrast_percent", "contrast"),
                row["verdict"],
                row["side"],
            )
            for row in rows.to_dict("records")
        ]
        together = [each for each in sides if each.side == "both"]
        thresholds.append(min(together or sides, key=lambda each: each.step))
    return sorted(thresholds, key=lambda each: each.step)


def summarize(ranking: Sequence[Threshold], table: pd.DataFrame, pairs: pd.DataFrame) -> list[Html]:
    """The lowest threshold; the next ones; the methods without a threshold.

    If all methods have a threshold, the last sentence gives the best method's thresholds for the
    smallest and the largest radius.

    Args:
        table: ``thresholds.csv``.
        pairs: ``pairs.csv``.
    """
    methods = [each for each in ranking if each.method != BASELINE]
    if not methods:
        return [Html("Nothing to compare: only the centre guess was measured.")]
    with_threshold = [each for each in methods if each.step < math.inf]
    sentences = (
        _best(with_threshold, len(methods)),
        _runners_up(with_threshold, pairs),
        _without_threshold(methods) or _by_radius(with_threshold, table),
    )
    return [sentence for sentence in sentences if sentence]


def detected_sentence(ranking: Sequence[Threshold], record: dict[str, Any]) -> list[Html]:
    """The lowest threshold of detection, if the score had to be a call."""
    rate = (record.get("design") or {}).get("false_calls")
    found = [each for each in ranking if each.step < math.inf]
    if rate is None or not ranking:
        return []
    start = f"If the score must also be a call, with at most {percent(rate, 1)} false calls, "
    if not found:
        return [Html(f"{start}no method has a threshold.")]
    best = found[0]
    return [
        join(start, "the lowest threshold is that of ", _name(best), f": {threshold_text(best)}.")
    ]


def _name(threshold: Threshold) -> Html:
    return el("strong", threshold.method)


def threshold_text(threshold: Threshold) -> str:
    """A threshold as a ratio and as a contrast with their intervals, or its verdict."""
    if threshold.verdict:
        return threshold.verdict
    return (
        f"ratio {number(threshold.ratio.value, 3)} {limits(threshold.ratio, 3)}, "
        f"contrast {contrast_text(threshold.contrast)}"
    )


def contrast_text(value: Estimate) -> str:
    """A contrast in percent with its interval."""
    digits = 0 if abs(value.value) >= 9.95 else 1
    return f"{number(value.value, digits)}\u00a0% {limits(value, digits)}".rstrip()


def limits(value: Estimate, digits: int) -> str:
    """The interval in brackets, "" if there is none; a limit beyond the ratios tried is ∞."""
    if math.isnan(value.low) or math.isnan(value.high):
        return ""
    return f"[{number(value.low, digits)}, {number(value.high, digits)}]"


def _best(thresholds: Sequence[Threshold], count: int) -> Html:
    if not thresholds:
        if count == 1:
            return Html("")
        return Html(f"None of the {count} methods has a threshold among the ratios tried.")
    best = thresholds[0]
    if best.verdict:
        return join(
            _name(best), " finds even the smallest change tried: its threshold is below the ",
            "ratios tried, so try smaller ones.",
        )  # fmt: skip
    title = " has the lowest threshold: " if count > 1 else " has a threshold: "
    return join(_name(best), f"{title}{threshold_text(best)}.")


def _runners_up(thresholds: Sequence[Threshold], pairs: pd.DataFrame) -> Html:
    """The second method, the best image-only method, and the methods of external trials."""
    if len(thresholds) < 2:
        return Html("")
    best, second = thresholds[0], thresholds[1]
    form = ", which is image-only" if best.told and second.told == frozenset() else ""
    parts: list[str] = ["Second is ", _name(second), f"{form}: {threshold_text(second)}"]
    parts += [_comparison(best, second, pairs)]
    image_only = next((each for each in thresholds if each.told == frozenset()), None)
    if image_only and best.told and image_only is not second:
        parts += ["; among image-only methods, ", _name(image_only)]
        parts += [f" is best: {threshold_text(image_only)}"]
    for each in thresholds[2:]:
        if each.external:
            parts += ["; ", _name(each), f" ({EXTERNAL_TRIALS}): {threshold_text(each)}"]
    return join(*parts, ".")


def _by_radius(thresholds: Sequence[Threshold], table: pd.DataFrame) -> Html:
    """The best method's thresholds for the smallest and the largest radius."""
    best = thresholds[0].method
    by_radius = table[(table["cut"] == "radius") & (table["method"] == best)]
    side = next((side for side in SIDES if (by_radius["side"] == side).any()), "")
    fitted = (by_radius["side"] == side) & (by_radius["verdict"] == "")
    rows = by_radius[fitted].to_dict("records")
    if len(rows) < 2:
        return Html("")
    texts = []
    for row in (rows[0], rows[-1]):
        value = estimate_of(row, "threshold")
        texts.append(
            f"ratio {number(value.value, 3)} {limits(value, 3)} for regions of radius "
            f"{row['level']}"
        )
    return join("The threshold of ", _name(thresholds[0]), f" is {texts[0]}, and {texts[1]}.")


def _overlap(one: Estimate, other: Estimate) -> bool:
    return max(one.low, other.low) <= min(one.high, other.high)


def _comparison(best: Threshold, second: Threshold, pairs: pd.DataFrame) -> str:
    """By what factor the second method's step is larger, if both saw the same photos.

    Otherwise, whether the intervals overlap.
    """
    chosen = pairs["method"].eq(best.method) & pairs["than"].eq(second.method)
    rows = pairs[chosen & pairs["side"].eq(best.side)].to_dict("records")
    if best.side != second.side or not rows:
        both = not best.verdict and not second.verdict
        return " (the intervals overlap)" if both and _overlap(best.ratio, second.ratio) else ""
    factor = estimate_of(rows[0], "factor")
    unclear = ", no significant difference" if factor.low <= 1 <= factor.high else ""
    return f" ({number(factor.value, 2)} {limits(factor, 2)} times the step{unclear})"


def _without_threshold(methods: Sequence[Threshold]) -> Html:
    """The methods without a threshold, grouped by the reason."""
    parts: list[str] = []
    verdicts = {each.verdict for each in methods} - {"", BELOW}
    for verdict in sorted(verdicts, key=lambda verdict: (verdict != NO_THRESHOLD, verdict)):
        reason = " (no significant rise of the hit rate)" if verdict == NO_THRESHOLD else ""
        names = enumerate_names([each.method for each in methods if each.verdict == verdict])
        parts += [f"; {verdict}" if parts else verdict.capitalize(), f"{reason}: ", names]
    return join(*parts, ".") if parts else Html("")
