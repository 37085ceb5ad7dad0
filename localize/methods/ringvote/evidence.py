"""Runs the network on an image of any size, in strips, which bounds the memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from localize.methods.ringvote.network import CELL, POOL, REACH, RingVoteNet, band, head_mix

STRIP = 3 << 20  # px that are computed at a time


def is_bfloat16_faster(device: torch.device) -> bool:
    """Whether convolutions in bfloat16 are much faster than in float32: on a CPU with AMX."""
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", None)  # private: may be missing
    return device.type == "cpu" and has_amx is not None and has_amx()


@torch.inference_mode()
def encode_image(network: RingVoteNet, image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, channels, h, w) float32 of :meth:`RingVoteNet.encode`, on its device.

    Where :func:`is_bfloat16_faster`, the convolutions are computed in bfloat16.
    """
    height, width = image.shape[:2]
    device = next(network.parameters()).device
    cells = -(-height // POOL) * (POOL // CELL), -(-width // POOL) * (POOL // CELL)
    encoding = torch.empty((1, network.channels, *cells), device=device)
    encoding = encoding.to(memory_format=torch.channels_last)
    rows = max(POOL, STRIP // width // POOL * POOL)
    for top in range(0, height, rows):
        first, last = max(0, top - REACH), min(height, top + rows + REACH)
        strip = torch.from_numpy(np.array(image[first:last])).to(device)
        with torch.autocast(device.type, torch.bfloat16, is_bfloat16_faster(device)):
            part = network.encode(strip.permute(2, 0, 1)[None].float())
        end = min(cells[0], (top + rows) // CELL)
        above = first // CELL
        encoding[:, :, top // CELL : end] = part[:, :, top // CELL - above : end - above]
    return encoding


@torch.inference_mode()
def evidence_of(network: RingVoteNet, encoding: Tensor, ratio: float, r: float) -> Tensor:
    """(1, channels, h, w) -> (KINDS, CELL h, CELL w) float32 evidence, nats.

    Args:
        ratio, r: of the region whose edge it is evidence for; r in px.
    """
    mix = head_mix([(ratio, band(r))])[None].to(encoding)
    rows = max(1, STRIP // (CELL**2 * encoding.shape[3]))
    strips = [network.evidence(part, mix)[0, 0] for part in encoding.split(rows, dim=2)]
    return strips[0] if len(strips) == 1 else torch.cat(strips, 1)
