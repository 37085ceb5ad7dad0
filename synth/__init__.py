"""Datasets of images with a faint anomaly: generate, read, verify, rebuild, render."""

from __future__ import annotations

TYPE_CHECKING = False  # importing typing would delay the handling of Ctrl-C
if TYPE_CHECKING:
    from typing import Any

    from synth.anomaly import Anomaly, apply, mask
    from synth.dataset import read
    from synth.errors import InputError, Skipped
    from synth.generator import generate
    from synth.photos import Photo
    from synth.recipe import PRESETS, Recipe
    from synth.renderer import Sample, render
    from synth.replay import rebuild, verify

__all__ = [
    "PRESETS",
    "Anomaly",
    "InputError",
    "Photo",
    "Recipe",
    "Sample",
    "Skipped",
    "apply",
    "generate",
    "mask",
    "read",
    "rebuild",
    "render",
    "verify",
]
_HOMES = {
    "anomaly": ("Anomaly", "apply", "mask"),
    "dataset": ("read",),
    "errors": ("InputError", "Skipped"),
    "generator": ("generate",),
    "photos": ("Photo",),
    "recipe": ("PRESETS", "Recipe"),
    "renderer": ("Sample", "render"),
    "replay": ("rebuild", "verify"),
}


def __getattr__(name: str) -> Any:
    """Imports a function, class or submodule at its first use, after Ctrl-C is handled."""
    import importlib
    import importlib.util

    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"synth.{module}"), name)
    if not name.startswith("_") and importlib.util.find_spec(f"synth.{name}"):
        return importlib.import_module(f"synth.{name}")
    raise AttributeError(f"module 'synth' has no attribute '{name}'")
