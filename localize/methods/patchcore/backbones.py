"""The pretrained networks whose two middle stages give the features of the patches."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from localize.methods.backbones import pretrained
from localize.methods.backbones.pretrained import MOBILENET, Choice, Pretrained, timm
from localize.methods.patchcore.embedding import Parts
from synth.errors import InputError

STAGES, REDUCTIONS = (2, 3), [8, 16]  # layer2 and layer3 of a ResNet; their strides


class Backbone(Pretrained):
    """(B, 3, s, s) float32 in 0 to 1 -> feature maps of two stages, the finer first.

    ``multiple``: s must be a multiple of this.
    """

    def __init__(self, name: str) -> None:
        model: Any
        multiple = 1
        blocks: list[int] = []
        if name == MOBILENET:
            from torchvision.models import mobilenet_v2

            model = mobilenet_v2().features[:14]
        elif name.startswith("vit_"):
            model = timm.create_model(name, dynamic_img_size=True, num_classes=0)
            multiple = model.patch_embed.patch_size[0]
            middle = len(model.blocks) // 2
            blocks = [middle - 1, middle]
            del model.blocks[middle + 1 :]
        else:
            model = _stages(name)
        super().__init__(name, model, multiple)
        self._blocks = blocks

    def forward(self, images: torch.Tensor) -> Parts:
        images = self.normalise(images)
        if self.name == MOBILENET:
            fine = self.model[:7](images)
            return fine, self.model[7:](fine)
        if self._blocks:
            fine, coarse = self.model.forward_intermediates(
                images, indices=self._blocks, output_fmt="NCHW", intermediates_only=True, norm=True
            )
            return fine, coarse
        fine, coarse = self.model(images)
        return fine, coarse


def _stages(name: str) -> nn.Module:
    """A network of timm, cut off after its two middle stages."""
    try:
        model = timm.create_model(name, features_only=True, out_indices=STAGES)
        info: Any = model.feature_info
        if info.reduction() == REDUCTIONS:
            return model
    except (RuntimeError, AssertionError, IndexError, AttributeError, TypeError):
        pass  # timm's errors where a network has no such stages
    raise InputError(
        f"{name} has no stages with 1/8 and 1/16 of the side: choose a ResNet or a similar network"
    )


def build(choice: Choice) -> tuple[Backbone, dict[str, str | None]]:
    """A choice -> the network with its weights, and the source of the weights.

    Raises:
        InputError: the weights are missing, or belong to another network.
    """
    return pretrained.build(choice, Backbone)
