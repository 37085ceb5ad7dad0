"""Draws the maps of localizers: python -m tools.error_maps SET RUN... [--rows 0,5] [--out FILE]

Each row of the figure shows an image of the test split of SET, and for each run folder the map of
its localizer, from its least value (black) to its largest. Of an autoencoder, the reconstruction
is shown too. Outlined: the region. Cross: the answer.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from PIL import Image

from localize import registry
from localize.data.folder import Folder
from localize.localizer import Localizer
from localize.methods.autoencoder.method import AutoencoderLocalizer
from localize.methods.autoencoder.reconstruction import reconstruct
from localize.report import plots, style
from synth import folders
from synth.anomaly import Anomaly

OUT = Path(__file__).parents[1] / "docs" / "images" / "error-maps.jpg"
TRUTH, FOUND = "#00B7C7", "#FF4FA3"  # colours that are visible on photos and in gray
SIDE = 2.6  # inches, of a panel


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", type=Path, help="dataset")
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--rows", default="0,1,2", help="numbers of the test images, from 0")
    parser.add_argument("--out", type=Path, default=OUT, help="JPEG to write")
    arguments = parser.parse_args()
    source = Folder(arguments.set, "test")
    localizers = {path.name: registry.load(path) for path in arguments.runs}
    rows = [
        [panel for name, each in localizers.items() for panel in panels(name, each, source, row)]
        for row in map(int, arguments.rows.split(","))
    ]
    with style.figure_style(grid=False):
        figure = draw(source, [int(row) for row in arguments.rows.split(",")], rows)
        png = plots.figure_bytes(figure, "png")
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(jpeg, "JPEG", quality=88, optimize=True)
    folders.write(arguments.out, jpeg.getvalue())


Panel = tuple[str, np.ndarray, tuple[float, float] | None]  # title, picture, answer


def panels(name: str, localizer: Localizer, source: Folder, row: int) -> list[Panel]:
    """The pictures of a localizer for an image, with the answer on the map."""
    image = source[row].image
    found = localizer.locate([image])[0]
    assert found.map is not None
    pictures: list[Panel] = [(f"{name}: map", found.map, (found.x, found.y))]
    if isinstance(localizer, AutoencoderLocalizer):
        assert localizer.network is not None
        reconstruction = reconstruct(localizer.network, image).clip(0, 1)
        pictures.insert(0, (f"{name}: reconstruction", reconstruction, None))
    return pictures


def draw(source: Folder, rows: list[int], grid: list[list[Panel]]) -> Figure:
    """A row of panels for each image."""
    columns = 1 + len(grid[0])
    figure = Figure(figsize=(SIDE * columns, SIDE * len(rows)), dpi=110, layout="constrained")
    for line, row, pictures in zip(
        figure.subplots(len(rows), columns, squeeze=False), rows, grid, strict=True
    ):
        sample = source[row]
        assert sample.truth is not None
        ratio, r = sample.truth.discolor_ratio, sample.truth.r
        title = f"image: ratio {ratio:.2f}, r {r:.0f} px"
        for axes, (heading, picture, answer) in zip(
            line, [(title, sample.image, None), *pictures], strict=True
        ):
            show(axes, heading, picture, sample.truth, answer)
    return figure


def show(
    axes: Axes, title: str, picture: np.ndarray, truth: Anomaly, answer: tuple[float, float] | None
) -> None:
    """Draw a picture with the region and, where there is one, the answer."""
    axes.imshow(picture, cmap="gray")
    axes.add_patch(Circle((truth.x, truth.y), truth.r, fill=False, ec=TRUTH, lw=1.2))
    if answer is not None:
        axes.plot(*answer, "x", color=FOUND, ms=9, mew=2)
    axes.set_title(title, fontsize=8)
    axes.set_axis_off()


if __name__ == "__main__":
    main()
