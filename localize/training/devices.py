"""The device that a network runs on."""

from __future__ import annotations

import torch

from synth.errors import InputError


def device_of(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda`` or ``mps`` -> a device of this machine.

    Raises:
        InputError: the machine has no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, usable in available.items() if usable))
    if not available.get(name, False):
        usable = ", ".join(kind for kind, is_usable in available.items() if is_usable)
        raise InputError(f"device '{name}' is not available: use auto or {usable}")
    return torch.device(name)
