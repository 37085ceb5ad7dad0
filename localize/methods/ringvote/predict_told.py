"""From a picture to an answer: evidence by strips, votes, a centre to a fraction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from localize.localizer import Finding, Told
from localize.methods.boundary import LUMA, candidates, fast_length
from localize.methods.hough.aggregation import Rules
from localize.methods.hough.border import Border
from localize.methods.hough.candidates import Candidate, best_of
from localize.methods.hough.refinement import Ballot
from localize.methods.hough.voting import KINDS, counts
from localize.methods.ringvote.network import CELL, POOL, REACH, Trunk, band, mixed
from localize.methods.ringvote.platt import facts

STRIP = 3 << 20  # px whose evidence is computed at a time, which bounds the memory
LARGE = 1 << 22  # px from which arcs are counted one by one, likewise
FRACTIONS = (-0.5, -0.25, 0.0, 0.25, 0.5)
OFFSETS = np.array(sorted(product(FRACTIONS, repeat=2), key=lambda o: math.hypot(*o)))
ZONE = 5  # px around a centre that count as the same answer
CANDIDATES = 32  # places that say together whether there is anything


@torch.inference_mode()
def looked(network: Trunk, image: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, channels, h, w) of :meth:`Trunk.seen`, on the network's device."""
    height, width = image.shape[:2]
    device = next(network.parameters()).device
    cells = -(-height // POOL) * (POOL // CELL), -(-width // POOL) * (POOL // CELL)
    whole = torch.empty((1, network.channels, *cells), device=device)
    whole = whole.to(memory_format=torch.channels_last)
    rows = max(POOL, STRIP // width // POOL * POOL)
    for top in range(0, height, rows):
        first, last = max(0, top - REACH), min(height, top + rows + REACH)
        strip = torch.from_numpy(np.array(image[first:last])).to(device)
        seen = network.seen(strip.permute(2, 0, 1)[None].float())
        end = min(cells[0], (top + rows) // CELL)
        above = first // CELL
        whole[:, :, top // CELL : end] = seen[:, :, top // CELL - above : end - above]
    return whole


@torch.inference_mode()
def evidence(network: Trunk, seen: Tensor, ratio: float, r: float) -> Tensor:
    """(1, channels, h, w) -> (KINDS, CELL h, CELL w) float32 of a ratio and a radius in px."""
    mix = mixed([(ratio, band(r))])[None].to(seen)
    rows = max(1, STRIP // (CELL**2 * seen.shape[3]))
    strips = [network.evidence(part, mix)[0, 0] for part in seen.split(rows, dim=2)]
    return strips[0] if len(strips) == 1 else torch.cat(strips, 1)


@torch.inference_mode()
def scored(rules: Rules, planes: Tensor, r: float) -> tuple[Tensor, slice, slice]:
    """(KINDS, H, W) evidence, radius in px -> logits of possible centres; their rows, columns."""
    height, width = planes.shape[1:]
    least = 2 * math.floor(r) + 3
    sizes = fast_length(max(height, least)), fast_length(max(width, least))
    rows, cols = candidates(height, r), candidates(width, r)
    spectrum = torch.stack([torch.fft.rfft2(plane, sizes) for plane in planes])
    together = KINDS if sizes[0] * sizes[1] < LARGE else 1
    logits = rules.logits(counts(spectrum, r, sizes, together), r)[rows, cols]
    return logits, rows, cols


def peaks(logits: Tensor, most: int) -> list[tuple[int, int, float]]:
    """(H, W) -> row, column, value of the highest, none within ZONE px of a higher one."""
    highest = F.max_pool2d(logits[None, None], (2 * ZONE + 1, 1), 1, (ZONE, 0))
    highest = F.max_pool2d(highest, (1, 2 * ZONE + 1), 1, (0, ZONE))[0, 0]
    rest = torch.where(logits == highest, logits, -math.inf)
    values, places = rest.flatten().topk(min(most, rest.numel()))
    return [
        (*divmod(place, logits.shape[1]), value)
        for value, place in zip(values.tolist(), places.tolist(), strict=True)
        if value > -math.inf
    ]


@torch.inference_mode()
def ranked(
    rules: Rules, planes: Tensor, told: Told, most: int
) -> tuple[list[Candidate], np.ndarray]:
    """(KINDS, H, W) evidence of the told ratio -> the likeliest places, best first, (H, W) logits.

    The radius is the told one, or the largest that fits.
    """
    r = fitting(told.r, planes.shape[1:])
    logits, rows, cols = scored(rules, planes, r)
    found = [
        Candidate(col + cols.start, row + rows.start, r, logit, ratio=told.discolor_ratio)
        for row, col, logit in peaks(logits, most)
    ]
    shown = logits.min().expand(planes.shape[1:]).clone()
    shown[rows, cols] = logits
    return found, shown.cpu().numpy()


def fitting(r: float, size: Sequence[int]) -> float:
    """A radius and an image's (H, W), px -> the radius, or the largest that fits."""
    return min(r, (min(size) - 1) / 2)


@torch.inference_mode()
def told_planes(network: Trunk, seen: Tensor, border: Border, told: Told) -> Tensor:
    """(1, channels, h, w) of a bordered image (H, W) -> (KINDS, H, W) of what it is told of."""
    height, width = len(border.rows), len(border.cols)
    r = fitting(told.r, (height, width))
    planes = evidence(network, seen, told.discolor_ratio, r)[:, :height, :width]
    return border.silence(planes)


@torch.inference_mode()
def told_peaks(
    network: Trunk, image: np.ndarray, told: Told
) -> tuple[Tensor, list[Candidate], np.ndarray]:
    """(H, W, 3) uint8 -> (KINDS, H, W), the likeliest places, best first, (H, W) logits."""
    planes = told_planes(network, looked(network, image), Border.of(image), told)
    return planes, *ranked(network.fine, planes, told, CANDIDATES)


@torch.inference_mode()
def find(network: Trunk, image: np.ndarray, told: Told) -> Finding:
    """(H, W, 3) uint8 -> where a region of the told radius and ratio likely is, px.

    The score is the log odds that there is such a region.
    """
    planes, found, shown = told_peaks(network, image, told)
    score = network.odds(blind=False).of(facts_of(found))
    x, y = placed(network.fine, planes, best_of(found, planes.shape[1:]))
    return Finding(x, y, r=told.r, ratio=told.discolor_ratio, score=score, map=shown)


def facts_of(found: Sequence[Candidate]) -> Tensor:
    """Candidates, the likeliest first -> (FACTS,) for the odds."""
    best = found[0] if found else Candidate(0, 0, 0)
    return facts([one.logit for one in found], best.r, best.ratio, best.square)


def grey(image: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) float32 code values."""
    levels: np.ndarray = image.astype(np.float32) @ LUMA
    return levels


def placed(rules: Rules, planes: Tensor, one: Candidate) -> tuple[float, float]:
    """(KINDS, H, W) and a whole-pixel centre -> to a quarter of a pixel: x, y."""
    radii = np.full(len(OFFSETS), one.r)
    ballot = Ballot(rules, planes, radii, OFFSETS[:, 0], OFFSETS[:, 1])
    logits = ballot.logits(np.array([one.x]), np.array([one.y]))
    dx, dy = OFFSETS[int(logits.logsumexp(1).argmax())]
    return one.x + float(dx), one.y + float(dy)
