"""Without being told: the same evidence for a few ratios, searched over place and radius.

Coarse to fine: evidence is smoothed along the edge and pooled, votes at many radii give
candidates, which are placed at full resolution; the best few are judged as if told.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from localize.localizer import Finding
from localize.methods.boundary import LUMA
from localize.methods.ringvote.locating import CERTAIN, Ballot, evidence, judged
from localize.methods.ringvote.network import Trunk
from localize.methods.ringvote.voting import ARCS, counts

RATIOS = (1.04, 1.09)  # hypotheses; each serves what lies near it
POOL = 4  # px, of the coarse search
SMALLEST = 20.0  # px, radius
GROWTH = 1.05  # from one radius to the next, but at least
STEP = 0.75  # of a coarse pixel
CANDIDATES = 16  # of each ratio, that are placed at full resolution
GRIDS = ((32, 4, 2), (3, 1, 1))  # how many candidates are placed, on what reach and step in px
NEAR_EDGE = 2  # px from the edge to the pixels whose ratio is measured
FAINTEST = 1.015  # ratio that the search is for
LEAST_ERROR = 0.004  # of a measured log ratio: rounding and coding


@dataclass(frozen=True)
class Candidate:
    """A circle or square, px; a higher score is likelier, among those of its kind."""

    x: float
    y: float
    r: float
    score: float
    which: int = 0  # of the ratios


def radii(height: int, width: int) -> list[float]:
    """The radii in px that the coarse search tries."""
    found, r = [], SMALLEST
    while 2 * r < min(height, width) - 1:
        found.append(r)
        r = max(r * GROWTH, r + STEP * POOL)
    return found


def pooled(planes: Tensor) -> Tensor:
    """(ARCS, H, W) -> (ARCS, H / POOL, W / POOL): the best of a cell, smoothed along the edge."""
    lines = torch.zeros(ARCS, 1, 5, 5, device=planes.device)
    for arc in range(ARCS):
        along = math.pi / 2 + arc * 2 * math.pi / ARCS
        for k in range(-2, 3):
            row, col = round(2 + k * math.sin(along)), round(2 + k * math.cos(along))
            lines[arc, 0, row, col] += 0.2
    smooth = F.conv2d(planes[None], lines, padding=2, groups=ARCS)
    return F.max_pool2d(smooth, POOL, ceil_mode=True)[0]


def coarse(planes: Tensor, which: int) -> list[Candidate]:
    """(ARCS, H, W) -> the likeliest candidates, at most one for a place and radius."""
    height, width = planes.shape[1:]
    small = pooled(planes)
    found: list[Candidate] = []
    top, right = small.shape[1:]
    spectrum = torch.fft.rfft2(small)
    for r in radii(height, width):
        low = math.ceil(r / POOL)
        for _, sums in counts(spectrum, r / POOL, (top, right)):
            kind = sums[:, low : top - low, low : right - low].sum(0)
            if not kind.numel():
                continue
            spread = float(kind.std()) + 1e-6
            value, place = torch.topk(kind.flatten(), min(2, kind.numel()))
            for v, p in zip(value.tolist(), place.tolist(), strict=True):
                row, col = divmod(p, kind.shape[1])
                x, y = ((i + low) * POOL + POOL // 2 for i in (col, row))
                found.append(Candidate(x, y, r, (v - float(kind.mean())) / spread, which))
    best: list[Candidate] = []
    for one in sorted(found, key=lambda c: -c.score):
        if all(
            math.hypot(one.x - c.x, one.y - c.y) > 3 * POOL or abs(one.r - c.r) > 3 * POOL
            for c in best
        ):
            best.append(one)
        if len(best) == CANDIDATES:
            break
    return best


def placed(
    network: Trunk, planes: np.ndarray, start: Candidate, reach: float, step: float
) -> Candidate:
    """(ARCS, H, W) -> the best candidate on a grid around another one: whole-pixel centres."""
    around = np.arange(-reach, reach + step / 2, step)
    best = dataclasses.replace(start, score=-math.inf)
    for r in start.r + around:
        ballot = Ballot(network, planes, float(r))
        for dy, dx in product(around.astype(int), repeat=2):
            score = ballot.logit(int(start.x + dx), int(start.y + dy))
            if score > best.score:
                best = Candidate(start.x + dx, start.y + dy, float(r), score, start.which)
    return best


def radius(network: Trunk, planes: np.ndarray, x: float, y: float, r: float) -> float:
    """(ARCS, H, W) and a circle, px -> the radius to a quarter of a pixel."""
    col, row = round(x), round(y)
    tried = [r + d for d in (0.0, -0.25, 0.25, -0.5, 0.5, -0.75, 0.75, 1.0)]
    return max(
        tried, key=lambda each: Ballot(network, planes, each, x - col, y - row).logit(col, row)
    )


def measured(luma: np.ndarray, x: float, y: float, r: float) -> tuple[float, float]:
    """(H, W) grey levels and a region -> the logarithm of the ratio across its edge, its error.

    A median over pairs along the edge, which clutter spares; of circle and square that which
    shows the clearer step. Pairs are counted as half as many, for neighbours are alike.
    """
    turn = np.linspace(0, 2 * math.pi, max(16, round(4 * r)), endpoint=False)
    around = np.cos(turn), np.sin(turn)
    largest = np.maximum(abs(around[0]), abs(around[1]))
    found = []
    for u, v in (around, (around[0] / largest, around[1] / largest)):
        sides = []
        for reach in (r - NEAR_EDGE, r + NEAR_EDGE):
            rows = np.clip(np.rint(y + reach * v).astype(int), 0, luma.shape[0] - 1)
            cols = np.clip(np.rint(x + reach * u).astype(int), 0, luma.shape[1] - 1)
            sides.append(np.log(luma[rows, cols] + 1))
        steps = sides[0] - sides[1]
        middle = float(np.median(steps))
        spread = float(np.median(np.abs(steps - middle))) * 1.4826  # as a Gaussian's sigma
        found.append((middle, 1.2533 * spread / math.sqrt(len(steps) / 2) + LEAST_ERROR))
    return max(found, key=lambda each: each[0] / each[1])


def _share(image: np.ndarray, r: float) -> float:
    """The share of the pixels that may be a centre: few rivals alone make no find certain."""
    height, width = image.shape[:2]
    places = max(1, height - math.floor(2 * r)) * max(1, width - math.floor(2 * r))
    return min(1.0, places / (height * width))


@torch.inference_mode()
def search(network: Trunk, image: np.ndarray) -> Finding:
    """(H, W, 3) uint8 -> the likeliest region, px, its ratio, and the log odds of its place."""
    planes = evidence(network, image, *RATIOS)
    still = planes.cpu().numpy()
    found = [c for which in range(len(RATIOS)) for c in coarse(planes[which], which)]
    for keep, reach, step in GRIDS:
        found = sorted(found, key=lambda c: -c.score)[:keep]
        found = [placed(network, still[c.which], c, reach, step) for c in found]
    if not found:
        height, width = image.shape[:2]
        return Finding((width - 1) / 2, (height - 1) / 2, score=-CERTAIN)
    luma = image.astype(np.float32) @ LUMA
    answers = []
    for c in found:
        verdict = judged(network, planes[c.which], c.r)
        brighter, error = measured(luma, verdict.x, verdict.y, c.r)
        # All hypotheses are of brightening: an edge that shows none is another kind of edge.
        lacking = max(0.0, math.log(FAINTEST) - brighter) / error
        odds = verdict.odds + math.log(_share(image, c.r)) - lacking**2 / 2
        answers.append((odds, verdict, c))
    odds, best, one = max(answers, key=lambda each: each[0])
    r = radius(network, still[one.which], best.x, best.y, one.r)
    # The more is tried, the likelier a chance find: all whole radii, and every ratio.
    tried = len(RATIOS) * max(1.0, min(image.shape[:2]) / 2 - SMALLEST)
    ratio = math.exp(measured(luma, best.x, best.y, r)[0])
    return Finding(best.x, best.y, r=r, ratio=ratio, score=odds - math.log(tried), map=best.logits)
