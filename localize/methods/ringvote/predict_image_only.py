"""Without being told: the same evidence for a few ratios, searched over place and radius.

Coarse to fine: squares of a few pixels vote at many radii, which gives candidates; these are
placed at full resolution, and the one that is expected to cost least is the answer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from localize.localizer import Finding, Known, Range
from localize.methods.hough.aggregation import Rules
from localize.methods.hough.border import Border
from localize.methods.hough.candidates import Candidate, best_of
from localize.methods.hough.refinement import ANY, Ballot, settled
from localize.methods.hough.voting import SHAPES
from localize.methods.ringvote.network import CELL, POOL, Trunk
from localize.methods.ringvote.predict_told import evidence, facts_of, grey, looked, placed
from localize.methods.ringvote.proposals import NOTHING, PLACED, apart, by_kind, coarse
from localize.methods.ringvote.rescoring import reconsidered

ROUNDS = ((4, 2), (1, 1))  # of placing: reach and step, px
ROOM = 10  # px of evidence beyond a region, which placing may move and enlarge
TOGETHER = 4  # of them at a time, which bounds the memory
RADII = np.array([0.0, -0.25, 0.25, -0.5, 0.5, -0.75, 0.75, 1.0])  # px more than a whole one
NEAR_EDGE = 2  # px from the edge to the pixels whose ratio is measured
LEAST_ERROR = 0.004  # of a measured log ratio: rounding and coding


@torch.inference_mode()
def window(
    network: Trunk, seen: Tensor, border: Border, group: Sequence[Candidate]
) -> tuple[Tensor, int, int]:
    """(1, channels, h, w) of a bordered image, candidates of one kind -> their evidence.

    It is (KINDS, h, w); and its top and left, px.
    """
    reach = max(map(math.ceil, (one.r for one in group))) + ROOM
    spans = []
    for places, lines in (([c.y for c in group], border.rows), ([c.x for c in group], border.cols)):
        first = max(0, min(places) - reach) // CELL * CELL
        spans.append((first, min(len(lines), max(places) + reach + 1)))
    (top, bottom), (left, right) = spans
    part = seen[:, :, top // CELL : -(-bottom // CELL), left // CELL : -(-right // CELL)]
    planes = evidence(network, part, group[0].ratio, group[0].r)
    planes = planes[:, : bottom - top, : right - left]
    return border.silence(planes, top, left), top, left


@torch.inference_mode()
def blind_candidates(
    network: Trunk, image: np.ndarray, known: Known = NOTHING
) -> tuple[Tensor, Border, list[Candidate]]:
    """(H, W, 3) uint8 -> (1, channels, h, w) seen, the border, the likeliest of any kind."""
    seen = looked(network, image)
    border = Border.of(image)
    squares = border.silence(network.surveyed(seen)[0], cell=POOL)
    found = []
    for group in by_kind(coarse(network, squares, image.shape[:2], known)).values():
        planes, top, left = window(network, seen, border, group)
        for begun in range(0, len(group), TOGETHER):
            some = [one.moved(-left, -top) for one in group[begun : begun + TOGETHER]]
            for reach, step in ROUNDS:
                some = settled(network.fine, planes, some, reach, step, known.r or ANY)
            found += [one.moved(left, top) for one in some]
    found = apart((one for one in found if one.logit > -math.inf), PLACED)
    if network.careful:
        found = reconsidered(found, image, known.ratio, seen.device)
    return seen, border, found


def radius(
    rules: Rules, planes: Tensor, x: float, y: float, one: Candidate, within: Range = ANY
) -> float:
    """(KINDS, H, W), a centre and a region, px -> its radius to a quarter of a pixel."""
    col, row = round(x), round(y)
    tried = (one.r + RADII).clip(*within)
    ballot = Ballot(rules, planes, tried, x - col, y - row)
    logits = ballot.logits(np.array([col]), np.array([row]))
    return float(tried[int(logits[:, int(one.square), 0].argmax())])


def measured(luma: np.ndarray, x: float, y: float, r: float, square: bool) -> tuple[float, float]:
    """(H, W) grey levels and a region -> the logarithm of the ratio across its edge, its error.

    A median over pairs along the edge, which clutter spares. Pairs are counted as half as
    many, for neighbours are alike.
    """
    rows, cols, _ = SHAPES[square](r)
    sides = []
    for scale in ((r - NEAR_EDGE) / r, (r + NEAR_EDGE) / r):
        ys = np.clip(np.rint(y + rows * scale).astype(int), 0, luma.shape[0] - 1)
        xs = np.clip(np.rint(x + cols * scale).astype(int), 0, luma.shape[1] - 1)
        sides.append(np.log(luma[ys, xs] + 1))
    steps = sides[0] - sides[1]
    middle = float(np.median(steps))
    spread = float(np.median(np.abs(steps - middle))) * 1.4826  # as a Gaussian's sigma
    return middle, 1.2533 * spread / math.sqrt(len(steps) / 2) + LEAST_ERROR


@torch.inference_mode()
def search(network: Trunk, image: np.ndarray, known: Known = NOTHING) -> Finding:
    """(H, W, 3) uint8 -> where a region likely is, px, its ratio, log odds that there is any."""
    seen, border, found = blind_candidates(network, image, known)
    height, width = image.shape[:2]
    if not found:  # too small for any region
        score = network.odds(blind=True).of(facts_of([]))
        return Finding((width - 1) / 2, (height - 1) / 2, score=score)
    one, score = best_of(found, (height, width)), network.odds(blind=True).of(facts_of(found))
    planes, top, left = window(network, seen, border, [one])
    here = one.moved(-left, -top)
    x, y = placed(network.fine, planes, here)
    r = radius(network.fine, planes, x, y, here, known.r or ANY)
    x, y = placed(network.fine, planes, dataclasses.replace(here, r=r))
    x, y = x + left, y + top
    ratio = math.exp(measured(grey(image), x, y, r, one.square)[0])
    return Finding(x, y, r=r, ratio=ratio, score=score)
