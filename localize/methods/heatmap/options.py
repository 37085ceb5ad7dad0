"""The options of `heatmap`, without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from localize.methods.ringvote.options import RingVoteOptions
from localize.options import TrainingOptions, metadata_of, option
from synth.errors import InputError

LEAST_WINDOW = 64  # px; the coarsest level of the network has squares of 32 px


@dataclass(frozen=True, kw_only=True)
class HeatmapOptions(TrainingOptions):
    """Options of ``heatmap``."""

    family: ClassVar[str] = "heatmap"

    epochs: int = field(default=30, metadata=metadata_of(TrainingOptions, "epochs"))
    batch: int = field(default=8, metadata=metadata_of(TrainingOptions, "batch"))
    learning_rate: float = field(
        default=2e-3, metadata=metadata_of(RingVoteOptions, "learning_rate")
    )
    window: int = field(
        default=512,
        metadata=option("Largest side in px of training images; larger ones are cropped to it."),
    )
    start: str | Path | None = field(
        default=None, metadata=metadata_of(RingVoteOptions, "start", "random weights")
    )
    encoder_rate: float = field(
        default=1.0,
        metadata=option(
            "Learning rate of the encoder as a multiple of the other weights'; 0 keeps the weights "
            "of --start."
        ),
    )
    calibration_images: int = field(
        default=200, metadata=metadata_of(RingVoteOptions, "calibration_images")
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_counts("calibration_images")
        self.check_number("learning_rate")
        if not 0 <= self.encoder_rate <= 1:
            raise InputError(f"encoder-rate is {self.encoder_rate}: give a number from 0 to 1")
        if self.window < LEAST_WINDOW:
            raise InputError(f"window is {self.window}: at least {LEAST_WINDOW} px is needed")
