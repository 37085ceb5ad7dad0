"""Draws docs/hero.png from the results of `make demo FULL=1`: python -m tools.hero [DEMO]"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from localize.data.folder import Folder
from localize.evaluation import by_ratio
from localize.localizer import HIT_RADIUS
from localize.report import plots, ratio_plot, style
from synth import folders

ROOT = Path(__file__).parents[1]
RATIO = 1.1  # the test image nearest to it that ringvote found is shown


def main() -> None:
    """Draws a test image, the predictions for it, and the hit rate by ratio."""
    demo = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "data" / "demo"
    source = Folder(demo / "set", "test")
    predictions = pd.read_csv(demo / "results" / "predictions.csv")
    style_of = plots.method_styles(list(dict.fromkeys(predictions["method"])))
    with style.figure_style():
        figure = Figure(figsize=(13, 4.6), dpi=130, layout="constrained")
        left, middle, curve = figure.subplots(1, 3, width_ratios=(1, 1, 1.25))
        pick = source.table["file_name"].tolist().index(_faint_hit(predictions))
        sample, (truth, _) = source[pick], source.truth(pick)
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
        ratio_plot.draw_curves(curve, by_ratio.hit_rates_by_ratio(predictions))
        curve.set_title("Hit rate by ratio")
        handles = [
            Line2D([], [], ls="", marker=marker, color=colour, mec="white", ms=8, label=name)
            for name, (colour, marker) in style_of.items()
            if name in set(predictions["method"])
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=7, frameon=False)
    folders.write(ROOT / "docs" / "hero.png", plots.figure_bytes(figure, "png"))


def _faint_hit(predictions: pd.DataFrame) -> str:
    """The file name of the image nearest to ``RATIO`` that ``ringvote`` found."""
    own = predictions[predictions["method"] == "ringvote"]
    hits = own[own["distance"] <= HIT_RADIUS].set_index("file_name")
    return str((hits["discolor_ratio"] - RATIO).abs().idxmin())


if __name__ == "__main__":
    main()
