"""The training of the network with Lightning."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from localize.methods.heatmap.losses import loss_of
from localize.methods.heatmap.network import HeatmapNet, Maps, middles
from localize.methods.heatmap.targets import Batch, R
from localize.training.trainer import RunModule

DECAY = 0.5  # share of the steps at the end in which the learning rate falls to 0
WARM_UP = 50  # steps in which it rises
WEIGHT_DECAY = 1e-3
CLIP = 1.0  # largest norm of the gradient


class HeatmapTraining(RunModule):
    """Trains a network with AdamW.

    Args:
        steps: of the whole training.
        encoder_rate: learning rate of the encoder, relative to the other weights; 0: unchanged.
        bfloat16: compute the convolutions with bfloat16 numbers.
    """

    network: HeatmapNet

    def __init__(
        self,
        network: HeatmapNet,
        learning_rate: float,
        steps: int,
        encoder_rate: float,
        bfloat16: bool,
    ) -> None:
        super().__init__(network)
        self.learning_rate, self.steps, self.uses_bfloat16 = learning_rate, steps, bfloat16
        self.encoder_rate = encoder_rate
        for parameter in network.encoder_parameters():
            parameter.requires_grad_(encoder_rate > 0)

    def _step(self, batch: Batch, stage: str) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.uses_bfloat16):
            maps = self.network(batch["image"].float())
        loss = loss_of(maps, batch["regions"], batch["size"])
        options: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True}
        self.log(f"{stage}_loss", loss.detach(), batch_size=len(batch["image"]), **options)
        distances = distances_of(maps, batch["regions"])
        if len(distances):
            name = f"{stage}_distance"
            self.log(name, distances.mean(), batch_size=len(distances), **options)
        return loss

    def training_step(self, batch: Batch, index: int) -> Tensor:
        return self._step(batch, "train")

    def validation_step(self, batch: Batch, index: int) -> None:
        self._step(batch, "val")

    def configure_optimizers(self) -> Any:
        encoder = list(self.network.encoder_parameters())
        others = [p for p in self.parameters() if all(p is not q for q in encoder)]
        groups: list[dict[str, Any]] = [{"params": others, "lr": self.learning_rate}]
        if self.encoder_rate:
            rate = self.encoder_rate * self.learning_rate
            groups.append({"params": encoder, "lr": rate})
        optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, self.rate)
        return {
            "optimizer": optimiser,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0, as a share of the highest one."""
        left = (self.steps - step) / max(1.0, self.steps * DECAY)
        return max(0.0, min(1.0, left, (step + 1) / min(WARM_UP, self.steps)))


@torch.no_grad()
def distances_of(maps: Maps, regions: Tensor) -> Tensor:
    """Maps and regions of a batch -> (n,) px: from each image's likeliest square to a region.

    The nearest region counts; images without a region are left out.
    """
    rate = maps.log_rate
    places = rate.flatten(1).argmax(1)
    rows, columns = places // rate.shape[2], places % rate.shape[2]
    image = torch.arange(len(rate), device=rate.device)
    x = middles(rate.shape[2], rate.device)[columns] + maps.offset[image, 0, rows, columns]
    y = middles(rate.shape[1], rate.device)[rows] + maps.offset[image, 1, rows, columns]
    distances = (regions[..., :R] - torch.stack([x, y], 1)[:, None]).norm(dim=2)
    nearest = distances.nan_to_num(torch.inf).amin(1)
    return nearest[nearest.isfinite()]
