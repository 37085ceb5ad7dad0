"""How all our figures are drawn: style, fonts, and legends that show any name as it is."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.ticker import FuncFormatter, NullFormatter

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
    # People's names are drawn as they are: a $ begins no formula.
    "text.parse_math": False,
    "text.usetex": False,
}
# Of fonts that have what matplotlib's own has not (Chinese, Japanese, Korean, Devanagari, Thai,
# emoji), those that are installed are used.
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
COLUMN = 0.085  # in: a column of text of 10 points
USUAL = 26  # columns of a legend on the right that our figures have room for
ROW = 0.24  # in: a row of a legend


@functools.cache
def _fonts() -> list[str]:
    """matplotlib's own font, and those that stand in for the characters that it lacks."""
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *(name for name in FONTS if name in installed)]


@contextmanager
def styled(grid: bool = True) -> Iterator[None]:
    """Our look for the figures drawn in the block; a character without a font is a box."""
    with mpl.rc_context(STYLE | {"axes.grid": grid, "font.family": _fonts()}), _quiet():
        yield


@contextmanager
def _quiet() -> Iterator[None]:
    """No warning that a font lacks a character: it names no remedy that a user has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
        yield


def plain_numbers(axis: Axis) -> None:
    """Name the major ticks of an axis 0.1, 1, 10: powers would be formulas, see ``STYLE``."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend(
    figure: Figure,
    handles: Sequence[Artist],
    labels: Sequence[str],
    *,
    below: int = 0,
    fontsize: float = 10,
    **options: Any,
) -> Legend:
    """A legend outside of the axes; the figure grows where the labels need the room.

    Any label is shown as it is, also one that begins with ``_``, which matplotlib leaves out.

    Args:
        below: how many columns it has at most below the axes; 0: it stands on the right.
        fontsize: points.
        options: for ``figure.legend``.
    """
    column = COLUMN * fontsize / 10
    longest = max(map(display_width, labels), default=0)
    wide, high = figure.get_size_inches()
    if below:
        columns = max(1, min(below, int(wide / (column * longest + 0.8))))
        rows = -(-len(labels) // columns)
        figure.set_size_inches(max(wide, column * longest + 0.8), high + ROW * max(0, rows - 2))
        options |= {"loc": "outside lower center", "ncols": columns}
    else:
        rows = len(labels) + ("title" in options)
        figure.set_size_inches(wide + column * max(0, longest - USUAL), max(high, ROW * rows + 0.8))
        options |= {"loc": "outside right upper"}
    found = figure.legend(
        list(handles), [str(i) for i in range(len(labels))], frameon=False, fontsize=fontsize,
        **options,
    )  # fmt: skip
    for text, label in zip(found.get_texts(), labels, strict=True):
        text.set_text(label)
    return found
