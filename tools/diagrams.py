"""Diagrams of the documentation as SVG: python -m tools.diagrams writes docs/diagrams/*.svg.

The pages include the SVG text itself, so its colours are those of the site's light or dark theme.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "diagrams"
LINE = 17  # px from one line of text to the next
TEXT = "var(--pst-color-text-base, #222)"
MUTED = "var(--pst-color-text-muted, #666)"
EDGE = "var(--pst-color-primary, #0a7d91)"
FILL = "var(--pst-color-surface, #f3f4f5)"


@dataclass
class Diagram:
    """Boxes and arrows, in px of a drawing ``width`` px wide."""

    title: str
    width: int
    parts: list[str] = field(default_factory=list)
    bottom: int = 0

    def box(self, x: int, y: int, width: int, lines: list[str], *, plain: bool = False) -> int:
        """A box with centred text, the first line bold -> y of its lower edge."""
        height = LINE * len(lines) + 12
        style = f"fill: {'none' if plain else FILL}; stroke: {EDGE}; stroke-width: 1.5"
        dash = '; stroke-dasharray: 4 3"' if plain else '"'
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" style="{style}{dash}/>'
        )
        for number, line in enumerate(lines):
            self.text(x + width // 2, y + 19 + LINE * number, line, bold=number == 0)
        self.bottom = max(self.bottom, y + height)
        return y + height

    def text(
        self, x: int, y: int, line: str, *, bold: bool = False, anchor: str = "middle"
    ) -> None:
        """A line of text whose middle, start or end is at x."""
        weight = 600 if bold else 400
        style = f"fill: {TEXT if bold else MUTED}; font-weight: {weight}; text-anchor: {anchor}"
        self.parts.append(f'<text x="{x}" y="{y}" style="{style}">{escape(line)}</text>')
        self.bottom = max(self.bottom, y + 4)

    def arrow(self, *points: tuple[int, int]) -> None:
        """A line through the points with a head at the last one."""
        path = " L ".join(f"{x} {y}" for x, y in points)
        style = f"fill: none; stroke: {MUTED}; stroke-width: 1.5"
        self.parts.append(f'<path d="M {path}" marker-end="url(#head)" style="{style}"/>')

    def svg(self) -> str:
        """The file's text."""
        head = (
            '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" '
            f'style="fill: {MUTED}"/></marker>'
        )
        lines = [
            f'<svg class="diagram" xmlns="http://www.w3.org/2000/svg" role="img" '
            f'viewBox="0 0 {self.width} {self.bottom + 8}" '
            f'style="max-width: {round(1.25 * self.width)}px; width: 100%; '
            f'font: 13px system-ui, sans-serif" aria-label="{escape(self.title)}">',
            f"<title>{escape(self.title)}</title><defs>{head}</defs>",
            *self.parts,
            "</svg>",
        ]
        return "\n".join(lines) + "\n"


def data_flow() -> Diagram:
    """From photos to scores and thresholds."""
    drawing = Diagram("From photos to datasets, run folders, scores and thresholds", 400)
    left, wide = 40, 180
    middle = left + wide // 2
    photos = drawing.box(left, 6, wide, ["photos"])
    drawing.arrow((middle, photos), (middle, photos + 44))
    drawing.text(middle + 8, photos + 26, "synth generate", anchor="start")
    data = drawing.box(
        left, photos + 46, wide, ["dataset", "images, clean twins,", "table of the truth, recipe"]
    )
    drawing.arrow((middle, data), (middle, data + 44))
    drawing.text(middle + 8, data + 26, "localize train", anchor="start")
    run = drawing.box(left, data + 46, wide, ["run folder", "weights, history"])
    drawing.arrow((middle, run), (middle, run + 44))
    drawing.text(middle + 8, run + 26, "localize evaluate, compare", anchor="start")
    drawing.box(left, run + 46, wide, ["scores", "predictions, intervals,", "report.html"])
    # The dataset goes into the scores too.
    drawing.arrow((left, data - 30), (16, data - 30), (16, run + 76), (left - 2, run + 76))
    right, narrow = 262, 132
    centre = right + narrow // 2
    drawing.arrow((left + wide, 20), (centre, 20), (centre, photos + 44))
    drawing.text(centre - 6, 14, "localize sharpness")
    drawing.box(right, photos + 46, narrow, ["thresholds", "psychometric", "curves"])
    return drawing


