"""The requirements of a gate: expressions such as ``a90/95 brighter <= 1.10``."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from decimal import Decimal

from localize.sharpness.trial_calls import ANSWERS
from synth.errors import InputError
from synth.number_kinds import NUMBER, shorten

GRAMMAR = (
    "QUANTITY [at RATIO] [place|detected|called] [brighter|darker|both] [r RADIUS] [low|high] "
    "COMPARISON NUMBER, with COMPARISON one of <=, >=, <, >, as in 'a90/95 brighter <= 1.10'"
)
SIDES = ("brighter", "darker", "both")
PLACE, DETECTED = "place", "detected"
LOW, HIGH = "low", "high"
COMPARISONS = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
_SPELLINGS = {"≤": "<=", "≥": ">=", "lower": LOW, "upper": HIGH}
_WORDS = {
    **dict.fromkeys(SIDES, "side"),
    **dict.fromkeys(ANSWERS, "answer"),
    **dict.fromkeys((LOW, HIGH), "end"),
}
_NUMBERED = ("at", "r")
_NAME = re.compile(r"[a-z][a-z0-9_@/-]*")


@dataclass(frozen=True)
class Requirement:
    """A quantity, what part of the run it is measured on, and its limit.

    Args:
        quantity: its name, such as ``a90/95``, ``false-calls`` or a column of ``scores.csv``.
        comparison: one of COMPARISONS.
        limit: the number that the quantity is compared with, with its decimals as written.
        at: the ratio at which a hit rate is measured.
        answer: one of ANSWERS, what counts as a hit; "" for the default of the run.
        side: one of SIDES, or "".
        r: the radius in px of the regions that count; None for all.
        end: ``low`` or ``high`` if an end of the 95 % interval is compared, else "".
    """

    quantity: str
    comparison: str
    limit: Decimal
    at: Decimal | None = None
    answer: str = ""
    side: str = ""
    r: Decimal | None = None
    end: str = ""

    @property
    def subject(self) -> str:
        """The requirement without its limit: ``a90/95 brighter``."""
        at = "" if self.at is None else f"at {self.at}"
        r = "" if self.r is None else f"r {self.r}"
        words = (self.quantity, at, self.answer, self.side, r, self.end)
        return " ".join(word for word in words if word)

    def __str__(self) -> str:
        return f"{self.subject} {self.comparison} {self.limit}"

    @property
    def is_upper_limit(self) -> bool:
        """Whether smaller values of the quantity hold."""
        return self.comparison.startswith("<")


def parse(text: str) -> Requirement:
    """An expression -> the requirement; ``str`` of the requirement gives the expression.

    >>> str(parse("false-calls  upper ≤ 2%"))
    'false-calls high <= 0.02'

    Raises:
        InputError: the expression has another form; the message shows the grammar.
    """
    parts = re.split(r"(<=|>=|<|>|≤|≥)", text)
    if len(parts) != 3:
        count = "no comparison" if len(parts) == 1 else "two comparisons"
        raise _fault(text, f"it has {count}")
    subject, comparison, number = parts
    quantity, *words = [_SPELLINGS.get(word, word) for word in subject.casefold().split()] or [""]
    if not _NAME.fullmatch(quantity) or quantity in (*SIDES, LOW, HIGH, *_NUMBERED):
        raise _fault(text, f"it begins with '{shorten(quantity)}', which is no quantity")
    fields: dict[str, str] = {}
    numbers: dict[str, Decimal] = {}
    rest = iter(words)
    for word in rest:
        name = _WORDS.get(word, word)
        if name in fields or name in numbers:
            raise _fault(text, f"'{word}' is the second word for the {name}")
        if word in _NUMBERED:
            numbers[word] = _number(text, next(rest, ""))
        elif word in _WORDS:
            fields[name] = word
        else:
            raise _fault(text, f"'{shorten(word)}' is unknown")
    limit = _number(text, number)
    return Requirement(
        quantity, _SPELLINGS.get(comparison, comparison), limit,
        at=numbers.get("at"), r=numbers.get("r"), **fields,
    )  # fmt: skip


def _number(text: str, word: str) -> Decimal:
    """A number, or a percentage as the share."""
    word = word.strip()
    digits = word.removesuffix("%").rstrip()
    if not NUMBER.fullmatch(digits) or not math.isfinite(float(digits)):
        raise _fault(text, f"'{shorten(word)}' is no number")
    value = Decimal(digits)
    return value / 100 if word.endswith("%") else value


def _fault(text: str, reason: str) -> InputError:
    return InputError(f"the requirement '{shorten(text)}' is malformed, {reason}: write {GRAMMAR}")
