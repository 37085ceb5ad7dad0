"""The options of `patchcore`, without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from localize.methods.backbones.options import BackboneOptions
from localize.options import option
from synth.errors import InputError

Convention = Literal["anomalib", "paper"]
Place = Literal["peak", "centroid"]


@dataclass(frozen=True, kw_only=True)
class PatchCoreOptions(BackboneOptions):
    """Options of ``patchcore``.

    ``neighbours`` is, for the convention ``anomalib``, the number of bank rows that determine the
    weight of an image's score (1: no weight); for ``paper``, the number of nearest bank rows whose
    distances are averaged for the score of a patch.
    """

    family: ClassVar[str] = "patchcore"

    convention: Convention = field(
        default="anomalib",
        metadata=option(
            "Implementation to follow: anomalib, or paper (the release of its authors)."
        ),
    )
    coreset_ratio: float = field(
        default=0.1, metadata=option("Share of the clean patches that the memory bank keeps.")
    )
    max_bank: int = field(
        default=10_000, metadata=option("Largest number of patches in the memory bank.")
    )
    neighbours: int | None = field(
        default=None,
        metadata=option(
            "Number of nearest clean patches or images that a score depends on.",
            default_text="9; convention paper 1",
        ),
    )
    stream: bool = field(
        default=False,
        metadata=option(
            "Select the patches in one pass, with bounded memory for any number of images."
        ),
    )
    locate: Place = field(
        default="peak",
        metadata=option(
            "Point of the map that is the answer: peak, or centroid of the blob around it."
        ),
    )

    def __post_init__(self) -> None:
        self.check_choice("convention", get_args(Convention))
        self.check_choice("locate", get_args(Place))
        if not 0 < self.coreset_ratio <= 1:
            raise InputError(f"coreset-ratio is {self.coreset_ratio}: give a number in 0 to 1")
        self.check_counts("max_bank", "neighbours")