def rooms() -> Diagram:
    """The parts of the packages, from top to bottom; each imports only what is below it."""
    drawing = Diagram("The parts of localize and synth; imports point down only", 400)
    rows = (
        ("cli", "one module for each command"),
        ("api", "the Python API"),
        ("play · sharpness · learning_curves", "play page; thresholds; subsets"),
        ("external_predictions · comparison", "score tables; train and score"),
        ("report", "figures, tables, report.html"),
        ("evaluation", "distances, detection, intervals"),
        ("registry", "names, options and SPECs of methods"),
        ("external", "functions and models in other processes"),
        ("methods", "boundary, cnn, unet, heatmap, patchcore, ringvote, …"),
        ("training", "Lightning, devices"),
        ("data", "datasets, endless images, augmentation"),
        ("localizer · options · run_files", "the contract; files of a run folder"),
    )
    y = 30
    drawing.text(12, 18, "localize", bold=True, anchor="start")
    for name, what in rows:
        y = drawing.box(12, y, 350, [name, what]) + 6
    drawing.text(12, y + 20, "synth", bold=True, anchor="start")
    drawing.box(
        12,
        y + 30,
        350,
        [
            "cli · generator · renderer · recipe · anomaly",
            "datasets; imports neither torch nor localize",
        ],
    )
    drawing.arrow((382, 34), (382, drawing.bottom))
    drawing.parts.append(
        f'<text transform="rotate(90 390 {drawing.bottom // 2})" x="390" '
        f'y="{drawing.bottom // 2}" style="fill: {MUTED}; text-anchor: middle">imports</text>'
    )
    return drawing


def ringvote() -> Diagram:
    """The stages of ringvote, told and image-only."""
    drawing = Diagram("The stages of ringvote, told on the left and image-only on the right", 400)
    middle = 200
    y = drawing.box(100, 6, 200, ["image"])
    drawing.arrow((middle, y), (middle, y + 22))
    y = drawing.box(60, y + 24, 280, ["features", "20 values for each pixel"])
    drawing.arrow((middle, y), (middle, y + 22))
    y = drawing.box(60, y + 24, 280, ["network", "sees 72 px around each pixel"])
    drawing.arrow((100, y), (100, y + 28))
    drawing.arrow((300, y), (300, y + 28))
    left = drawing.box(
        4, y + 30, 190, ["evidence per pixel", "of the told ratio,", "8 directions + 4 sides"]
    )
    drawing.box(
        206,
        y + 30,
        190,
        ["evidence per square", "of 4 × 4 px, for 6 ratios,", "8 directions + 4 sides"],
    )
    y = left
    drawing.arrow((100, y), (100, y + 28))
    drawing.arrow((300, y), (300, y + 28))
    left = drawing.box(
        4,
        y + 30,
        190,
        ["votes for each centre", "sums along the outline of", "the told radius (FFT)"],
    )
    drawing.box(
        206, y + 30, 190, ["coarse-to-fine search", "over centre, radius, ratio", "and shape"]
    )
    y = left
    drawing.arrow((100, y), (100, y + 28))
    drawing.arrow((300, y), (300, y + 28))
    left = drawing.box(4, y + 30, 190, ["candidates", "highest sums at least", "5 px apart"])
    drawing.box(
        206, y + 30, 190, ["candidates", "at most 64, refined with", "evidence for each pixel"]
    )
    y = left
    drawing.arrow((100, y), (100, y + 28))
    drawing.arrow((300, y), (300, y + 28))
    y = drawing.box(
        60,
        y + 30,
        280,
        ["answer", "candidate of least expected cost,", "refined to ¼ px; score = log odds"],
    )
    return drawing


def main() -> None:
    """Write all diagrams."""
    FOLDER.mkdir(exist_ok=True)
    for name, diagram in (("data-flow", data_flow()), ("rooms", rooms()), ("ringvote", ringvote())):
        (FOLDER / f"{name}.svg").write_text(diagram.svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
