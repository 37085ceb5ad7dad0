"""Trains, runs and scores localizers: programs that find the changed region of an image."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # without importing typing, since Ctrl-C is handled only after the imports
if TYPE_CHECKING:
    from typing import Any

    from localize.api import (
        check,
        compare,
        describe,
        evaluate,
        learning_curve,
        load,
        locate,
        score,
        train,
    )

# How many loop iterations an idle thread of GNU OpenMP spins before it sleeps. With the default
# of 300,000, spinning threads on a busy machine delay the threads that they wait for.
if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
    os.environ["GOMP_SPINCOUNT"] = "10000"  # read when torch is loaded

__all__ = [
    "check", "compare", "describe", "evaluate", "learning_curve", "load", "locate", "score",
    "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports the API on first use, since it imports torch, pandas and matplotlib."""
    if name in __all__:
        from localize import api

        return getattr(api, name)
    raise AttributeError(f"module 'localize' has no attribute '{name}'")
