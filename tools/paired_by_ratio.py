"""Prints how many more regions methods find than another one, in bins of |log ratio|.

Usage: ``python -m tools.paired_by_ratio COMPARISON --against METHOD [--within r]``

COMPARISON is a folder that ``localize compare`` or ``evaluate`` wrote. Differences are in
percentage points on the same images, with 95 % bootstrap intervals over photos. The answers of
several seeds to an image are averaged.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from localize.evaluation.by_ratio import bin_of, log_ratio_sizes, lowest_of_bins
from localize.evaluation.metrics import bootstrap


def hit_table(predictions: pd.DataFrame, within: str) -> pd.DataFrame:
    """Predictions -> the share of hits, one row per image and one column per method.

    Args:
        within: "r" for answers inside the region, else the largest distance in px.
    """
    limit = predictions["r"] if within == "r" else float(within)
    hits = predictions.assign(hit=(predictions["distance"] <= limit).astype(float))
    return hits.pivot_table(index="file_name", columns="method", values="hit", aggfunc="mean")


def rows(predictions: pd.DataFrame, against: str, within: str) -> Iterator[str]:
    """The lines of the table, in Markdown."""
    hits = hit_table(predictions, within)
    images = predictions.drop_duplicates("file_name").set_index("file_name").loc[hits.index]
    sizes = log_ratio_sizes(images["discolor_ratio"])
    lowest = lowest_of_bins(sizes[sizes > 0])
    others = [name for name in hits if name != against]
    yield f"| ratio | images | `{against}` | " + " | ".join(f"`{name}`" for name in others) + " |"
    yield "|---" * (3 + len(others)) + "|"
    bins = bin_of(sizes, lowest)
    for number in range(len(lowest)):
        inside = bins == number
        own, photos = hits[inside], images.loc[inside, "photo"].tolist()
        cells = [f"{np.exp(s):.3g}" for s in (sizes[inside].min(), sizes[inside].max())]
        line = [" to ".join(cells), str(inside.sum()), f"{100 * own[against].mean():.0f} %"]
        for name in others:
            difference = 100 * (own[name] - own[against]).to_numpy()
            low, high = bootstrap(difference, photos)
            line.append(f"{difference.mean():+.0f} [{low:.0f}, {high:.0f}]")
        yield "| " + " | ".join(line) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("comparison", type=Path)
    parser.add_argument("--against", required=True, help="the method that others are compared with")
    parser.add_argument("--within", default="r", help="largest distance of a hit: px, or r [r]")
    arguments = parser.parse_args()
    predictions = pd.read_csv(arguments.comparison / "predictions.csv")
    print("\n".join(rows(predictions, arguments.against, arguments.within)))


if __name__ == "__main__":
    main()
