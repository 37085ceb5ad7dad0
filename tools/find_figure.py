"""Draws docs/images/find.png, which README.md shows: python -m tools.find_figure SESSION

SESSION is the folder in which the first commands of README.md were run: it contains the dataset
``set`` and the folder ``drawn`` with the overlays that `localize find` drew.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import localize
from localize.report import plots, style
from synth import dataset, folders

OUT = Path(__file__).parents[1] / "docs" / "images" / "find.png"
SCENE, ROW = "scene-0000", 3  # photo, and number of its image


def main() -> None:
    """Draws the image beside its overlay."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session", type=Path, help="folder that contains set and drawn")
    session = parser.parse_args().session
    (path,) = session.glob(f"set/images/{SCENE}-*-{ROW}.jpg")
    (drawn,) = session.glob(f"drawn/**/{path.stem}.png")
    table = dataset.read(session / "set").set_index("file_name")
    truth = table.loc[f"images/{path.name}"]
    image, overlay = (np.asarray(Image.open(each).convert("RGB")) for each in (path, drawn))
    finding = localize.locate("ringvote", image)
    distance = np.hypot(finding.x - truth.x, finding.y - truth.y)
    titles = (
        f"An image of the dataset: r {truth.r:.0f} px, ratio {truth.discolor_ratio:.3f}",
        f"localize find: {distance:.1f} px from the true centre",
    )
    with style.figure_style(grid=False):
        figure = Figure(figsize=(10, 5.3), dpi=100, layout="constrained")
        for axes, pixels, title in zip(
            figure.subplots(1, 2), (image, overlay), titles, strict=True
        ):
            axes.imshow(pixels)
            axes.set_title(title)
            axes.set_axis_off()
        png = plots.figure_bytes(figure, "png")
    small = io.BytesIO()  # 256 colours make the file three times as small
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    folders.write(OUT, small.getvalue())


if __name__ == "__main__":
    main()
