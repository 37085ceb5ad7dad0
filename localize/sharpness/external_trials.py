"""Reads external trials, of people or other programs, from CSV files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from localize.evaluation import metrics
from localize.names import plain
from localize.sharpness.design import Design
from localize.sharpness.runner import TRIALS
from synth import coordinate_units as units
from synth import number_kinds, tables
from synth.errors import InputError
from synth.paths import path_of

PLACES = ("x", "y", "x_pred", "y_pred")
NUMBERS = {
    **dict.fromkeys((*PLACES, "r_pred"), number_kinds.PIXELS),
    **dict.fromkeys(("width", "height", "distance", "feather"), number_kinds.SIZE),
    **dict.fromkeys(("r", "discolor_ratio"), replace(number_kinds.POSITIVE, empty=False)),
    **dict.fromkeys(
        ("hit", "seconds", "quality", "brightness", "texture", "ratio_pred"), number_kinds.FINITE
    ),
    "score": number_kinds.INFINITE,
}
INTEGERS = {"width", "height", "quality"}
TEXTS = tuple(name for name in TRIALS if name not in NUMBERS)


def read(path: str | Path, design: Design, taken: Collection[str] = ()) -> pd.DataFrame:
    """A CSV file of trials -> rows as in ``trials.csv``.

    The file needs the columns ``r`` and ``discolor_ratio``, ``photo`` or ``file_name``, and
    either ``x, y, x_pred, y_pred``, or ``distance``, or ``hit``. Where the distance is known,
    hits are computed by the rule of the design, as for all other methods. The column
    ``method`` defaults to the file's name.

    Args:
        taken: names of other methods.

    Raises:
        InputError: the file cannot be read, a column is missing, or a method's name is taken.
    """
    path = path_of(path)
    cells = tables.read(path, known=(*NUMBERS, *TEXTS, "file_name"))
    columns = set(cells.columns)
    photo = next((name for name in ("photo", "file_name") if name in columns), None)
    for name, present in (
        ("r", "r" in columns),
        ("discolor_ratio", "discolor_ratio" in columns),
        ("photo or file_name", photo is not None),
        (
            "x, y, x_pred, y_pred (or distance, or hit)",
            set(PLACES) <= columns or "distance" in columns or "hit" in columns,
        ),
        ("row", len(cells) > 0),
    ):
        if not present:
            raise InputError(f"{path} has no {name}: trials need it")
    table = cells.frame(NUMBERS, TEXTS)
    table[list(TEXTS)] = table[list(TEXTS)].replace("", np.nan)
    for name in INTEGERS & columns:
        if (table[name] % 1 == 0).all():
            table[name] = table[name].astype(int)
    if set(PLACES) <= columns:
        x, y = ([*table[one], *table[other]] for one, other in (("x", "x_pred"), ("y", "y_pred")))
        units.refuse_fractions(path, x, y, advice="give px")
    table["photo"] = cells.column(photo or "photo")
    table["method"] = table["method"].fillna(path.stem).map(plain)
    for name in set(table["method"]) & set(taken):
        raise InputError(f"{path}: another method is called '{name}': rename one")
    table["side"] = np.select(
        [table["discolor_ratio"] > 1, table["discolor_ratio"] < 1],
        ["brighter", "darker"],
        "none",
    )
    table = _add_hits(table, design)
    if "trial" not in columns:
        table["trial"] = range(len(table))
    return table.reindex(columns=list(TRIALS))


def _add_hits(table: pd.DataFrame, design: Design) -> pd.DataFrame:
    """Computes the columns distance and hit where the file allows it."""
    if set(PLACES) <= set(table):
        table[["x_pred", "y_pred"]] = metrics.finite_places(table[["x_pred", "y_pred"]].to_numpy())
        table["distance"] = metrics.distance(
            table[["x_pred", "y_pred"]].to_numpy(), table[["x", "y"]].to_numpy()
        )
    if "distance" in table:
        hits = design.is_hit(table["distance"].to_numpy(float), table["r"].to_numpy(float))
        table["hit"] = hits.astype(int)
    else:
        table["hit"] = (table["hit"].fillna(0) > 0).astype(int)
    return table
