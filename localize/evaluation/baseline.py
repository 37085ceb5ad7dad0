"""The mean distance of the centre guess, to compare trained localizers with."""

from __future__ import annotations

import numpy as np

from localize.evaluation import metrics
from localize.localizer import Source


def centre_distance(source: Source) -> float:
    """The mean distance in px of the centre guess on a source; NaN of an empty one."""
    truths = [source.truth(index) for index in range(len(source))]
    if not truths:
        return float("nan")
    centres = (np.array([size for _, size in truths], float) - 1) / 2
    distances = metrics.distance(centres, np.array([(truth.x, truth.y) for truth, _ in truths]))
    return float(distances.mean())
