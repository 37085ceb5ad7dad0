"""Images -> pooled features of a pretrained network."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from localize.data.batches import stretch
from localize.methods.backbones.convolutions import fold_norms, speed_up
from localize.methods.backbones.pretrained import MOBILENET, Pretrained, timm
from localize.methods.transfer.options import Features
from localize.training.trainer import to_float
from synth.errors import InputError

BATCH = 32  # images per forward pass
STAGES = 3  # stages whose features are used beside those of the last layer
MOBILENET_STAGES = (7, 14, 18)  # its layers after which a stage ends


class PooledBackbone(Pretrained):
    """(B, 3, h, w) float32 in 0 to 1 -> (B, D) float32: the pooled features of the images.

    The features of the last layer are pooled as the network itself pools them, those of a stage by
    their mean. The features of each are scaled to length 1, and all are concatenated and scaled to
    length 1, so that none dominates a distance.

    Args:
        size: (w, h) px of the images.

    Raises:
        InputError: the network has no such features, or takes no images of this size.
    """

    def __init__(self, name: str, features: Features, size: tuple[int, int]) -> None:
        more: dict[str, Any] = {"dynamic_img_size": True} if name.startswith("vit_") else {}
        model: Any
        if name == MOBILENET:
            from torchvision.models import mobilenet_v2

            model = mobilenet_v2().features
        else:
            model = timm.create_model(name, num_classes=0, **more)
        super().__init__(name, model)
        self.features = features
        self._is_repeated = False  # whether the last stage is the last layer, as in a ResNet
        self.length = self._check(size)

    def _check(self, size: tuple[int, int]) -> int:
        """Run the network once -> the number of features."""
        width, height = size
        ramp = torch.linspace(0, 1, 3 * height * width).view(1, 3, height, width)
        try:
            with torch.no_grad():
                parts = self._parts(ramp)
                if len(parts) > 1 and parts[-2].shape == parts[-1].shape:
                    self._is_repeated = torch.allclose(parts[-2], parts[-1], atol=1e-5)
                return self(ramp).shape[1]
        except (RuntimeError, AssertionError, AttributeError, TypeError, ValueError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InputError(
                f"{self.name} gives no pooled features for input {width}x{height} ({reason}): "
                "choose another backbone or --input"
            ) from None

    def forward(self, images: Tensor) -> Tensor:
        parts = self._parts(self.normalise(images))
        if self._is_repeated:
            del parts[-2]
        joined = torch.cat([functional.normalize(part.float()) for part in parts], dim=1)
        return joined / len(parts) ** 0.5

    def _parts(self, images: Tensor) -> list[Tensor]:
        """-> (B, C) pooled features of the stages, and of the last layer."""
        maps: Sequence[Tensor]
        if self.name == MOBILENET:
            maps = []
            for start, end in zip((0, *MOBILENET_STAGES[:-1]), MOBILENET_STAGES, strict=True):
                images = self.model[start:end](images)
                maps.append(images)
            last = self.model[MOBILENET_STAGES[-1] :](images).mean((2, 3))
        else:
            output, maps = self.model.forward_intermediates(
                images, indices=STAGES, output_fmt="NCHW"
            )
            last = self.model.forward_head(output, pre_logits=True)
        stages = maps if self.features == "stages" else ()
        return [*(each.mean((2, 3)) for each in stages), last]


class Extractor:
    """Computes the features of images with a network that it prepares for fast inference.

    With bfloat16 numbers the features differ by about 4 % of their length from those with float32,
    which matters little beside the distance between different photos, 70 to 90 % of it.

    Args:
        size: (w, h) px to which images are stretched.
        bfloat16: whether the convolutions compute with bfloat16 numbers.
    """

    def __init__(
        self, network: PooledBackbone, size: tuple[int, int], device: torch.device, bfloat16: bool
    ) -> None:
        self.values = sum(values.numel() for values in network.parameters())
        self.length, self._size, self._device = network.length, size, device
        self.bfloat16 = bfloat16
        network = network.to(device)
        # Winograd's transforms would lose too many of the digits of bfloat16.
        (fold_norms if self.bfloat16 else speed_up)(network.model)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def in_float32(self) -> PooledBackbone:
        """The prepared network; features are computed in float32 from here on."""
        self.bfloat16 = False
        return self._network

    @torch.inference_mode()
    def rows(self, images: Sequence[np.ndarray]) -> Tensor:
        """B x (H, W, 3) uint8 of any sizes -> (B, D) float32 features of length 1, on the CPU."""
        rows = torch.empty((len(images), self.length))
        for start in range(0, len(images), BATCH):
            inputs = [stretch(image, self._size) for image in images[start : start + BATCH]]
            batch = to_float(torch.stack(inputs).to(self._device))
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self.bfloat16):
                rows[start : start + len(inputs)] = self._network(batch)
        return rows


def backbone(features: Features, size: tuple[int, int]) -> functools.partial[PooledBackbone]:
    """The function that builds a backbone by its name."""
    return functools.partial(PooledBackbone, features=features, size=size)
