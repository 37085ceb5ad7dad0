"""The method as one network for export: images of the size of the input -> scores."""

from __future__ import annotations

from torch import Tensor, nn

from localize.methods.transfer.features import PooledBackbone
from localize.methods.transfer.head import Head
from localize.methods.transfer.neighbours import CleanFeatures


class HeadScores(nn.Module):
    """(B, 3, h, w) uint8 -> (B,) log odds of an anomaly."""

    def __init__(self, backbone: PooledBackbone, head: Head) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.head(self.backbone(images.float() / 255))
        return scores


class NeighbourDistances(nn.Module):
    """(B, 3, h, w) uint8 -> (B,) mean distance to the k nearest clean images."""

    def __init__(self, backbone: PooledBackbone, clean: CleanFeatures, k: int) -> None:
        super().__init__()
        bank = clean.bank
        self.backbone, self.k = backbone, min(k, len(bank.rows))
        self.whitening = clean.whitening or nn.Identity()
        self.register_buffer("bank", bank.rows.contiguous())
        self.register_buffer("squares", bank.squares)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.whitening(self.backbone(images.float() / 255))
        bank: Tensor = self.bank  # type: ignore[assignment]
        products = self.squares - 2 * rows @ bank.T
        nearest = bank[products.topk(self.k, dim=1, largest=False)[1]]
        return (rows[:, None] - nearest).square().sum(-1).sqrt().mean(1)
