"""Photos that cannot be used for endless images: the reasons, and the messages about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence

import numpy as np

from localize.localizer import Source
from synth.errors import Skipped
from synth.recipe import Recipe
from synth.text_escapes import escape_surrogates


def size_fault(size: tuple[int, int], recipes: Sequence[Recipe]) -> str:
    """Why no recipe can use a photo of (width, height) px; "" if a recipe can."""
    reason = ""
    for each in recipes:
        try:
            each.draw(*size, np.random.default_rng(0))
            return ""
        except Skipped as error:
            reason = reason or str(error)
    return reason


def split_photos(
    order: Sequence[str],
    count: int,
    unusable_for_train: Container[str],
    unusable_for_val: Container[str],
) -> tuple[set[str], set[str]]:
    """Photos in random order -> those for validation, and the usable ones for training.

    The first ``count`` are for validation. Where this leaves training or validation without a
    usable photo, it gets one photo of the other.
    """
    val, rest = list(order[:count]), list(order[count:])
    if all(name in unusable_for_val for name in val):
        val += [name for name in rest if name not in unusable_for_val][:1]
    if all(name in unusable_for_train or name in val for name in rest):
        usable = [name for name in val if name not in unusable_for_val]
        spare = [name for name in val if name not in unusable_for_train and name not in usable[:1]]
        val = [name for name in val if name not in (spare[:1] if usable else [])]
    train = {name for name in order if name not in unusable_for_train and name not in val}
    return ({*val} if any(name not in unusable_for_val for name in val) else set()), train


def explain(skipped: Mapping[str, str]) -> str:
    """How many photos cannot be used, and why the first one cannot."""
    if not skipped:
        return ""
    name, reason = next(iter(skipped.items()))
    return f", {len(skipped)} of them unusable ({escape_surrogates(name)}: {reason})"


def skipped_photos(sources: Sequence[Source]) -> dict[str, str]:
    """The photos that sources could not use so far, by name as Unicode text, with the reasons."""
    reasons = {name: reason for each in sources for name, reason in each.skipped.items()}
    return {escape_surrogates(name): reasons[name] for name in sorted(reasons)}


def skipped_summary(sources: Sequence[Source]) -> str:
    """How many photos sources could not use, and why; "" if they could use all."""
    counts = Counter(skipped_photos(sources).values())
    if not counts:
        return ""
    total = sum(len(each.names) for each in sources)
    reasons = "; ".join(f"{n} x {reason}" for reason, n in counts.most_common(3))
    more = "; ..." if len(counts) > 3 else ""
    return f"{counts.total()} of {total} photos skipped: {reasons}{more}"
