"""The predictions that location scores are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd


def location_rows(
    predictions: pd.DataFrame, methods: Mapping[str, Mapping[str, Any]]
) -> pd.DataFrame:
    """Predictions -> those of images with a known place, by the methods that give places.

    Args:
        methods: the record's entry of each method; its ``gives`` may be missing in older records.
    """
    without = [name for name, entry in methods.items() if not gives_place(entry)]
    rows = predictions["r"].notna() & ~predictions["method"].isin(without)
    return predictions if rows.all() else predictions[rows].reset_index(drop=True)


def gives_place(entry: Mapping[str, Any]) -> bool:
    """Whether a method gives places, by its entry in a record."""
    gives = entry.get("gives")
    return gives is None or "place" in gives
