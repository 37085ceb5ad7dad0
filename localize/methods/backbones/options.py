"""The options that choose a pretrained network and its weights, without torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from localize.options import LearnerOptions, option

BACKBONE = "tf_efficientnet_lite0"


@dataclass(frozen=True, kw_only=True)
class BackboneOptions(LearnerOptions):
    """Options of every method with a pretrained network."""

    backbone: str = field(
        default=BACKBONE, metadata=option("Name of the feature network in timm, or mobilenet_v2.")
    )
    weights: str | Path | None = field(
        default=None,
        metadata=option(
            "File with the weights of the backbone.", default_text="from a Python package"
        ),
    )
    weights_sha256: str | None = field(
        default=None, metadata=option("SHA-256 that the file of --weights must have.")
    )
    download: bool = field(
        default=False, metadata=option("Download the weights of the backbone from its model hub.")
    )
    random_weights: bool = field(
        default=False,
        metadata=option("Leave the backbone untrained; the tables note this beside the name."),
    )
