"""From a loader's workers to the device: all tensors of an object in one piece.

Each tensor on its own would cost a file handle between processes and a copy to the device.
"""

from __future__ import annotations

import io
import math
import pickle
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

ALIGNED = 16  # bytes


@dataclass(frozen=True)
class Parcel:
    """Any object.

    Args:
        shell: the object, pickled, without its tensors.
        kinds: dtype, shape and first byte of each tensor.
        content: (n,) uint8, their bytes.
    """

    shell: bytes
    kinds: tuple[tuple[torch.dtype, tuple[int, ...], int], ...]
    content: Tensor

    def opened(self, device: torch.device) -> Any:
        """The object, its tensors on ``device``."""
        content = self.content.to(device)

        def tensor(number: int) -> Tensor:
            dtype, shape, first = self.kinds[number]
            last = first + math.prod(shape) * dtype.itemsize
            return content[first:last].view(dtype).view(shape)

        opener = pickle.Unpickler(io.BytesIO(self.shell))
        opener.persistent_load = tensor  # type: ignore[method-assign]
        return opener.load()


def packed(thing: Any) -> Parcel:
    """Any object that can be pickled."""
    tensors: list[Tensor] = []

    def number(part: Any) -> int | None:
        if not isinstance(part, Tensor):
            return None
        tensors.append(part)
        return len(tensors) - 1

    shell = io.BytesIO()
    packer = pickle.Pickler(shell)
    packer.persistent_id = number  # type: ignore[method-assign]
    packer.dump(thing)
    kinds, content = [], bytearray()
    for each in tensors:
        kinds.append((each.dtype, tuple(each.shape), len(content)))
        content += each.numpy().tobytes()
        content += bytes(-len(content) % ALIGNED)
    whole = torch.frombuffer(content or bytearray(1), dtype=torch.uint8)
    return Parcel(shell.getvalue(), tuple(kinds), whole)


class Parcels(Dataset[Parcel]):
    """A dataset whose items are packed."""

    def __init__(self, things: Dataset[Any]) -> None:
        self._things = things

    def __len__(self) -> int:
        return len(self._things)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Parcel:
        return packed(self._things[index])
