"""The distance of features to those of the nearest clean images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from localize.methods.patchcore.scoring import Bank, nearest_rows
from localize.methods.transfer.whitening import Whitening

BLOCK = 1024  # images whose distances are computed at a time, which bounds the memory


@dataclass(frozen=True)
class CleanFeatures:
    """The features of the clean images, to which distances are computed.

    Args:
        bank: the features, whitened if there is a whitening.
        whitening: None: distances are computed between the features as they are.
    """

    bank: Bank
    whitening: Whitening | None = None

    @classmethod
    def of(cls, rows: Tensor, shrinkage: float) -> CleanFeatures:
        """(N, D) features of clean images, shrinkage of their covariance (0: none is used) ->"""
        if not shrinkage:
            return cls(Bank.of(rows))
        whitening = Whitening.of(rows, shrinkage)
        return cls(Bank.of(torch.cat([whitening(block) for block in rows.split(BLOCK)])), whitening)

    def state(self) -> dict[str, Tensor]:
        """The tensors by name, for a file."""
        return {"bank": self.bank.rows, **(self.whitening.state_dict() if self.whitening else {})}

    @classmethod
    def load(cls, state: dict[str, Tensor], device: torch.device) -> CleanFeatures:
        """The inverse of :meth:`state`; raises KeyError if a tensor is missing."""
        on_device = {name: values.to(device) for name, values in state.items()}
        bank = Bank.of(on_device.pop("bank"))
        return cls(bank, Whitening(**on_device) if on_device else None)

    @torch.inference_mode()
    def mean_distances(self, rows: Tensor, k: int) -> Tensor:
        """(N, D) features -> (N,) mean distance to the k nearest clean images.

        Source: Bergman, Cohen, Hoshen (2020), "Deep Nearest Neighbor Anomaly Detection".
        """
        device = self.bank.rows.device
        parts = []
        for block in rows.split(BLOCK):
            block = block.to(device)
            if self.whitening:
                block = self.whitening(block)
            parts.append(nearest_rows(block, self.bank, k)[0].mean(1).cpu())
        return torch.cat(parts) if parts else torch.empty(0)
