"""Recognises a collapsed network: one that gives the same answer to every image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

LEAST_SPREAD = 0.01  # answers with a smaller spread than this share of the truths' are constant
COLLAPSED = "collapsed: constant answer"


def relative_spread(predicted: np.ndarray, true: np.ndarray) -> float:
    """(N, 2), (N, 2) centres as fractions of width and height -> spread of the predicted ones.

    The spread of centres is the square root of the sum of the variances of x and y. It is given as
    a share of the spread of the true centres: 0 for a constant answer, about 1 for right ones, NaN
    if the true centres are all the same.

    >>> true = np.array([[0.2, 0.5], [0.8, 0.5]])
    >>> round(relative_spread(true / 2, true), 6), relative_spread(0 * true, true)
    (0.5, 0.0)
    """
    spreads = [
        math.sqrt(np.asarray(centres, float).var(axis=0).sum()) if len(centres) else math.nan
        for centres in (predicted, true)
    ]
    return spreads[0] / spreads[1] if spreads[1] > 0 else math.nan


def is_constant(spread: float) -> bool:
    """Whether answers of a :func:`relative_spread` are nearly the same; False for NaN."""
    return spread < LEAST_SPREAD


def constant_since(history: Sequence[Mapping[str, float]], chosen: int) -> int | None:
    """Epochs of a training -> the first of those up to ``chosen`` that were constant in a row.

    Args:
        history: rows with ``epoch`` and ``val_spread``, in order.
        chosen: the epoch whose weights are kept.

    Returns:
        The epoch; None if the answers of the chosen one are not constant.
    """
    first = None
    for row in history:
        if row["epoch"] > chosen:
            break
        if not is_constant(row.get("val_spread", math.nan)):
            first = None
        elif first is None:
            first = int(row["epoch"])
    return first
