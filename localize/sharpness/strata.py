"""Parts of the trials that get a threshold of their own: by radius, texture, brightness, codec."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

Labels = dict[str, pd.Series]  # level -> which trials are of it
THIRDS = {"texture": ("smooth", "medium", "busy"), "brightness": ("dark", "medium", "bright")}


@dataclass(frozen=True)
class Part:
    """A cut's name, its level, and (N,) bool: which trials."""

    cut: str
    level: str
    of: np.ndarray


def parts(trials: pd.DataFrame) -> Iterator[Part]:
    """All trials first, then every cut that parts them in two or more."""
    yield Part("all", "", np.ones(len(trials), bool))
    for cut, label in _CUTS.items():
        labels = label(trials)
        levels = [level for level, of in labels.items() if of.any()]
        for level in levels if len(levels) > 1 else []:
            yield Part(cut, level, labels[level].to_numpy())


def _by_value(column: str, unit: str) -> Callable[[pd.DataFrame], Labels]:
    def labels(trials: pd.DataFrame) -> Labels:
        values = sorted(trials[column].dropna().unique())
        return {f"{value:g}{unit}": trials[column] == value for value in values}

    return labels


def _by_third(column: str) -> Callable[[pd.DataFrame], Labels]:
    """Thirds of the pictures, each picture counted once."""

    def labels(trials: pd.DataFrame) -> Labels:
        once = trials.drop_duplicates(["photo", "x", "y", "r"])[column].dropna()
        if once.nunique() < 3:
            return {}
        low, high = (float(f"{edge:.2g}") for edge in np.quantile(once, [1 / 3, 2 / 3]))
        names = THIRDS[column]
        values = trials[column]
        return {
            f"{names[0]} (below {low:g})": values < low,
            f"{names[1]} ({low:g} to {high:g})": (values >= low) & (values <= high),
            f"{names[2]} (above {high:g})": values > high,
        }

    return labels


def _by_codec(trials: pd.DataFrame) -> Labels:
    """Codec and rounding. A PNG keeps the gaps that ``nearest`` leaves in the histogram."""
    known = trials[["codec", "quality", "rounding"]].drop_duplicates().dropna(subset="codec")
    labels: Labels = {}
    for codec, quality, rounding in sorted(known.itertuples(index=False), key=str):
        of = (trials["codec"] == codec) & (trials["rounding"] == rounding)
        name = "PNG"
        if codec == "jpeg":
            of &= trials["quality"] == quality
            name = f"JPEG {quality:g}"
        leak = " (histogram gaps)" if codec == "png" and rounding != "stochastic" else ""
        labels[f"{name}, {rounding}{leak}"] = of
    return labels


_CUTS: dict[str, Callable[[pd.DataFrame], Labels]] = {
    "radius": _by_value("r", " px"),
    "texture": _by_third("texture"),
    "brightness": _by_third("brightness"),
    "codec": _by_codec,
    "feather": _by_value("feather", " px"),
}
