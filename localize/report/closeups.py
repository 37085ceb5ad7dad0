"""Close-ups of regions that the best method missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from localize.report import ranking
from localize.report.plots import GREY
from localize.report.style import figure_style

if TYPE_CHECKING:
    import pandas as pd

    from localize.data.folder import Folder
    from synth.anomaly import Anomaly

COLUMNS, ROWS = 4, 2
MARGIN = 1.0  # radii, around the region


def missed_regions(predictions: pd.DataFrame, source: Folder) -> Figure | None:
    """The most visible regions that the best method missed; None if it missed none.

    The region is not outlined; ticks on the frame mark its limits. A trial with another ratio
    than the dataset's is left out, since there is no image of it.
    """
    best = ranking.best_method(predictions)
    if best is None:
        return None
    index = {name: i for i, name in enumerate(source.table["file_name"])}
    missed = ranking.visible_misses(predictions, best, len(predictions))
    recorded = source.table.set_index("file_name")["discolor_ratio"].loc[missed["file_name"]]
    rows = missed[np.isclose(recorded.to_numpy(), missed["discolor_ratio"])].to_dict("records")
    rows = rows[: COLUMNS * ROWS]
    if not rows:
        return None
    grid_rows = -(-len(rows) // COLUMNS)
    with figure_style(grid=False):
        figure = Figure(figsize=(3 * COLUMNS, 3.35 * grid_rows), dpi=150, layout="constrained")
        grid = figure.subplots(grid_rows, COLUMNS, squeeze=False).ravel()
        for axes in grid[len(rows) :]:
            axes.set_axis_off()
        for axes, row in zip(grid, rows, strict=False):
            i = index[row["file_name"]]
            _closeup(axes, source[i].image, source.truth(i)[0])
            result = f"{row['distance']:.0f} px off" if row["distance"] >= 0 else "no answer"
            axes.set_title(
                f"ratio {row['discolor_ratio']:.3f}, r {row['r']:.0f} px; {result}",
                fontsize=8, weight="normal", pad=9,
            )  # fmt: skip
    return figure


def _closeup(axes: Any, image: np.ndarray, truth: Anomaly) -> None:
    """Draws a square crop around the region, inside the image, with ticks at its limits."""
    height, width = image.shape[:2]
    side = min(round(2 * truth.r * (1 + MARGIN)), width, height)
    left = int(np.clip(truth.x - side / 2, 0, width - side))
    top = int(np.clip(truth.y - side / 2, 0, height - side))
    extent = (left - 0.5, left + side - 0.5, top + side - 0.5, top - 0.5)
    axes.imshow(image[top : top + side, left : left + side], extent=extent)
    axes.set_xticks([truth.x - truth.r, truth.x + truth.r], ["", ""])
    axes.set_yticks([truth.y - truth.r, truth.y + truth.r], ["", ""])
    axes.tick_params(length=6, width=1.6, color=GREY, top=True, right=True, bottom=True, left=True)
    for spine in axes.spines.values():
        spine.set_visible(False)
