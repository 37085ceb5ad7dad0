"""The summary at the top of a comparison's report: up to three sentences, from the ranking."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from localize.evaluation.detection import Estimate
from localize.localizer import HIT_RADIUS
from localize.registry import BASELINE
from localize.report.markup import Html, el, join
from localize.report.numbers import enumerate_names, estimate_text
from localize.report.ranking import MethodResult

DistanceGap = Callable[[str, str], Estimate]  # see ranking.distance_gap
GUESS = "the centre guess"


def summarize(ranking: Sequence[MethodResult], distance_gap: DistanceGap) -> list[Html]:
    """The best method; the runner-up and the best image-only method; methods at chance."""
    methods = [each for each in ranking if each.method != BASELINE]
    centre = next((each for each in ranking if each.method == BASELINE), None)
    if not methods or centre is None:
        return [Html("Nothing to compare: a comparison needs a method and the centre guess.")]
    if not methods[0].answered:
        return [Html("No method gave an answer; the reasons are listed below.")]
    sentences = _best(methods, centre), _runner_up(methods, distance_gap), _others(methods)
    return [sentence for sentence in sentences if sentence]


def _name(result: MethodResult) -> Html:
    return el("strong", result.method)


def _performance(result: MethodResult) -> str:
    return (
        f"mean distance {estimate_text(result.mean)}, within {HIT_RADIUS:g}\u00a0px in "
        f"{estimate_text(result.hit_5, '%')} of the images"
    )


def _gain_text(result: MethodResult) -> str:
    """The gain over the centre guess; a negative one as a positive distance."""
    value, low, high = result.gain
    if value >= 0:
        return f"{estimate_text(result.gain)} closer"
    return f"{estimate_text(Estimate(-value, -high, -low))} farther"


def _best(methods: Sequence[MethodResult], centre: MethodResult) -> Html:
    best, count = methods[0], len(methods)
    if best.verdict == "better":
        is_best = "is better than chance" if count == 1 else "is best"
        return join(
            _name(best), f" {is_best}: {_performance(best)}; on average ",
            f"{_gain_text(best)} than {GUESS}.",
        )  # fmt: skip
    if best.verdict == "unknown":
        return join(
            _name(best), f" has the smallest distance: {_performance(best)}; the mean distance of ",
            f"{GUESS} is {estimate_text(centre.mean)}. With one photo there is no interval, so ",
            "the difference may be due to chance.",
        )  # fmt: skip
    guess = f"{GUESS} (mean distance {estimate_text(centre.mean)})"
    if count == 1:
        verdict = "no better" if best.verdict == "no better" else "worse"
        return join(
            _name(best), f" is {verdict} than {guess}: it is {_gain_text(best)}",
            f"{_frequent_hits(best, centre)}.",
        )  # fmt: skip
    return join(
        f"None of the {count} methods is better than {guess}. The first in the ranking, ",
        _name(best), f", is {_gain_text(best)}.",
    )  # fmt: skip


def _frequent_hits(result: MethodResult, centre: MethodResult) -> str:
    """A note for a method that often hits the region although its mean distance is large."""
    if not result.hit_r_gain.low > 0:
        return ""
    return (
        f"; however, its answer lies inside the region in {estimate_text(result.hit_r, '%')} of "
        f"the images, that of {GUESS} in {estimate_text(centre.hit_r, '%')}"
    )


def _runner_up(methods: Sequence[MethodResult], distance_gap: DistanceGap) -> Html:
    """The second method, and the best image-only method if the best one is told."""
    best, others = methods[0], [each for each in methods[1:] if each.verdict == "better"]
    if best.verdict != "better":
        return Html("")
    image_only = [each for each in methods if each.told == frozenset() and each.answered]
    parts: list[str] = []
    if others:
        second = others[0]
        gap = distance_gap(best.method, second.method)
        unclear = ", no significant difference" if gap.low <= 0 <= gap.high else ""
        form = (
            f", which is image-only: {_performance(second)};"
            if best.told and second in image_only
            else ","
        )
        parts += ["Second is ", _name(second), f"{form} {estimate_text(gap)} farther{unclear}"]
    if image_only and best.told and image_only[0] not in others[:1]:
        start = "among image-only methods, " if parts else "Among image-only methods, "
        parts += ["; " if parts else "", start]
        if image_only[0].verdict == "better":
            parts += [_name(image_only[0]), f" is best: {_performance(image_only[0])}"]
        else:
            parts += [f"none is better than {GUESS}"]
    return join(*parts, ".") if parts else Html("")


def _others(methods: Sequence[MethodResult]) -> Html:
    """The methods that are no better than the centre guess, worse, or without an answer."""
    if len(methods) == 1:
        return Html("")
    groups = (
        ("no better", f"Not significantly different from {GUESS}"),
        ("worse", f"Worse than {GUESS}"),
        ("no answer", "No answers"),
    )
    parts: list[str] = []
    for verdict, title in groups:
        names = [_name_and_hits(each) for each in methods if each.verdict == verdict]
        if names:
            start = title if not parts else f"; {title[0].lower()}{title[1:]}"
            parts += [f"{start}: ", enumerate_names(names)]
    if not parts and all(each.verdict == "better" for each in methods):
        subject = "Both methods" if len(methods) == 2 else f"All {len(methods)} methods"
        parts = [f"{subject} are better than {GUESS}"]
    return join(*parts, ".") if parts else Html("")


def _name_and_hits(result: MethodResult) -> str:
    """A method's name; with its hit rate where it often hits although its distance is large."""
    if result.verdict == "no answer" or not result.hit_r_gain.low > 0:
        return result.method
    return f"{result.method} (but inside the region in {estimate_text(result.hit_r, '%')})"
