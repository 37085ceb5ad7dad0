"""The unit of the sizes; steps |log ratio| are also shown as ratios and as contrasts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from localize.sharpness import luminance

HUGE = math.log(1000)  # a step from which the ratio is not written out
MAX_STEP = 13.8  # a ratio of 1e6, the largest for which a contrast is computed


@dataclass(frozen=True)
class Unit:
    """The unit of the sizes of a table.

    Args:
        label: name of the size, for axes and headings.
        side: brighter, darker or both if the sizes are steps |log ratio|, else "".
        grey: mean grey level of the regions; NaN if unknown.
    """

    label: str
    side: str = ""
    grey: float = math.nan

    def ratio(self, step: float) -> float:
        """A step |log ratio| -> the ratio; below 1 for darker regions.

        >>> round(Unit("|log ratio|", "darker").ratio(0.1), 3)
        0.905
        """
        with np.errstate(over="ignore"):
            return float(np.exp(-step if self.side == "darker" else step))

    def contrast(self, step: float) -> float:
        """A step |log ratio| -> Weber contrast of luminance, percent."""
        if math.isinf(step):
            return step
        return float(luminance.contrast(self.ratio(min(step, MAX_STEP)), self.grey))

    def columns(self, sizes: dict[str, float]) -> dict[str, float]:
        """Sizes by name -> further columns of ``pod.csv``: the sizes as ratios and contrasts."""
        if not self.side:
            return {}
        ratios = {f"{name}_ratio": self.ratio(size) for name, size in sizes.items()}
        if math.isnan(self.grey):
            return ratios
        contrasts = {
            f"{name}_contrast_percent": self.contrast(size) for name, size in sizes.items()
        }
        return ratios | contrasts

    def text(self, size: float) -> str:
        """A size in a sentence.

        >>> Unit("length").text(0.170869), Unit("|log ratio|", "brighter", 128.0).text(0.0344)
        ('0.17087', 'ratio 1.035 (contrast 7.7 %)')
        """
        if not self.side:
            return f"{size:.5g}"
        if size > HUGE:
            return "ratio below 0.001" if self.side == "darker" else "ratio above 1000"
        contrast = self.contrast(size)
        more = "" if math.isnan(contrast) else f" (contrast {contrast:.1f} %)"
        return f"ratio {self.ratio(size):.3f}{more}".replace("-", "−")
