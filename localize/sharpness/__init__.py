"""The eye chart: how faint a change can a localizer, or a person, still find?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localize.sharpness.design import Condition, Design
    from localize.sharpness.measurement import Measurement, measure

__all__ = ["Condition", "Design", "Measurement", "measure"]


def __getattr__(name: str) -> Any:
    """Import when first used, so that the command's help needs no pandas."""
    if name in ("Condition", "Design"):
        from localize.sharpness import design

        return getattr(design, name)
    if name in __all__:
        from localize.sharpness import measurement

        return getattr(measurement, name)
    raise AttributeError(f"module 'localize.sharpness' has no attribute '{name}'")
