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


def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether a device multiplies matrices of bfloat16 numbers faster than float32 ones."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()
