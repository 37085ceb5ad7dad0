"""A workaround that makes torchvision importable with a CPU-only torch."""

from __future__ import annotations

import importlib.util
import sys


def make_torchvision_importable() -> None:
    """Let ``import torchvision`` succeed; call before importing lightning or torchmetrics.

    A torchvision that is built for CUDA cannot load its compiled operators with a CPU-only torch.
    Its Python code then fails when it registers two of them. Nothing here calls these two, so that
    it is enough to declare them. Does nothing where torchvision works.
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
