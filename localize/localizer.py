"""The contract that every method keeps, and the run folder of one that learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from localize.run_files import RUN_FILE as RUN_FILE
from localize.run_files import read_run as read_run
from synth.anomaly import Anomaly
from synth.errors import InputError
from synth.renderer import Sample

Learns = Literal["nothing", "clean", "labelled"]
Range = tuple[float, float]
# The columns of a run's history.csv, one row an epoch; distances in px.
HISTORY = ("epoch", "train_loss", "train_distance", "val_loss", "val_distance")


@dataclass(frozen=True)
class Told:
    """What a told method is given beside the image: r in px of that image, and the ratio."""

    r: float
    discolor_ratio: float


@dataclass(frozen=True)
class Known:
    """What is known of a region, where not all is told: from which value to which.

    Args:
        r: px; twice the same where it is known exactly; None: any.
        ratio: likewise.

    Raises:
        InputError: a range has no end, or its ends are in the wrong order or not above 0.
    """

    r: Range | None = None
    ratio: Range | None = None

    def __post_init__(self) -> None:
        for name, within in (("r", self.r), ("ratio", self.ratio)):
            if within is not None and not 0 < within[0] <= within[1] < float("inf"):
                said = " to ".join(f"{end:g}" for end in dict.fromkeys(within))
                raise InputError(f"{name} is {said}: give numbers above 0, the smaller first")

    @property
    def told(self) -> Told | None:
        """Both numbers, where each is known exactly."""
        if self.r is None or self.ratio is None:
            return None
        exact = self.r[0] == self.r[1] and self.ratio[0] == self.ratio[1]
        return Told(self.r[0], self.ratio[0]) if exact else None


@dataclass(frozen=True)
class Finding:
    """Where a method says the anomaly is, and what else it knows.

    Args:
        x: column of the centre, px; NaN with y where it says no place.
        y: row of the centre, px.
        r: radius, px.
        ratio: the factor.
        score: how sure the method is that there is an anomaly; higher is surer.
        map: (H, W) float32, higher where an anomaly's centre is likelier; of a method whose
            ``map_marks`` is "region": where a pixel is likelier to lie in one.
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

    def truth(self, index: int) -> tuple[Anomaly, tuple[int, int]]:
        """The anomaly of a sample and its image's (width, height) px, without its pixels."""
        ...

    def clean(self) -> Iterator[np.ndarray]:
        """Pictures without an anomaly: label-0 rows, else the twins."""
        ...


@runtime_checkable
class Localizer(Protocol):
    """Anything that says where.

    ``told`` names what a method is given beside the image; the caller hands over nothing
    else. ``locate`` takes (H, W, 3) uint8 RGB images of any sizes. A method that learns is
    also loaded from a run folder that its ``fit`` wrote: ``load(run)`` of its class. Some have
    ``at_once``: how many images they are best asked about together; one fails alone.
    """

    told: frozenset[str]
    learns: Learns

    @property
    def parameters(self) -> int | None:
        """How many values it has learned; None where nobody knows."""
        ...

    def fit(self, train: Source, val: Source, run: Path) -> None: ...

    def locate(
        self, images: Sequence[np.ndarray], told: Sequence[Told] | None = None
    ) -> list[Finding]: ...


@runtime_checkable
class Seeker(Localizer, Protocol):
    """A localizer that is told nothing, and yet heeds what is known of a region."""

    def seek(self, image: np.ndarray, known: Known) -> Finding: ...
