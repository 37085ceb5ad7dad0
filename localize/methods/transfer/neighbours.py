"""The distance of features to those of the nearest clean images."""

from __future__ import annotations

import torch
from torch import Tensor

from localize.methods.patchcore.scoring import Bank, nearest_rows

BLOCK = 1024  # images whose distances are computed at a time, which bounds the memory


@torch.inference_mode()
def mean_distances(rows: Tensor, bank: Bank, k: int) -> Tensor:
    """(N, D) features, M clean ones -> (N,) mean distance to the k nearest clean ones.

    Source: Bergman, Cohen, Hoshen (2020), "Deep Nearest Neighbor Anomaly Detection".
    """
    device = bank.rows.device
    blocks = [
        nearest_rows(block.to(device), bank, k)[0].mean(1).cpu() for block in rows.split(BLOCK)
    ]
    return torch.cat(blocks) if blocks else torch.empty(0)
