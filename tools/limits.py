"""Measures the evidence at missed regions: python -m tools.limits SET [--every N] [--out FIGURE]

The map of a told method is in nats. Added: the logit of the true place in the image minus that in
the clean twin. Needed: the logit of the best other place in the image minus that of the true place
in the clean twin. A region is found if more is added than needed. Two methods are compared, one
that is trained and one that is not.
"""

from __future__ import annotations

import argparse
import functools
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from localize import registry
from localize.data.folder import Folder
from localize.localizer import Localizer, Told
from localize.report import plots, style
from synth import console, folders

ROOT = Path(__file__).parents[1]
METHODS = ("ringvote-told", "prewhitened")
NEAR = 5.0  # px around the truth that count as found
SAME = 1.0  # nats by which the logit of an unchanged place may differ between image and twin


def measure(name: str, source: Folder, index: int) -> dict[str, float]:
    """A method and a row -> logits of the true place without and with the change, and of the best
    other place, in nats."""
    method, sample = _load_method(name), source[index]
    truth = sample.truth
    assert truth is not None
    clean = source.read_image(source.table["clean_file_name"][index])
    told = Told(truth.r, truth.discolor_ratio)
    before, after = (found.map for found in method.locate([clean, sample.image], [told, told]))
    assert before is not None
    assert after is not None
    rows, cols = np.ogrid[: after.shape[0], : after.shape[1]]
    there = np.hypot(rows - truth.y, cols - truth.x) <= NEAR
    other = np.where(there, -np.inf, after)
    return {
        "clean": float(before[there].max()),
        "changed": float(after[there].max()),
        "other": float(other.max()),
        "other_clean": float(before.flat[int(other.argmax())]),
    }


@functools.cache
def _load_method(name: str) -> Localizer:
    return registry.load(name, device="cpu")


def with_outcome(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds to rows of :func:`measure` the columns added and needed (nats) and found."""
    return rows.assign(
        added=rows["changed"] - rows["clean"],
        needed=rows["other"] - rows["clean"],
        found=rows["changed"] > rows["other"],
    )


def draw(tables: dict[str, pd.DataFrame]) -> Figure:
    """Rows of :func:`with_outcome` by method -> a figure of added against needed."""
    style_of = plots.method_styles(list(tables))
    with style.figure_style():
        figure = Figure(figsize=(13, 4.4), dpi=130, layout="constrained")
        *each, both = figure.subplots(1, len(tables) + 1)
        for axes, (name, rows) in zip(each, tables.items(), strict=True):
            needed, added = rows["needed"], rows["added"]
            for found, colour, label in (
                (True, style_of[name][0], "found"),
                (False, "black", "missed"),
            ):
                chosen = rows["found"] == found
                axes.plot(
                    needed[chosen], added[chosen], "o" if found else "x", color=colour, ms=5,
                    mec="white" if found else colour, label=f"{label}: {chosen.sum()}", ls="",
                )  # fmt: skip
            line = np.linspace(0, max(needed.max(), added.max()), 500)
            axes.plot(line, line, color=plots.GREY, lw=1)
            axes.set_xscale("symlog", linthresh=10)
            axes.set_yscale("symlog", linthresh=10)
            for axis in (axes.xaxis, axes.yaxis):
                style.plain_numbers(axis)
            axes.set(
                title=name,
                xlabel="needed, nats",
                ylabel="added by the change, nats",
            )
            axes.legend(frameon=False, loc="upper left")
        first, second = tables.values()
        count = first["found"].astype(int) + second["found"]
        for number, mark, label in ((2, "o", "both"), (1, "D", "one of them"), (0, "x", "neither")):
            chosen = count == number
            both.plot(
                first["added"][chosen], second["added"][chosen], mark, ms=5,
                color=plots.COLOURS[(2, 0, 6)[2 - number]], ls="",
                label=f"found by {label}: {chosen.sum()}",
            )  # fmt: skip
        both.set_xscale("symlog", linthresh=10)
        both.set_yscale("symlog", linthresh=10)
        for axis in (both.xaxis, both.yaxis):
            style.plain_numbers(axis)
        both.set(
            title="What the change adds, both methods",
            xlabel=f"for {METHODS[0]}, nats",
            ylabel=f"for {METHODS[1]}, nats",
        )
        both.legend(frameon=False, loc="upper left")
    return figure


def summary(name: str, rows: pd.DataFrame) -> str:
    """Describes the misses of a method in one line."""
    missed, hits = rows[~rows["found"]], rows[rows["found"]]
    natural = (missed["other_clean"] > missed["other"] - SAME).mean()
    return (
        f"{name}: {len(missed)} of {len(rows)} missed; added {missed['added'].median():.1f} of "
        f"{missed['needed'].median():.1f} nats needed (medians), of those found "
        f"{hits['added'].median():.0f} of "
        f"{hits['needed'].median():.1f}; in {natural:.0%} of the misses the best other place has "
        "the same logit in the clean twin"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", type=Path, help="dataset with clean twins (synth generate --twins)")
    parser.add_argument("--every", type=int, default=1, help="take every N-th row")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "limits.png")
    chosen = parser.parse_args()
    source = Folder(chosen.set)
    rows = range(0, len(source), chosen.every)
    tables = {}
    with ProcessPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for name in METHODS:
            logits = []
            with console.progress(name) as step:
                for row in pool.map(functools.partial(measure, name, source), rows):
                    logits.append(row)
                    step(len(logits), len(rows))
            tables[name] = with_outcome(pd.DataFrame(logits))
            print(summary(name, tables[name]))
    first, second = (rows["found"] for rows in tables.values())
    print(
        f"found by both {(first & second).sum()}, by the first alone {(first & ~second).sum()}, "
        f"by the second alone {(~first & second).sum()}, by neither {(~first & ~second).sum()}"
    )
    folders.write(chosen.out, plots.figure_bytes(draw(tables), "png"))


if __name__ == "__main__":
    main()
