"""The options of `autoencoder`, without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from localize.methods.patchcore.options import PatchCoreOptions, Place
from localize.methods.ringvote.options import RingVoteOptions
from localize.options import TrainingOptions, metadata_of, option

Error = Literal["mse", "ssim"]
PER_IMAGE = 8  # crops of each image that is read: reading an image takes longer than cropping it


@dataclass(frozen=True, kw_only=True)
class AutoencoderOptions(TrainingOptions):
    """Options of ``autoencoder``."""

    family: ClassVar[str] = "autoencoder"

    error: Error = field(
        default="mse",
        metadata=option(
            "Error of the reconstruction, as loss and as map: mse (squared error) or ssim "
            "(structural similarity)."
        ),
    )
    latent: int = field(
        default=100,
        metadata=option("Number of values that describe a square of 128 px in the bottleneck."),
    )
    crops: int = field(
        default=1024,
        metadata=option(f"Number of random crops per epoch, {PER_IMAGE} of each image."),
    )
    epochs: int = field(default=30, metadata=metadata_of(TrainingOptions, "epochs"))
    batch: int = field(default=4, metadata=metadata_of(TrainingOptions, "batch"))
    learning_rate: float = field(
        default=1e-3, metadata=metadata_of(RingVoteOptions, "learning_rate")
    )
    locate: Place = field(default="peak", metadata=metadata_of(PatchCoreOptions, "locate"))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_choice("error", get_args(Error))
        self.check_choice("locate", get_args(Place))
        self.check_counts("latent", "crops")
        self.check_number("learning_rate")
