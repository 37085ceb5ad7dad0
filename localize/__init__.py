"""Read the chart: train, run and score anything that says where the hidden change is."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # spares the import of typing, before which Ctrl-C is not yet handled
if TYPE_CHECKING:
    from typing import Any

    from localize.api import compare, describe, evaluate, load, locate, score, train

# How long an idle thread of GNU's OpenMP keeps its core, in turns of a loop. By its own 300,000,
# threads on a busy machine mostly take cores from those that they wait for.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "10000"  # read when torch is loaded

__all__ = ["compare", "describe", "evaluate", "load", "locate", "score", "train"]


def __getattr__(name: str) -> Any:
    """Import the API when it is first used: it brings torch, pandas and matplotlib."""
    if name in __all__:
        from localize import api

        return getattr(api, name)
    raise AttributeError(f"module 'localize' has no attribute '{name}'")
