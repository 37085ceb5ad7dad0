"""From a loader's workers to the device: all tensors of an object in one piece.

Each tensor on its own would cost a file handle between processes and a copy to the device.
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

ALIGNED = 16  # bytes


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in a parcel's content, from which byte on."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    first: int


@dataclass(frozen=True)
class Parcel:
    """Any object of dataclasses, lists, tuples and dicts.

    Args:
        shell: the object, with a :class:`Place` for each tensor.
        content: (n,) uint8, their bytes.
    """

    shell: Any
    content: Tensor

    def opened(self, device: torch.device) -> Any:
        """The object, its tensors on ``device``."""
        content = self.content.to(device)

        def tensor(place: Place) -> Tensor:
            last = place.first + math.prod(place.shape) * place.dtype.itemsize
            return content[place.first : last].view(place.dtype).view(place.shape)

        return mapped(self.shell, Place, tensor)


def packed(thing: Any) -> Parcel:
    """An object, its tensors on the CPU, in one piece."""
    content = bytearray()

    def place(tensor: Tensor) -> Place:
        found = Place(tensor.dtype, tuple(tensor.shape), len(content))
        content.extend(tensor.numpy().tobytes())
        content.extend(bytes(-len(content) % ALIGNED))
        return found

    shell = mapped(thing, Tensor, place)
    return Parcel(shell, torch.frombuffer(content or bytearray(1), dtype=torch.uint8))


def mapped(thing: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """The same object, all parts of a kind changed."""
    if isinstance(thing, kind):
        return change(thing)
    if isinstance(thing, list | tuple):
        return type(thing)(mapped(each, kind, change) for each in thing)
    if isinstance(thing, dict):
        return {name: mapped(value, kind, change) for name, value in thing.items()}
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        parts = {name: mapped(value, kind, change) for name, value in vars(thing).items()}
        return dataclasses.replace(thing, **parts)
    return thing


def moved(thing: Any, device: torch.device) -> Any:
    """The same object, its tensors on ``device``."""
    return mapped(thing, Tensor, lambda tensor: tensor.to(device))


class Parcels(Dataset[Parcel]):
    """A dataset whose items are packed."""

    def __init__(self, things: Dataset[Any]) -> None:
        self._things = things

    def __len__(self) -> int:
        return len(self._things)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Parcel:
        return packed(self._things[index])
