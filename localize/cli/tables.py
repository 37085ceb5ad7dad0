"""Tables of scores on the terminal."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from rich.table import Table

from localize.evaluation.results import Comparison
from localize.names import plain
from synth import console

# Heading -> column of scores.csv.
CALLS = {"detected": "detected", "called": "called", "false calls": "false_calls"}


def print_scores(result: Comparison, requested_split: str | None) -> None:
    """Print the scores, those with the weights of the last epoch, and the output paths."""
    split = result.scores["split"].iloc[0]
    fallback = " (there is no test split)" if requested_split is None and split == "val" else ""
    counts = _count_text(result.scores)
    table = Table(title=f"{counts}, split {split}{fallback}; 95 % intervals over photos")
    has_places = result.scores["n"].max() > 0
    has_auroc = result.scores["image_auroc"].notna().any()
    has_note = result.scores["note"].ne("").any()
    has_seeds = len(result.seeds) > 0
    last = dict(zip(result.last["method"], result.last["mean_distance"], strict=True))

    def location(row: dict[Any, Any]) -> list[str]:
        return [
            format_interval(row, "mean_distance", ".0f"),
            *([_deviation(row)] if has_seeds else []),
            format_interval(row, "normalised_distance", ".3f"),
            _number(row["median_distance"], ".1f"),
            _number(row["hit@5"], ".2f"),
            _number(row["hit@r"], ".2f"),
            f"{_number(last[row['method']], '.0f')} px" if row["method"] in last else "",
        ]

    headings = ["normalised", "median px", "hit@5", "hit@r", "last epoch"]
    before = ["mean px", *(["SD over seeds"] if has_seeds else [])]
    has_calls = len(result.false_calls) > 0
    optional = (("AUROC", has_auroc), *((n, has_calls) for n in CALLS), ("note", has_note))
    after = [name for name, shown in optional if shown]
    for heading in ("method", *([*before, *headings] if has_places else []), *after):
        left = heading in ("method", "note")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in result.scores.to_dict("records"):
        table.add_row(
            plain(row["method"]),
            *(location(row) if has_places else []),
            *([format_interval(row, "image_auroc", ".2f")] if has_auroc else []),
            *(format_interval(row, name, ".2f") for name in CALLS.values() if has_calls),
            *([row["note"]] if has_note else []),
        )
    console.print_table(table)
    if len(result.last) and has_places:
        print(
            "last epoch: mean distance with the last epoch's weights; other columns: best epoch's"
        )
    if has_seeds and has_places:
        print("SD over seeds: standard deviation of mean px; each seed is in seeds.csv")
    if has_auroc:
        print("AUROC: of the score, images with an anomaly against clean ones; more in scores.csv")
    if has_calls:
        print_calls(result.false_calls)
    if len(result.errors):
        print(f"{len(result.errors)} answers are missing: see {result.folder / 'errors.csv'}")
    print(f"tables and figures are in {result.folder}")
    print(f"report: {result.folder / 'report.html'}")


def _count_text(scores: pd.DataFrame) -> str:
    """The number of images with an anomaly; with those of them whose place is not known."""
    n = int(scores["n"].iloc[0])
    known = scores["n_anomalous"].notna().any()  # older results lack the column
    unplaced = int((scores["n_anomalous"] - scores["n"]).max()) if known else 0
    if not unplaced:
        return f"{n} images"
    return (
        f"{n} images with a place and {unplaced} without"
        if n
        else f"{unplaced} images without a place"
    )


def print_calls(false_calls: pd.DataFrame) -> None:
    """Print the table of false calls, and what is wanted."""
    wanted = false_calls["wanted"].iloc[0]
    table = Table(title=f"false calls; the wanted rate is at most {wanted:g}")
    for heading in ("method", "threshold", "false calls", "rate"):
        left = heading == "method"
        table.add_column(heading, justify="left" if left else "right", no_wrap=left)
    for row in false_calls.to_dict("records"):
        seed = "" if pd.isna(row.get("seed")) else f" seed {row['seed']:.0f}"
        if row["reason"]:
            table.add_row(plain(row["method"]) + seed, "–", "–", row["reason"])
            continue
        table.add_row(
            plain(row["method"]) + seed, f"{row['threshold']:.4g}",
            f"{row['false_calls']:.0f} of {row['clean']:.0f}",
            f"{row['rate']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
        )  # fmt: skip
    console.print_table(table)
    console.print_line(
        "false calls: clean pictures whose score reaches the threshold of other photos' clean "
        "pictures; detected: the right place and a call; called: a call, at any place"
    )


def _number(value: float, form: str) -> str:
    """A number, with an exponent if it is large; a dash for NaN."""
    if math.isnan(value):
        return "–"
    return f"{value:{form}}" if abs(value) < 1e6 else f"{value:.2g}"


def _deviation(row: dict[Any, Any]) -> str:
    """The standard deviation over the seeds of a method and their number; "" for one seed."""
    if pd.isna(row["seeds"]):
        return ""
    return f"{_number(row['mean_distance_sd'], '.1f')} px ({row['seeds']:.0f} seeds)"


def format_interval(row: dict[Any, Any], column: str, form: str) -> str:
    """A value of a row and, in brackets, its interval in the columns _low and _high."""
    value, low, high = (_number(row[f"{column}{end}"], form) for end in ("", "_low", "_high"))
    return value if low == high == "–" else f"{value} [{low}, {high}]"
