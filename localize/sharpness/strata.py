"""Strata: groups of trials by radius, texture, brightness, codec or feather."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

Masks = dict[str, pd.Series]  # level -> which trials belong to it
LEVEL_NAMES = {"texture": ("smooth", "medium", "busy"), "brightness": ("dark", "medium", "bright")}


@dataclass(frozen=True)
class Stratum:
    """A group of trials.

    Args:
        variable: the column ``cut`` of ``thresholds.csv``: what the trials are grouped by.
        level: the group's value.
        mask: (N,) bool, which trials belong to the group.
    """

    variable: str
    level: str
    mask: np.ndarray


def all_strata(trials: pd.DataFrame) -> Iterator[Stratum]:
    """All trials together, then the strata of every variable with two levels or more."""
    yield Stratum("all", "", np.ones(len(trials), bool))
    for variable, group in _GROUPINGS.items():
        masks = group(trials)
        levels = [level for level, mask in masks.items() if mask.any()]
        for level in levels if len(levels) > 1 else []:
            yield Stratum(variable, level, masks[level].to_numpy())


def _by_value(column: str, unit: str) -> Callable[[pd.DataFrame], Masks]:
    def group(trials: pd.DataFrame) -> Masks:
        values = sorted(trials[column].dropna().unique())
        return {f"{value:g}{unit}": trials[column] == value for value in values}

    return group


def _by_third(column: str) -> Callable[[pd.DataFrame], Masks]:
    """Groups trials at the terciles of a column, in which every region counts once."""

    def group(trials: pd.DataFrame) -> Masks:
        regions = trials.drop_duplicates(["photo", "x", "y", "r"])[column].dropna()
        if regions.nunique() < 3:
            return {}
        low, high = (float(f"{edge:.2g}") for edge in np.quantile(regions, [1 / 3, 2 / 3]))
        names = LEVEL_NAMES[column]
        values = trials[column]
        return {
            f"{names[0]} (below {low:g})": values < low,
            f"{names[1]} ({low:g} to {high:g})": (values >= low) & (values <= high),
            f"{names[2]} (above {high:g})": values > high,
        }

    return group


def _by_codec(trials: pd.DataFrame) -> Masks:
    """Groups trials by codec and rounding; PNG keeps the rounding gaps of ``nearest``."""
    kinds = trials[["codec", "quality", "rounding"]].drop_duplicates().dropna(subset="codec")
    masks: Masks = {}
    for codec, quality, rounding in sorted(kinds.itertuples(index=False), key=str):
        mask = (trials["codec"] == codec) & (trials["rounding"] == rounding)
        name = "PNG"
        if codec == "jpeg":
            mask &= trials["quality"] == quality
            name = f"JPEG {quality:g}"
        gaps = " (rounding gaps)" if codec == "png" and rounding != "stochastic" else ""
        masks[f"{name}, {rounding}{gaps}"] = mask
    return masks


_GROUPINGS: dict[str, Callable[[pd.DataFrame], Masks]] = {
    "radius": _by_value("r", " px"),
    "texture": _by_third("texture"),
    "brightness": _by_third("brightness"),
    "codec": _by_codec,
    "feather": _by_value("feather", " px"),
}
