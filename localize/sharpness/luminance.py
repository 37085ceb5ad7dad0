"""Converts ratios of sRGB code values, which are not linear in light, to luminance contrast."""

from __future__ import annotations

from typing import Any

import numpy as np


def luminance(code: np.ndarray | float) -> Any:
    """Grey level (code value, 255 is white) -> relative luminance, 1 for white.

    Source: IEC 61966-2-1 (sRGB), the transfer function.

    >>> round(float(luminance(255.0)), 6), round(float(luminance(128.0)), 3)
    (1.0, 0.216)
    """
    share = np.asarray(code, float) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def contrast(ratio: np.ndarray | float, grey: np.ndarray | float) -> Any:
    """A ratio of code values at a grey level -> Weber contrast of luminance, percent.

    Computed as 100 (L(ratio x grey) - L(grey)) / L(grey), without clipping or rounding. The same
    ratio means a larger contrast in bright regions than in dark ones: 1 % in code values is
    2.3 % in luminance near white, and 1 % in the linear part of the curve (grey 10).

    >>> [round(float(contrast(1.01, grey)), 2) for grey in (5, 50, 128, 240)]
    [1.0, 1.88, 2.18, 2.28]
    """
    before = luminance(grey)
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * (luminance(np.multiply(ratio, grey)) - before) / before
