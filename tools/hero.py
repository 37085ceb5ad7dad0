"""Draws docs/hero.png from the results of `make demo FULL=1`: python -m tools.hero [DEMO]"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from localize.data.folder import Folder
from localize.report import plots, style
from synth import folders

ROOT = Path(__file__).parents[1]
PICK = 48  # number of the test image that is shown


def main() -> None:
    """Draws a test image, the predictions for it, and the share of images found within d px."""
    demo = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "data" / "demo"
    source = Folder(demo / "set", "test")
    predictions = pd.read_csv(demo / "results" / "predictions.csv")
    style_of = plots.method_styles(list(dict.fromkeys(predictions["method"])))
    with style.figure_style():
        figure = Figure(figsize=(13, 4.6), dpi=130, layout="constrained")
        left, middle, curve = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
        sample, (truth, _) = source[PICK], source.truth(PICK)
        for axes in (left, middle):
            axes.imshow(sample.image)
            axes.set_axis_off()
        left.set_title("An image with a faint circle")
        middle.set_title(f"r {truth.r:.0f} px, ratio {truth.discolor_ratio:.2f}; predictions")
        for colour, width in (("black", 2.6), ("white", 1.3)):
            middle.add_patch(Circle((truth.x, truth.y), truth.r, fill=False, ec=colour, lw=width))
        for row in predictions[predictions["file_name"] == sample.name].to_dict("records"):
            colour, marker = style_of[row["method"]]
            middle.plot(row["x_pred"], row["y_pred"], marker, color=colour, ms=8, mec="white")
        for name, rows in predictions.groupby("method", sort=False):
            distance = np.sort(rows["distance"].to_numpy().clip(0.1))
            colour, marker = style_of[str(name)]
            share = np.arange(1, len(distance) + 1) / len(distance)
            curve.step(
                np.r_[0.1, distance], np.r_[0, share], color=colour, where="post",
                lw=1.8, ls="--" if name == "centre" else "-",
            )  # fmt: skip
            curve.plot([], [], marker, color=colour, mec="white", ms=8, label=name)
        curve.set(
            title="Images found within d px",
            xlabel="distance d from the true centre, px",
            ylabel="share of images",
            xscale="log",
            xlim=(0.1, 300),
            ylim=(0, 1.04),
        )
        style.plain_numbers(curve.xaxis)
        figure.legend(loc="outside lower center", ncols=7, frameon=False)
    folders.write(ROOT / "docs" / "hero.png", plots.figure_bytes(figure, "png"))


if __name__ == "__main__":
    main()
