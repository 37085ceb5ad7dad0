"""The options of the CNN regressors and of the U-Net, without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from localize.data.augmentation_names import check_augmentations
from localize.options import TrainingOptions, metadata_of, option
from synth.errors import InputError

LEAST_SIDE = 16  # px: smallest side of the input; four poolings reduce it to 1


@dataclass(frozen=True, kw_only=True)
class CnnOptions(TrainingOptions):
    """Options of ``cnn-*`` and ``unet-dsnt``; None is the default of the variant."""

    family: ClassVar[str] = "cnn-*, unet-dsnt"

    epochs: int | None = field(
        default=None, metadata=metadata_of(TrainingOptions, "epochs", "10 to 30, by method")
    )
    input: tuple[int, int] = field(
        default=(800, 800),
        metadata=option("Size WIDTHxHEIGHT in px to which images are stretched."),
    )
    learning_rate: float | None = field(
        default=None,
        metadata=option(
            "Learning rate of the optimiser.", default_text="0.0001 to 0.001, by method"
        ),
    )
    patience: int | None = field(
        default=None,
        metadata=option(
            "Stop after this many epochs without a smaller validation distance.",
            default_text="never",
        ),
    )
    augment: tuple[str, ...] = field(
        default=(),
        metadata=option(
            "Augmentations, joined by commas: flip, turn, crop, noise, gain.", default_text="none"
        ),
    )
    raw_numeric: bool = field(
        default=False,
        metadata=option("Do not standardise r and the ratio before they enter the network."),
    )
    devices: int | None = field(
        default=None,
        metadata=option("Number of GPUs to train on.", default_text="all", recorded=False),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_counts("patience", "devices")
        self.check_number("learning_rate")
        if min(self.input) < LEAST_SIDE:
            width, height = self.input
            least = f"{LEAST_SIDE}x{LEAST_SIDE}"
            raise InputError(f"input {width}x{height}: at least {least} px is needed")
        check_augmentations(self.augment)
