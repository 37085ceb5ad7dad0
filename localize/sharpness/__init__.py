"""The eye chart: how faint a change can a localizer, or a person, still find?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localize.sharpness.design import Condition, Design
    from localize.sharpness.measuring import Measurement, measure

__all__ = ["Condition", "Design", "Measurement", "measure"]


def __getattr__(name: str) -> Any:
    """Import when first used, so that the command's help needs no pandas."""
    if name in ("Condition", "Design"):
        from localize.sharpness import design

        return getattr(design, name)
    if name in __all__:
        from localize.sharpness import measuring

        return getattr(measuring, name)
    raise AttributeError(f"module 'localize.sharpness' has no attribute '{name}'")
