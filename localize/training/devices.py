"""What a network runs on."""

from __future__ import annotations

import torch

from synth.errors import InputError


def device_of(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda``, ``mps`` -> a device that is there.

    Raises:
        InputError: the machine has no such device.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if not available.get(name, False):
        usable = ", ".join(kind for kind, there in available.items() if there)
        raise InputError(f"device '{name}' is not there: use auto or {usable}")
    return torch.device(name)
