"""Train, run and score localizers: whatever answers where in an image the anomaly is."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing is not imported: Ctrl-C is not handled before
if TYPE_CHECKING:
    from typing import Any

    from localize.api import compare, describe, evaluate, load, locate, score, train

# How many turns of a loop an idle thread of GNU's OpenMP waits before it gives up its core. With
# the default of 300,000, waiting threads slow down the others on a busy machine.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "10000"  # read when torch is loaded

__all__ = ["compare", "describe", "evaluate", "load", "locate", "score", "train"]


def __getattr__(name: str) -> Any:
    """Import the API when it is first used, because it imports torch, pandas and matplotlib."""
    if name in __all__:
        from localize import api

        return getattr(api, name)
    raise AttributeError(f"module 'localize' has no attribute '{name}'")
