"""Formats numbers for the report: rounding, minus signs, a dash for NaN."""

from __future__ import annotations

import math

from localize.evaluation.detection import Estimate

DASH = "–"


def number(value: float | None, digits: int = 1) -> str:
    """A number with ``digits`` decimals; a dash for None and NaN.

    >>> number(-3.25), number(float("nan")), number(2.0, 0), number(-0.04)
    ('−3.2', '–', '2', '0.0')
    """
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "−")
    return text.removeprefix("−") if not text.strip("−0.") else text


def px(value: float | None) -> str:
    """Pixels in a sentence, with about two significant digits.

    >>> px(0.116), px(3.14), px(20.35), px(-117.2)
    ('0.1', '3.1', '20', '−117')
    """
    small = value is not None and abs(value) < 9.95
    return number(value, 1 if small else 0)


def percent(share: float | None, digits: int = 0) -> str:
    """A share as a percentage.

    >>> percent(0.867), percent(float("nan"))
    ('87\\xa0%', '–')
    """
    text = number(None if share is None else 100 * share, digits)
    return text if text == DASH else f"{text}\u00a0%"


def interval(low: float, high: float, digits: int = 1, scale: float = 1.0) -> str:
    """An interval in brackets; empty if there is none.

    >>> interval(-2.0, 3.14159), interval(float("nan"), 1.0)
    ('[−2.0, 3.1]', '')
    """
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number(scale * low, digits)}, {number(scale * high, digits)}]"


def estimate_text(estimate: Estimate, unit: str = "px") -> str:
    """A value and its interval in a sentence.

    Args:
        unit: ``px``, or ``%`` for a share.

    >>> estimate_text(Estimate(20.3, 0.11, 45.9)), estimate_text(Estimate(0.5, 0.4, 0.6), "%")
    ('20\\xa0px [0.1, 46]', '50\\xa0% [40, 60]')
    """
    format_value = (lambda value: number(100 * value, 0)) if unit == "%" else px
    text = f"{format_value(estimate.value)}\u00a0{unit}"
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return text
    return f"{text} [{format_value(estimate.low)}, {format_value(estimate.high)}]"


def enumerate_names(names: list[str]) -> str:
    """Names as an enumeration.

    >>> enumerate_names(["a"]), enumerate_names(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
