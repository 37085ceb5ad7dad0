"""Numbers as people read them: as exact as their interval, minus signs, no NaN."""

from __future__ import annotations

import math

from localize.evaluation.detection import Estimate

DASH = "–"


def number(value: float | None, digits: int = 1) -> str:
    """A number with so many decimals; a dash where there is none.

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
    """Pixels in a sentence: two digits that mean something.

    >>> px(0.116), px(3.14), px(20.35), px(-117.2)
    ('0.1', '3.1', '20', '−117')
    """
    small = value is not None and abs(value) < 9.95
    return number(value, 1 if small else 0)


def percent(share: float | None, digits: int = 0) -> str:
    """A share as per cent.

    >>> percent(0.867), percent(float("nan"))
    ('87\\xa0%', '–')
    """
    text = number(None if share is None else 100 * share, digits)
    return text if text == DASH else f"{text}\u00a0%"


def interval(low: float, high: float, digits: int = 1, scale: float = 1.0) -> str:
    """An interval in brackets; empty where there is none.

    >>> interval(-2.0, 3.14159), interval(float("nan"), 1.0)
    ('[−2.0, 3.1]', '')
    """
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number(scale * low, digits)}, {number(scale * high, digits)}]"


def spoken(estimate: Estimate, unit: str = "px") -> str:
    """An estimate in a sentence, with its interval: pixels, or a share in ``%``.

    >>> spoken(Estimate(20.3, 0.11, 45.9)), spoken(Estimate(0.5, 0.4, 0.6), "%")
    ('20\\xa0px [0.1, 46]', '50\\xa0% [40, 60]')
    """
    show = (lambda value: number(100 * value, 0)) if unit == "%" else px
    text = f"{show(estimate.value)}\u00a0{unit}"
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return text
    return f"{text} [{show(estimate.low)}, {show(estimate.high)}]"


def listed(names: list[str]) -> str:
    """Names in a sentence.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
