"""The options of `ringvote`, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from localize.options import TrainingOptions, metadata_of, option
from localize.run_files import SHIPPED
from synth.paths import path_of

RENAMED = {
    "lessons": "calibration_images"
}  # option name in model.json of earlier versions -> present name
REMOVED = frozenset({"second"})  # options of earlier versions that no longer exist


@dataclass(frozen=True, kw_only=True)
class RingVoteOptions(TrainingOptions):
    """Options of ``ringvote`` in all its forms."""

    family: ClassVar[str] = "ringvote"

    epochs: int = field(default=20, metadata=metadata_of(TrainingOptions, "epochs"))
    batch: int = field(default=4, metadata=metadata_of(TrainingOptions, "batch"))
    learning_rate: float = field(default=2e-3, metadata=option("Learning rate of the optimiser."))
    width: int = field(
        default=48, metadata=option("Number of channels in the hidden layers of the network.")
    )
    start: str | Path | None = field(
        default=None,
        metadata=option(
            "Start from the weights of a run folder, or from the included ones (ringvote).",
            default_text="random weights",
            recorded=False,
        ),
    )
    calibration_images: int = field(
        default=200,
        metadata=option("Number of validation images to which the scores are calibrated."),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_counts("width", "calibration_images")
        self.check_number("learning_rate")


def start_run(start: str | Path) -> Path:
    """The value of the option ``start`` -> the run folder whose weights are loaded."""
    return SHIPPED / "ringvote" if str(start) == "ringvote" else path_of(start)


def current_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a ``model.json`` of any version -> the same under their present names."""
    return {
        RENAMED.get(name, name): value for name, value in options.items() if name not in REMOVED
    }
