"""The contract that every method keeps, and the registry of methods."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from synth.errors import InputError
from synth.renderer import Sample

Learns = Literal["nothing", "clean", "labelled"]


@dataclass(frozen=True)
class Told:
    """What a told method is given beside the image: r in px of that image, and the ratio."""

    r: float
    discolor_ratio: float


@dataclass(frozen=True)
class Finding:
    """Where a method says the anomaly is: x (column) and y (row) in px, and what else it knows.

    Args:
        x: column of the centre, px.
        y: row of the centre, px.
        r: radius, px.
        ratio: the factor.
        score: how sure the method is that there is an anomaly; higher is surer.
        map: (H, W) float32, higher where an anomaly is likelier.
    """

    x: float
    y: float
    r: float | None = None
    ratio: float | None = None
    score: float | None = None
    map: np.ndarray | None = field(default=None, repr=False, compare=False)


class Source(Protocol):
    """Labelled pictures, in an order that does not change."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...

    def clean(self) -> Iterator[np.ndarray]:
        """Pictures without an anomaly: label-0 rows, else the twins."""
        ...


@runtime_checkable
class Localizer(Protocol):
    """Anything that says where.

    ``told`` names what a method is given beside the image; the caller hands over nothing
    else. ``locate`` takes (H, W, 3) uint8 RGB images of any sizes.
    """

    told: frozenset[str]
    learns: Learns

    def fit(self, train: Source, val: Source, run: Path) -> None: ...

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]: ...
