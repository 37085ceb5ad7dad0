"""The answer of a comparison in three sentences, written from the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from localize.evaluation.detection import Estimate
from localize.report.markup import Html, el, join
from localize.report.numbers import listed, spoken
from localize.report.standings import BASELINE, Standing

Lead = Callable[[str, str], Estimate]  # by how much the first is nearer than the second, px
GUESS = "always guessing the centre"
UNTOLD = "told nothing but the picture"


def answer(standings: Sequence[Standing], lead: Lead) -> list[Html]:
    """Who is best and by how much; what the next and the untold reach; who is at chance."""
    rivals = [each for each in standings if each.method != BASELINE]
    centre = next((each for each in standings if each.method == BASELINE), None)
    if not rivals or centre is None:
        return [Html("There is nothing to compare: it takes a method, and the centre guess.")]
    if not rivals[0].answered:
        return [Html("No method gave any answer: the reasons are below.")]
    sentences = _best(rivals, centre), _next(rivals, lead), _rest(rivals)
    return [sentence for sentence in sentences if sentence]


def _name(standing: Standing) -> Html:
    return el("strong", standing.method)


def _reach(standing: Standing) -> str:
    """How near a method comes, and how often it is right."""
    return f"{spoken(standing.mean)} off on average, within 5\u00a0px in " + spoken(
        standing.close, "%"
    )


def _best(rivals: Sequence[Standing], centre: Standing) -> Html:
    best, count = rivals[0], len(rivals)
    if best.verdict == "better":
        is_best = "is better than chance" if count == 1 else "is best"
        return join(
            _name(best), f" {is_best}: {_reach(best)} of the images; ",
            f"{spoken(best.gain)} nearer than {GUESS}.",
        )  # fmt: skip
    if best.verdict == "unknown":
        return join(
            _name(best), f" comes nearest: {_reach(best)} of the images, where {GUESS} is ",
            f"{spoken(centre.mean)} off; with one photo there is no interval, it may be luck.",
        )  # fmt: skip
    guess = f"{GUESS}, which is {spoken(centre.mean)} off on average"
    if count == 1:
        word = "no better" if best.verdict == "no better" else "worse"
        return join(
            _name(best), f" is {word} than {guess}: it gains {spoken(best.gain)} on that",
            f"{_yet(best, centre)}.",
        )  # fmt: skip
    return join(
        f"None of the {count} methods is better than {guess}: the nearest, ", _name(best),
        f", gains {spoken(best.gain)} on that.",
    )  # fmt: skip


def _yet(standing: Standing, centre: Standing) -> str:
    """What a mean distance hides: a method that is far off, or right."""
    if not standing.more_inside.low > 0:
        return ""
    return (
        f"; yet it is inside the region in {spoken(standing.inside, '%')} of the images, the "
        f"centre in {spoken(centre.inside, '%')}"
    )


def _next(rivals: Sequence[Standing], lead: Lead) -> Html:
    """The runner-up, and the best of those that see the picture alone, where both are better."""
    best, others = rivals[0], [each for each in rivals[1:] if each.verdict == "better"]
    if best.verdict != "better":
        return Html("")
    blind = [each for each in rivals if each.told == frozenset() and each.answered]
    parts: list[str] = []
    if others:
        gap = lead(best.method, others[0].method)
        unclear = ", which is no clear difference" if gap.low <= 0 <= gap.high else ""
        untold = f", {UNTOLD}: {_reach(others[0])};" if best.told and others[0] in blind else ","
        parts += ["Next is ", _name(others[0]), f"{untold} {spoken(gap)} farther off{unclear}"]
    if blind and best.told and blind[0] not in others[:1]:
        start = UNTOLD if parts else UNTOLD.capitalize()
        parts += ["; " if parts else "", start, ", "]
        if blind[0].verdict == "better":
            parts += [_name(blind[0]), f" is best: {_reach(blind[0])}"]
        else:
            parts += ["no method is better than the centre"]
    return join(*parts, ".") if parts else Html("")


def _rest(rivals: Sequence[Standing]) -> Html:
    """Those that are no better than the centre guess, those worse, those silent."""
    if len(rivals) == 1:
        return Html("")
    kinds = (
        ("no better", "No better than the centre (the interval of the difference includes zero)"),
        ("worse", "Worse than the centre"),
        ("no answer", "Without any answer"),
    )
    parts: list[str] = []
    for verdict, title in kinds:
        names = [_though(each) for each in rivals if each.verdict == verdict]
        if names:
            start = title if not parts else f"; {title[0].lower()}{title[1:]}"
            parts += [f"{start}: ", listed(names)]
    if not parts and all(each.verdict == "better" for each in rivals):
        parts = [f"{'Both' if len(rivals) == 2 else f'All {len(rivals)}'} are better than {GUESS}"]
    return join(*parts, ".") if parts else Html("")


def _though(standing: Standing) -> str:
    """A method's name; where it is often inside the region though far off, how often."""
    if standing.verdict == "no answer" or not standing.more_inside.low > 0:
        return standing.method
    return f"{standing.method} (though inside the region in {spoken(standing.inside, '%')})"
