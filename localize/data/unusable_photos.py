"""Photos that cannot be drawn on: which they are, why, and what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence

import numpy as np

from localize.data.loader import skipped_of
from localize.localizer import Source
from synth.errors import Skipped
from synth.recipe import Recipe
from synth.text_escapes import escape_surrogates


def unfit(size: tuple[int, int], recipes: Sequence[Recipe]) -> str:
    """Why no recipe can use a photo of (width, height) px; "" if one can."""
    reason = ""
    for each in recipes:
        try:
            each.draw(*size, np.random.default_rng(0))
            return ""
        except Skipped as error:
            reason = reason or str(error)
    return reason


def divide(
    order: Sequence[str], count: int, unusable: Container[str], unfit: Container[str]
) -> tuple[set[str], set[str]]:
    """Photos in random order -> those held for validation, usable ones to train on.

    The first ``count`` are held, unless all that can be used lie on one side of the border.

    Args:
        unusable, unfit: what training and what validation cannot use.
    """
    held, rest = list(order[:count]), list(order[count:])
    if all(name in unfit for name in held):
        held += [name for name in rest if name not in unfit][:1]
    if all(name in unusable or name in held for name in rest):
        fit = [name for name in held if name not in unfit]
        spare = [name for name in held if name not in unusable and name != fit[0]] if fit else []
        held = [name for name in held if name not in spare[:1]]
    usable = {name for name in order if name not in unusable and name not in held}
    return ({*held} if any(name not in unfit for name in held) else set()), usable


def explain(skipped: Mapping[str, str]) -> str:
    """How many photos cannot be used, and why the first one cannot."""
    if not skipped:
        return ""
    name, reason = next(iter(skipped.items()))
    return f", {len(skipped)} of them unusable ({escape_surrogates(name)}: {reason})"


def skipped(sources: Sequence[Source]) -> dict[str, str]:
    """The photos that sources have not used so far, and why, by their names as Unicode text."""
    found = {name: reason for each in sources for name, reason in skipped_of(each).items()}
    return {escape_surrogates(name): found[name] for name in sorted(found)}


def skipped_line(sources: Sequence[Source]) -> str:
    """How many photos sources could not use, and why; "" if they could use all."""
    counts = Counter(skipped(sources).values())
    if not counts:
        return ""
    total = sum(len(getattr(each, "names", ())) for each in sources)
    reasons = "; ".join(f"{n} x {reason}" for reason, n in counts.most_common(3))
    more = "; ..." if len(counts) > 3 else ""
    return f"{counts.total()} of {total} photos skipped: {reasons}{more}"
