"""The acuity chart: methods with a threshold are drawn, the others named; all is in the figure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

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
