"""The acuity chart: methods with a threshold are drawn, the others named; all is in the figure."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from localize.sharpness import charts
from localize.sharpness.measurement import Measurement


def chart(with_threshold: int, without: int) -> Figure:
    """The chart of methods with a threshold at 20 and 40 px and of methods without one."""
    names = [f"a-method-with-a-long-name-{n}" for n in range(with_threshold + without)]
    rows: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        found = {"threshold": 1.1, "threshold_low": 1.05, "threshold_high": 1.2, "verdict": ""}
        nothing = dict.fromkeys(found, float("nan")) | {"verdict": "no threshold"}
        for r in (20, 40):
            row = found if number < with_threshold else nothing
            rows.append(
                {"method": name, "cut": "radius", "level": f"{r} px", "side": "brighter"} | row
            )
    trials = pd.DataFrame(
        [
            {"r": r, "discolor_ratio": ratio, "side": "brighter", "brightness": 100.0}
            for r in (20.0, 40.0)
            for ratio in (1.01, 1.3)
        ]
    )
    result = SimpleNamespace(trials=trials, thresholds=pd.DataFrame(rows))
    figure = charts.acuity_chart(cast(Measurement, result))
    FigureCanvasAgg(figure).draw()
    return figure


@pytest.mark.parametrize(("with_threshold", "without"), [(3, 0), (2, 13), (15, 0), (0, 4)])
def test_the_legend_is_inside_the_figure(with_threshold: int, without: int) -> None:
    figure = chart(with_threshold, without)
    (legend,) = figure.legends
    box, whole = legend.get_window_extent(), figure.bbox
    assert whole.x0 <= box.x0
    assert box.x1 <= whole.x1
    assert box.y0 >= whole.y0
    assert all(box.y1 < axes.xaxis.label.get_window_extent().y0 for axes in figure.axes[:1])


def test_methods_without_a_threshold_are_named_once() -> None:
    (legend,) = chart(2, 2).legends
    assert [text.get_text()[-1] for text in legend.get_texts()] == ["0", "1"]
    named = legend.get_title().get_text().replace("\n", " ")
    assert named == "no threshold: a-method-with-a-long-name-2, a-method-with-a-long-name-3"


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.3), (0.008, 1.7), (0.05, 1.2)])
def test_tick_labels_do_not_overlap(low: float, high: float) -> None:
    rows = []
    for ratio in np.exp(np.linspace(low, high, 6)):
        for side, value in (("brighter", ratio), ("darker", 1 / ratio)):
            for photo in "ab":
                rows.append({
                    "method": "m", "photo": photo, "r": 20.0, "discolor_ratio": value,
                    "side": side, "brightness": 100.0, "hit": int(ratio > 1.1),
                })  # fmt: skip
    trials = pd.DataFrame(rows)
    nothing = {"cut": "all", "threshold": np.nan, "rises_to": np.nan, "verdict": "no threshold"}
    thresholds = pd.DataFrame(
        [{"method": "m", "side": side} | nothing for side in ("both", "brighter", "darker")]
    )
    result = SimpleNamespace(trials=trials, thresholds=thresholds, about={"curve": "weibull"})
    figure = charts.psychometric_curves(cast(Measurement, result))
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes:
        for axis in (axes.xaxis, *(child.xaxis for child in axes.child_axes)):
            labels = [label for label in axis.get_ticklabels() if label.get_text()]
            boxes = sorted((label.get_window_extent() for label in labels), key=lambda b: b.x0)
            assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
