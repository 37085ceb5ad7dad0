"""Reads the scores of methods from a result folder, in the form that the play page needs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from localize.evaluation import metrics, tables
from localize.evaluation.location import location_rows
from localize.report import figures, plots
from localize.report.sharpness_summary import NUMBERS
from synth.errors import InputError
from synth.number_kinds import DISTANCE, POSITIVE, SHARE, SIZE

BINS = 5  # of a comparison's ratios, per side
SIDES = ("brighter", "darker")
RATES = {"discolor_ratio": POSITIVE, "r": SIZE, "hit_rate": SHARE}
PREDICTIONS = {"r": SIZE, "discolor_ratio": POSITIVE, "distance": DISTANCE}


def read(folder: Path) -> dict[str, Any]:
    """A folder of ``localize sharpness`` or of a comparison -> scores in JSON types.

    An entry of ``methods`` has name, colour and for each side ``threshold`` (ratio and 95 %
    interval, or None) and ``rates`` (pairs of ratio and hit rate). For a comparison it also has
    ``overall`` (hit rate and interval), and ``ratios`` has quantiles of the dataset's ratios for
    each side.

    Raises:
        InputError: the folder has no scores, or a table lacks a column.
    """
    if (folder / "thresholds.csv").is_file():
        return _read_sharpness(folder)
    if (folder / "scores.csv").is_file():
        return _read_comparison(folder)
    raise InputError(
        f"{folder} holds no thresholds.csv and no scores.csv: "
        "give a folder that localize sharpness, evaluate or compare wrote"
    )


def _read_sharpness(folder: Path) -> dict[str, Any]:
    thresholds = tables.read(
        folder / "thresholds.csv",
        ("cut", "side", *NUMBERS),
        ("method", "cut", "side"),
        NUMBERS,
    )
    rates = tables.read(folder / "rates.csv", ("side", *RATES), ("method", "side"), RATES)
    thresholds = thresholds[thresholds["cut"] == "all"]
    rates = rates[rates["r"].isna()]
    methods: dict[str, dict[str, Any]] = {
        name: {side: {"threshold": None, "rates": []} for side in SIDES}
        for name in dict.fromkeys(thresholds["method"])
    }
    for row in thresholds.to_dict("records"):
        values = [float(row[f"threshold{end}"]) for end in ("", "_low", "_high")]
        if row["side"] in SIDES and np.isfinite(values).all():
            methods[row["method"]][row["side"]]["threshold"] = values
    for (name, side), rows in rates.groupby(["method", "side"], sort=False):
        if name in methods and side in SIDES:
            methods[str(name)][str(side)]["rates"] = _rounded_pairs(
                rows["discolor_ratio"], rows["hit_rate"]
            )
    return {"kind": "sharpness", "methods": _method_list(methods)}


def _read_comparison(folder: Path) -> dict[str, Any]:
    texts = ("method", "file_name")
    table = tables.read(folder / "predictions.csv", tuple(PREDICTIONS), texts, PREDICTIONS)
    record = folder / "comparison.json"
    entries = tables.read_record(record).get("methods") if record.is_file() else None
    table = location_rows(table, entries or {}).copy()
    table["hit"] = metrics.is_hit(table["distance"].to_numpy(), table["r"].to_numpy())
    methods: dict[str, dict[str, Any]] = {}
    for name, rows in table.groupby("method", sort=False):
        hits = rows["hit"].to_numpy(float)
        low, high = metrics.bootstrap(hits, rows["file_name"].tolist())
        interval = [low, high] if np.isfinite([low, high]).all() else [hits.mean()] * 2
        methods[str(name)] = {
            "overall": [float(hits.mean()), *map(float, interval)],
            **{
                side: {"threshold": None, "rates": _bin_rates(_on_side(rows, side))}
                for side in SIDES
            },
        }
    images = table.drop_duplicates("file_name")
    ratios = {side: _ratio_quantiles(_on_side(images, side)["discolor_ratio"]) for side in SIDES}
    return {"kind": "comparison", "methods": _method_list(methods), "ratios": ratios}


def _on_side(rows: pd.DataFrame, side: str) -> pd.DataFrame:
    ratio = rows["discolor_ratio"]
    return rows[ratio > 1 if side == "brighter" else ratio < 1]


def _bin_rates(rows: pd.DataFrame) -> list[list[float]]:
    """Images of one method and side -> mean ratio and hit rate of bins with equal counts."""
    rows = rows.sort_values("discolor_ratio")
    parts = np.array_split(np.arange(len(rows)), min(BINS, max(1, len(rows) // 8)))
    means = [rows.iloc[part][["discolor_ratio", "hit"]].astype(float).mean() for part in parts]
    return _rounded_pairs(*zip(*means, strict=True)) if len(rows) else []


def _ratio_quantiles(ratios: pd.Series[float]) -> list[float]:
    """Quantiles of the ratios, from 5 % to 95 %."""
    if not len(ratios):
        return []
    return [round(float(q), 4) for q in np.quantile(ratios, np.linspace(0.05, 0.95, 10))]


def _rounded_pairs(ratios: Iterable[float], rates: Iterable[float]) -> list[list[float]]:
    pairs = [
        [round(float(q), 5), round(float(rate), 5)] for q, rate in zip(ratios, rates, strict=True)
    ]
    return sorted(pair for pair in pairs if np.isfinite(pair).all())


def _method_list(methods: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    styles = plots.method_styles(list(methods))
    return [
        {"name": name, "colour": figures.theme_colour(styles[name][0]), **entry}
        for name, entry in methods.items()
    ]
