"""From a picture to an answer: evidence strip by strip, votes, the best centre to a fraction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from localize.localizer import Finding, Told
from localize.methods.boundary import candidates, fast_length
from localize.methods.ringvote.features import Features
from localize.methods.ringvote.network import COARSE, REACH, Trunk
from localize.methods.ringvote.voting import ARCS, SHAPES, counts

STRIP = 1 << 18  # px whose evidence is computed at a time, which bounds the memory
LARGE = 1 << 22  # px from which arcs are counted one by one, likewise
FRACTIONS = (-0.5, -0.25, 0.0, 0.25, 0.5)
OFFSETS = sorted(product(FRACTIONS, repeat=2), key=lambda o: math.hypot(*o))
CERTAIN = 1e4  # log odds where there is but one place
ZONE = 5  # px around the best centre that count as the same answer


@torch.inference_mode()
def evidence(network: Trunk, image: np.ndarray, *ratios: float) -> Tensor:
    """(H, W, 3) uint8 -> (ratios, ARCS, H, W) float32 on the network's device."""
    device = next(network.parameters()).device
    height, width = image.shape[:2]
    whole = torch.empty((len(ratios), ARCS, height, width), device=device)
    rows = max(COARSE, STRIP // width // COARSE * COARSE)
    for top in range(0, height, rows):
        first, last = max(0, top - REACH), min(height, top + rows + REACH)
        strip = torch.from_numpy(np.array(image[first:last])).to(device)
        measured = Features(strip.permute(2, 0, 1)[None].float())
        end = min(height, top + rows)
        for which, ratio in enumerate(ratios):
            found = network(measured.of(torch.tensor([ratio])))[0]
            whole[which, :, top:end] = found[:, top - first : end - first]
    return whole


@dataclass(frozen=True)
class Verdict:
    """The best centre for one radius, px; log odds against all others; their logits (H, W)."""

    x: float
    y: float
    odds: float
    logits: np.ndarray


@torch.inference_mode()
def judged(network: Trunk, planes: Tensor, r: float) -> Verdict:
    """(ARCS, H, W) evidence and a radius in px -> the verdict."""
    height, width = planes.shape[1:]
    least = 2 * math.floor(r) + 3
    sizes = fast_length(max(height, least)), fast_length(max(width, least))
    rows, cols = candidates(height, r), candidates(width, r)
    spectrum = torch.stack([torch.fft.rfft2(plane, sizes) for plane in planes])
    together = ARCS if sizes[0] * sizes[1] < LARGE else 1
    logits = network.logits(counts(spectrum, r, sizes, together), r)[rows, cols]
    row, col = divmod(int(logits.argmax()), logits.shape[1])

    zone = (slice(max(0, row - ZONE), row + ZONE + 1), slice(max(0, col - ZONE), col + ZONE + 1))
    here = torch.logsumexp(logits[zone].flatten(), 0)
    rest = logits.clone()
    rest[zone] = -math.inf
    odds = min(float(here - torch.logsumexp(rest.flatten(), 0)), CERTAIN)
    shown = torch.full((height, width), float(logits.min()))
    shown[rows, cols] = logits.cpu()
    x, y = _placed(network, planes, r, col + cols.start, row + rows.start)
    return Verdict(x, y, odds, shown.numpy())


@torch.inference_mode()
def find(network: Trunk, image: np.ndarray, told: Told) -> Finding:
    """(H, W, 3) uint8 -> the likeliest centre of a region of the told radius and ratio, px.

    The score is the log odds of that place against all others, were there a region.
    """
    r = min(told.r, (min(image.shape[:2]) - 1) / 2)
    found = judged(network, evidence(network, image, told.discolor_ratio)[0], r)
    return Finding(
        found.x, found.y, r=told.r, ratio=told.discolor_ratio, score=found.odds, map=found.logits
    )


class Ballot:
    """Counts the votes for single centres at one radius; much cheaper than for all.

    Args:
        planes: (ARCS, H, W) evidence.
        dx, dy: offset of the centres from whole pixels.
    """

    def __init__(
        self, network: Trunk, planes: np.ndarray, r: float, dx: float = 0.0, dy: float = 0.0
    ) -> None:
        self._planes = planes
        self._rules = network.rules(r)
        self._outlines = [shape(r, dx, dy) for shape in SHAPES]

    def logit(self, col: int, row: int) -> float:
        """The logit of a centre beside a pixel; -inf where the region leaves the image."""
        height, width = self._planes.shape[1:]
        totals = []
        for (rows, cols, weights), (scale, knee, prior) in zip(
            self._outlines, self._rules, strict=True
        ):
            ys, xs = rows + row, cols + col
            if not len(ys) or min(ys.min(), xs.min()) < 0:
                return -math.inf
            if ys.max() >= height or xs.max() >= width:
                return -math.inf
            votes = scale * np.einsum("an,na->a", self._planes[:, ys, xs], weights)
            votes = np.where(votes < 0, votes, knee * np.log1p(abs(votes) / knee))
            totals.append(prior + votes.sum())
        return float(np.logaddexp(*totals))


def _placed(network: Trunk, planes: Tensor, r: float, col: int, row: int) -> tuple[float, float]:
    """The whole-pixel best centre -> to a quarter of a pixel: x, y."""
    top, left = max(0, row - math.ceil(r) - 2), max(0, col - math.ceil(r) - 2)
    near = planes[:, top : row + math.ceil(r) + 3, left : col + math.ceil(r) + 3].cpu().numpy()
    scores = [Ballot(network, near, r, dx, dy).logit(col - left, row - top) for dx, dy in OFFSETS]
    dx, dy = OFFSETS[int(np.argmax(scores))]
    return col + dx, row + dy
