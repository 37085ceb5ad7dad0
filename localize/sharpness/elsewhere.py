"""Trials made elsewhere, by people or other programs: CSV files, each one method more."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from localize import metrics
from localize.names import plain
from localize.sharpness.asking import TRIALS
from localize.sharpness.design import Design
from synth.errors import InputError
from synth.paths import path_of

PLACES = ("x", "y", "x_pred", "y_pred")
NUMBERS = (
    *PLACES, "r", "discolor_ratio", "distance", "hit", "seconds", "width", "height", "quality",
    "feather", "brightness", "texture", "r_pred", "ratio_pred", "score",
)  # fmt: skip


def read(path: str | Path, design: Design, taken: Collection[str] = ()) -> pd.DataFrame:
    """A CSV of trials -> rows as in ``trials.csv``.

    It needs ``r`` and ``discolor_ratio``, a ``photo`` or ``file_name``, and either ``x, y, x_pred,
    y_pred``, or ``distance``, or ``hit``. Where distances can be known the run's own rule says
    what a hit is, so that all methods are judged alike. Without ``method`` it is the file's name.

    Raises:
        InputError: it cannot be read, a column is missing, or a method's name is taken.
    """
    path = path_of(path)
    try:
        table = pd.read_csv(path, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"no trials at {path}: check the path") from None
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{path} is no CSV of trials: {error}") from None
    photo = next((name for name in ("photo", "file_name") if name in table), None)
    for name, there in (
        ("r", "r" in table),
        ("discolor_ratio", "discolor_ratio" in table),
        ("photo or file_name", photo is not None),
        (
            "x, y, x_pred, y_pred (or distance, or hit)",
            set(PLACES) <= set(table) or "distance" in table or "hit" in table,
        ),
        ("row", len(table) > 0),
    ):
        if not there:
            raise InputError(f"{path} has no {name}: trials need it")
    for name in set(NUMBERS) & set(table):
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = numbers.isna() & table[name].notna()
        if wrong.any():
            line = int(np.flatnonzero(wrong)[0]) + 2
            raise InputError(f"{path}, line {line}: {name} is no number")
        table[name] = numbers
    for name in ("r", "discolor_ratio"):
        wrong = ~(table[name] > 0) | ~np.isfinite(table[name])
        if wrong.any():
            line = int(np.flatnonzero(wrong)[0]) + 2
            raise InputError(f"{path}, line {line}: {name} must be a number above 0")
    table["photo"] = table[photo].astype(str)
    table["method"] = table["method"].fillna(path.stem) if "method" in table else path.stem
    table["method"] = table["method"].astype(str).map(plain)
    for name in set(table["method"]) & set(taken):
        raise InputError(f"{path}: another method is called '{name}': rename one")
    table["side"] = np.select(
        [table["discolor_ratio"] > 1, table["discolor_ratio"] < 1],
        ["brighter", "darker"],
        "none",
    )
    table = _judged(table, design)
    if "trial" not in table:
        table["trial"] = range(len(table))
    return table.reindex(columns=list(TRIALS))


def _judged(table: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Fill in distance and hit."""
    if set(PLACES) <= set(table):
        table[["x_pred", "y_pred"]] = metrics.places(table[["x_pred", "y_pred"]].to_numpy())
        table["distance"] = metrics.distance(
            table[["x_pred", "y_pred"]].to_numpy(), table[["x", "y"]].to_numpy()
        )
    if "distance" in table:
        hits = design.is_hit(table["distance"].to_numpy(float), table["r"].to_numpy(float))
        table["hit"] = hits.astype(int)
    else:
        table["hit"] = (table["hit"].fillna(0) > 0).astype(int)
    return table
