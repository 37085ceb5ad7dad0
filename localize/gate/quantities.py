"""The names of the quantities, and the messages about those that a run does not have."""

from __future__ import annotations

import difflib
from pathlib import Path

from localize.evaluation import calls
from localize.evaluation.results import OVER_SEEDS
from localize.evaluation.scoring import SCORES
from localize.gate.requirement import Requirement
from synth.errors import InputError

THRESHOLD, A50, A90, A90_95 = "threshold", "a50", "a90", "a90/95"
HIT_RATE, FALSE_CALLS = "hit-rate", "false-calls"
CALL_SCORES = tuple(  # columns of scores.csv with --false-calls, beside FALSE_CALLS
    name
    for name in calls.CALL_SCORES
    if name != "false_calls" and not name.endswith(("_low", "_high"))
)
SIZES = (THRESHOLD, A50, A90, A90_95)  # the smaller the change, the better
KINDS: dict[str, tuple[str, ...]] = {  # kind of run -> its quantities
    "sharpness": (*SIZES, HIT_RATE, FALSE_CALLS),
    "pod": (A50, A90, A90_95),
    "scores": (
        *(
            name
            for name in (*SCORES, *OVER_SEEDS)
            if name not in ("method", "split", "note") and not name.endswith(("_low", "_high"))
        ),
        *CALL_SCORES,
        FALSE_CALLS,
    ),
}
COMMANDS = {
    "sharpness": "localize sharpness",
    "pod": "localize pod",
    "scores": "localize evaluate, compare or score",
}
_QUALIFIERS = ("at", "answer", "side", "r", "end")
_WORDS = {"at": "ratio (at)", "answer": "kind of answer", "r": "radius (r)", "end": "low or high"}


def check_name(requirement: Requirement, kind: str, folder: Path) -> None:
    """Checks that a kind of run has a quantity.

    Raises:
        InputError: it has not; the message names the nearest, or the command that makes it.
    """
    name = requirement.quantity
    if name in KINDS[kind]:
        return
    makers = [COMMANDS[other] for other in KINDS if name in KINDS[other]]
    if makers:
        raise InputError(
            f"'{requirement}': {folder} was written by {COMMANDS[kind]} and has no {name}: give a "
            f"folder of {' or '.join(makers)}, or one of {', '.join(KINDS[kind])}"
        )
    everywhere = [each for names in KINDS.values() for each in names]
    nearest = difflib.get_close_matches(name, [*KINDS[kind], *everywhere], 1, 0.5)
    hint = f"the nearest is {nearest[0]}; " if nearest else ""
    raise InputError(
        f"'{requirement}': the quantity {name} is unknown: {hint}{folder} has "
        f"{', '.join(KINDS[kind])}"
    )


def check_words(requirement: Requirement, *allowed: str) -> None:
    """Checks that a requirement has only qualifiers that its quantity takes.

    Args:
        allowed: names of fields of :class:`Requirement`.

    Raises:
        InputError: it has another one.
    """
    for name in _QUALIFIERS:
        value = getattr(requirement, name)
        if name not in allowed and value not in ("", None):
            raise InputError(
                f"'{requirement}': {requirement.quantity} of this run takes no "
                f"{_WORDS.get(name, name)}: leave '{value}' out"
            )


def check_direction(requirement: Requirement, darker: bool) -> None:
    """Checks that a limit of a size excludes weaker detectors, not better ones.

    Args:
        darker: whether the size is a ratio below 1, which falls with the strength of the change.

    Raises:
        InputError: every weaker detector would hold the requirement.
    """
    if darker == requirement.is_upper_limit:
        write = ">=" if darker else "<="
        what = "a smaller ratio" if darker else "a larger one"
        raise InputError(
            f"'{requirement}': {what} is a stronger change, so that only weaker detectors would "
            f"hold this: write {write}"
        )
