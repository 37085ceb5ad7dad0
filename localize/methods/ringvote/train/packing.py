"""Packs the tensors of an object into one, for the way from a loader's workers to the device.

Each tensor on its own would need a file handle between processes and a copy to the device.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

ALIGNMENT = 16  # bytes; every tensor begins at a multiple of it


@dataclass(frozen=True)
class Place:
    """A tensor's type and shape, and its first byte in the content of a :class:`Packed`."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    first: int


@dataclass(frozen=True)
class Packed:
    """An object of dataclasses, lists, tuples and dicts, its tensors in one piece.

    Args:
        shell: the object, with a :class:`Place` for each tensor.
        content: (n,) uint8, the bytes of all tensors.
    """

    shell: Any
    content: Tensor

    def unpack(self, device: torch.device) -> Any:
        """The object, its tensors on ``device``."""
        content = self.content.to(device)

        def tensor(place: Place) -> Tensor:
            last = place.first + math.prod(place.shape) * place.dtype.itemsize
            return content[place.first : last].view(place.dtype).view(place.shape)

        return replace_parts(self.shell, Place, tensor)


def pack(item: Any) -> Packed:
    """An object with tensors on the CPU -> the same, packed."""
    content = bytearray()

    def place(tensor: Tensor) -> Place:
        added = Place(tensor.dtype, tuple(tensor.shape), len(content))
        content.extend(tensor.numpy().tobytes())
        content.extend(bytes(-len(content) % ALIGNMENT))
        return added

    shell = replace_parts(item, Tensor, place)
    return Packed(shell, torch.frombuffer(content or bytearray(1), dtype=torch.uint8))


def replace_parts(item: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """The same object with every part of a type replaced by ``change(part)``."""
    if isinstance(item, kind):
        return change(item)
    if isinstance(item, list | tuple):
        return type(item)(replace_parts(each, kind, change) for each in item)
    if isinstance(item, dict):
        return {name: replace_parts(value, kind, change) for name, value in item.items()}
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        parts = {name: replace_parts(value, kind, change) for name, value in vars(item).items()}
        return dataclasses.replace(item, **parts)
    return item


def move(item: Any, device: torch.device) -> Any:
    """The same object, its tensors on ``device``."""
    return replace_parts(item, Tensor, lambda tensor: tensor.to(device))


class PackedDataset(Dataset[Packed]):
    """A dataset whose items are packed."""

    def __init__(self, items: Dataset[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Packed:
        return pack(self._items[index])
