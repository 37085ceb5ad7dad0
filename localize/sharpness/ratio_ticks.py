"""Ticks of a logarithmic axis of steps |log ratio|, labelled as ratios or as contrasts."""

from __future__ import annotations

import numpy as np

from localize.sharpness import luminance

RATIO_TICKS = {
    "brighter": np.array([1.001, 1.002, 1.005, 1.01, 1.02, 1.05, 1.1, 1.2, 1.35, 1.5, 2, 3, 5]),
    "darker": np.array(
        [0.999, 0.998, 0.995, 0.99, 0.98, 0.95, 0.9, 0.83, 0.75, 0.6, 0.5, 0.3, 0.2]
    ),
}
CHARACTER = 0.022  # width of a character of a tick label, as a share of the axis
CONTRAST_TICKS = np.array([0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500])  # percent


def ratio_ticks(side: str, low: float, high: float) -> tuple[np.ndarray, list[str]]:
    """Positions |log ratio| between two limits, and the ratios as tick labels."""
    steps_at = np.abs(np.log(RATIO_TICKS[side]))
    inside = (steps_at > 0.999 * low) & (steps_at < 1.001 * high)
    labels = [f"{ratio:g}" for ratio in RATIO_TICKS[side][inside]]
    return _legible(steps_at[inside], labels, low, high)


def contrast_ticks(side: str, grey: float, low: float, high: float) -> tuple[np.ndarray, list[str]]:
    """Positions |log ratio| between two limits where the contrast is a round number, and labels."""
    sign = -1 if side == "darker" else 1
    fine = np.geomspace(low, high, 400)
    contrast = sign * luminance.contrast(np.exp(sign * fine), grey)
    inside = np.searchsorted(contrast, CONTRAST_TICKS) % len(fine) > 0
    at = np.interp(CONTRAST_TICKS[inside], contrast, fine)
    labels = [f"{sign * percent:+g} %".replace("-", "−") for percent in CONTRAST_TICKS[inside]]
    return _legible(at, labels, low, high)


def _legible(
    at: np.ndarray, labels: list[str], low: float, high: float
) -> tuple[np.ndarray, list[str]]:
    """Ticks of a logarithmic axis from ``low`` to ``high`` -> those whose labels do not overlap."""
    places = np.log(at / low) / np.log(high / low)
    kept: list[int] = []
    for i, label in enumerate(labels):
        if kept:
            characters = (len(label) + len(labels[kept[-1]])) / 2
            if places[i] - places[kept[-1]] < CHARACTER * characters:
                continue
        kept.append(i)
    return at[kept], [labels[i] for i in kept]
