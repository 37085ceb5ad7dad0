"""Style of all figures: matplotlib settings, fonts, and legends that accept any label."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from localize.names import display_width

STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "axes.axisbelow": True,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "svg.hashsalt": "acuity",
    # Names of methods and files are shown literally: a $ does not start a formula.
    "text.parse_math": False,
    "text.usetex": False,
}
# Fallback fonts for scripts that DejaVu Sans lacks (Chinese, Japanese, Korean, Devanagari, Thai,
# emoji); the installed ones are used.
FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "Noto Sans SC", "Noto Sans JP",
    "Noto Sans KR", "Source Han Sans SC", "Source Han Sans", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Droid Sans Fallback", "IPAexGothic", "IPAGothic", "TakaoGothic",
    "VL Gothic", "NanumGothic", "UnDotum", "Microsoft YaHei", "SimHei", "Yu Gothic", "Meiryo",
    "MS Gothic", "Malgun Gothic", "PingFang SC", "Hiragino Sans", "Hiragino Sans GB",
    "Apple SD Gothic Neo", "Arial Unicode MS", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Sans Devanagari", "Lohit Devanagari", "Nirmala UI", "Noto Sans Thai", "Leelawadee UI",
    "Noto Emoji", "Symbola", "Segoe UI Symbol", "Segoe UI Emoji",
)  # fmt: skip
CHARACTER_WIDTH = 0.085  # inches, at 10 points
LEGEND_CHARACTERS = 26  # width of a legend on the right that fits without widening the figure
ROW_HEIGHT = 0.24  # inches, of a row of a legend


@functools.cache
def _fonts() -> list[str]:
    """DejaVu Sans and the installed fallback fonts."""
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in FONTS if name in installed)]


@contextmanager
def figure_style(grid: bool = True) -> Iterator[None]:
    """The style for figures drawn in the block; a character without a font becomes a box."""
    with (
        mpl.rc_context(STYLE | {"axes.grid": grid, "font.family": _fonts()}),
        _without_glyph_warnings(),
    ):
        yield


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """Suppresses warnings about missing glyphs, which a user cannot act on."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
        yield


def plain_numbers(axis: Axis) -> None:
    """Labels the ticks of an axis 0.1, 1, 10; matplotlib's powers would need formulas."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def fixed_ticks(axis: Axis, at: np.ndarray, labels: Sequence[str], **text_style: Any) -> None:
    """Ticks of an axis at the given positions with the given labels, and no others."""
    axis.set_major_locator(FixedLocator(at.tolist()))
    axis.set_minor_locator(NullLocator())
    axis.set_ticklabels(list(labels), **text_style)


def legend(
    figure: Figure,
    handles: Sequence[Artist],
    labels: Sequence[str],
    *,
    below: int = 0,
    fontsize: float = 10,
    **options: Any,
) -> Legend:
    """A legend outside the axes; the figure is enlarged if the labels need more room.

    Labels are shown literally, including those that begin with ``_``, which matplotlib skips.

    Args:
        below: the maximum number of columns below the axes; 0 places the legend on the right.
        fontsize: points.
        options: passed to ``figure.legend``.
    """
    column = CHARACTER_WIDTH * fontsize / 10
    longest = max(map(display_width, labels), default=0)
    wide, high = figure.get_size_inches()
    if below:
        columns = max(1, min(below, int(wide / (column * longest + 0.8))))
        rows = -(-len(labels) // columns)
        figure.set_size_inches(
            max(wide, column * longest + 0.8), high + ROW_HEIGHT * max(0, rows - 2)
        )
        options |= {"loc": "outside lower center", "ncols": columns}
    else:
        rows = len(labels) + ("title" in options)
        figure.set_size_inches(
            wide + column * max(0, longest - LEGEND_CHARACTERS), max(high, ROW_HEIGHT * rows + 0.8)
        )
        options |= {"loc": "outside right upper"}
    drawn = figure.legend(
        list(handles), [str(i) for i in range(len(labels))], frameon=False, fontsize=fontsize,
        **options,
    )  # fmt: skip
    for text, label in zip(drawn.get_texts(), labels, strict=True):
        text.set_text(label)
    return drawn
