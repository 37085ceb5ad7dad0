"""The result of one check: an estimate, its limit and the verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from localize.gate.estimate import Estimate
from localize.gate.requirement import COMPARISONS, Requirement

MAX_DECIMALS = 12
LARGE = 1e6  # from here on, numbers are written with an exponent


@dataclass(frozen=True)
class Result:
    """The result of one check.

    Args:
        name: the check: an expression, or what is compared with the baseline.
        subject: what the tested number is: ``a90/95 brighter``.
        end: ``low`` or ``high`` if an end of the interval is tested, else "".
        comparison: one of COMPARISONS.
        method: the method that is checked.
    """

    name: str
    subject: str
    end: str
    comparison: str
    limit: Decimal
    method: str
    estimate: Estimate

    def __str__(self) -> str:
        return self.line

    @property
    def tested(self) -> float:
        """The number that is compared with the limit: the value, or an end of its interval."""
        value: float = getattr(self.estimate, self.end or "value")
        return value

    @property
    def passed(self) -> bool:
        """Whether there is a finite number, and it is within the limit."""
        holds = COMPARISONS[self.comparison](self.tested, float(self.limit))
        return math.isfinite(self.tested) and bool(holds)

    @property
    def reason(self) -> str:
        """Why the check fails, or ""."""
        if self.passed:
            return ""
        if math.isfinite(self.tested):
            text = number(self.tested, self.comparison, self.limit)
            return f"{text} is not {self.comparison} {self.limit}"
        if self.estimate.reason:
            return self.estimate.reason
        if self.end:
            what = "infinite" if math.isinf(self.tested) else "missing"
            return f"the {self.end} end of the 95 % interval is {what}"
        return "there is no number"

    @property
    def line(self) -> str:
        """The verdict as one line."""
        verdict = "pass" if self.passed else "FAIL"
        estimate = self.estimate
        facts = [self.method, estimate.answer, estimate.basis, interval(estimate, bool(self.end))]
        within = f"({', '.join(fact for fact in facts if fact)})"
        if not math.isfinite(self.tested):
            return f"{verdict}  {self.name}: {self.reason}  {within}"
        text = number(self.tested, self.comparison, self.limit)
        return f"{verdict}  {self.subject} {text} {self.comparison} {self.limit}  {within}"

    def to_json(self) -> dict[str, Any]:
        """All fields in JSON types; null where there is no finite number."""
        estimate = self.estimate
        ends = [_finite(estimate.low), _finite(estimate.high)]
        return {
            "requirement": self.name,
            "verdict": "pass" if self.passed else "fail",
            "method": self.method,
            "quantity": self.subject,
            "answer": estimate.answer or None,
            "value": _finite(estimate.value),
            "interval": None if ends == [None, None] else ends,
            "tested": _finite(self.tested),
            "comparison": self.comparison,
            "limit": float(self.limit),
            "basis": estimate.basis,
            "reason": self.reason,
            "notes": list(estimate.notes),
        }


def of_requirement(requirement: Requirement, method: str, estimate: Estimate) -> Result:
    """A requirement and the estimate of its quantity -> the result."""
    return Result(
        str(requirement), requirement.subject, requirement.end, requirement.comparison,
        requirement.limit, method, estimate,
    )  # fmt: skip


def number(value: float, comparison: str, limit: Decimal) -> str:
    """A number with as many decimals as show on which side of the limit it lies.

    >>> number(1.0822, "<=", Decimal("1.10")), number(1.10001, "<=", Decimal("1.10"))
    ('1.082', '1.10001')
    >>> number(1.86e18, "<=", Decimal("1.10"))
    '1.86e+18'
    """
    holds = COMPARISONS[comparison]
    if abs(value) >= LARGE > abs(limit):
        return f"{value:.3g}"
    for decimals in range(0 if abs(value) >= 1000 else 3, MAX_DECIMALS):
        text = f"{value:.{decimals}f}"
        if holds(float(text), float(limit)) == holds(value, float(limit)):
            return text
    return repr(value)


def interval(estimate: Estimate, with_value: bool) -> str:
    """The 95 % interval in brackets, after the value if that is not shown elsewhere."""
    if math.isnan(estimate.low) and math.isnan(estimate.high):
        return ""
    ends = f"[{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{estimate.value:.3f} {ends}" if with_value else f"95 % interval {ends}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
