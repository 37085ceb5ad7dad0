"""Measures detection thresholds: the smallest change that a localizer or a person finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localize.sharpness.design import Condition, Design
    from localize.sharpness.measurement import Measurement, measure

__all__ = ["Condition", "Design", "Measurement", "measure"]


def __getattr__(name: str) -> Any:
    """Imports on first use, so that the command's help does not import pandas."""
    if name in ("Condition", "Design"):
        from localize.sharpness import design

        return getattr(design, name)
    if name in __all__:
        from localize.sharpness import measurement

        return getattr(measurement, name)
    raise AttributeError(f"module 'localize.sharpness' has no attribute '{name}'")
