"""Read the chart: train, run and score anything that says where the hidden change is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localize.api import compare, describe, evaluate, load, locate, score, train

__all__ = ["compare", "describe", "evaluate", "load", "locate", "score", "train"]


def __getattr__(name: str) -> Any:
    """Import the API when it is first used: it brings torch, pandas and matplotlib."""
    if name in __all__:
        from localize import api

        return getattr(api, name)
    raise AttributeError(f"module 'localize' has no attribute '{name}'")
