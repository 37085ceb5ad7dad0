"""The options of `transfer` and `transfer-clean`, without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from localize.methods.backbones.options import BackboneOptions
from localize.methods.cnn_options import CnnOptions
from localize.methods.patchcore.options import PatchCoreOptions
from localize.methods.ringvote.options import RingVoteOptions
from localize.options import TrainingOptions, metadata_of, option
from synth.errors import InputError

Features = Literal["stages", "last"]
Form = Literal["auto", "clean", "labelled"]
LEAST_SIDE = 32  # px: smallest side of the input, the stride of the last layers


@dataclass(frozen=True, kw_only=True)
class TransferCleanOptions(BackboneOptions):
    """Options of ``transfer-clean``."""

    family: ClassVar[str] = "transfer-clean"

    input: tuple[int, int] = field(default=(224, 224), metadata=metadata_of(CnnOptions, "input"))
    features: Features = field(
        default="stages",
        metadata=option(
            "Pooled features of an image: stages (the last three stages and the last layer) or "
            "last (the last layer)."
        ),
    )
    neighbours: int = field(default=2, metadata=metadata_of(PatchCoreOptions, "neighbours"))

    whitening: float = field(
        default=0.9,
        metadata=option(
            "Shrinkage, up to 1, of the covariance by which features are whitened before distances "
            "to clean images; 0: no whitening."
        ),
    )

    def __post_init__(self) -> None:
        self.check_choice("features", get_args(Features))
        self.check_counts("neighbours")
        if not 0 <= self.whitening <= 1:
            raise InputError(f"whitening is {self.whitening}: give a number from 0 to 1")
        if min(self.input) < LEAST_SIDE:
            width, height = self.input
            least = f"{LEAST_SIDE}x{LEAST_SIDE}"
            raise InputError(f"input {width}x{height}: at least {least} px is needed")


@dataclass(frozen=True, kw_only=True)
class TransferOptions(TransferCleanOptions, TrainingOptions):
    """Options of ``transfer``; epochs, batch and learning rate are those of ``finetune``."""

    family: ClassVar[str] = "transfer"

    learns: Form = field(
        default="auto",
        metadata=option(
            "Images to learn from: clean, labelled, or auto (labelled if the training split has "
            "images with and without an anomaly)."
        ),
    )
    finetune: bool = field(
        default=False,
        metadata=option("After the head, train the last layers of the backbone as well."),
    )
    epochs: int = field(default=3, metadata=metadata_of(TrainingOptions, "epochs"))
    batch: int = field(default=32, metadata=metadata_of(TrainingOptions, "batch"))
    learning_rate: float = field(
        default=1e-4, metadata=metadata_of(RingVoteOptions, "learning_rate")
    )

    def __post_init__(self) -> None:
        TransferCleanOptions.__post_init__(self)
        TrainingOptions.__post_init__(self)
        self.check_choice("learns", get_args(Form))
        self.check_number("learning_rate")
        if self.finetune and self.learns == "clean":
            raise InputError("--finetune needs labels: leave it out, or --learns clean")
