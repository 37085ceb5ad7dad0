"""Make torchvision importable beside a CPU-only torch."""

from __future__ import annotations

import importlib.util
import sys


def make_torchvision_importable() -> None:
    """Let ``import torchvision`` succeed; call before importing lightning or torchmetrics.

    The registry's torchvision is built for CUDA: beside a CPU-only torch its compiled
    operators do not load, and its Python code then fails on registering two of them, which
    nothing here calls. Declaring them is enough. Does nothing where torchvision works.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        import torchvision
    except RuntimeError as error:
        if "operator torchvision::" not in str(error):
            raise
        import torch

        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
        for module in [m for m in sys.modules if m.partition(".")[0] == "torchvision"]:
            del sys.modules[module]
        import torchvision  # noqa: F401
