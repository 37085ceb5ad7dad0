"""Predicts centre, radius and ratio of a region from the image alone.

Coarse to fine: proposals from the evidence of squares, refined at full resolution; the candidate
with the least expected cost is the answer, and its ratio is measured across its edge.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from localize.localizer import Finding, Known
from localize.methods.hough.border import Border
from localize.methods.hough.candidates import Candidate, best_of, non_max_suppression
from localize.methods.hough.corners import search_corners
from localize.methods.hough.gap_scores import add_gap_evidence
from localize.methods.hough.outlines import SHAPES
from localize.methods.hough.refinement import ANY_RADIUS, refine, refine_centre, refine_radius
from localize.methods.hough.voting import accumulate_sides
from localize.methods.ringvote.evidence import encode_image, evidence_of
from localize.methods.ringvote.network import CELL, POOL, RingVoteNet
from localize.methods.ringvote.platt import inputs
from localize.methods.ringvote.proposals import (
    NOTHING,
    SAME,
    group_by_condition,
    propose,
    search_radii,
)
from localize.methods.ringvote.rescoring import rescore
from synth.colour import LUMA

REFINEMENTS = ((4, 2), (1, 1))  # reach and step, px
ROOM = 10  # px of evidence beyond a candidate, into which a refinement may move or enlarge it
REFINED = 24  # candidates of the coarse search that are refined
CORNERED = 8  # the likeliest of these; the squares among them are searched anew at their corners
CHUNK = 4  # candidates that are refined at a time, which bounds the memory
EDGE_DISTANCE = 2  # px from the edge to the pixels on either side whose ratio is measured


@torch.inference_mode()
def coarse_evidence_of(network: RingVoteNet, encoding: Tensor, border: Border) -> Tensor:
    """(1, channels, h, w) of an image -> (HYPOTHESES, bands, KINDS, H / POOL, W / POOL), nats."""
    return border.suppress(network.coarse_evidence(encoding)[0], cell=POOL)


@torch.inference_mode()
def evidence_window(
    network: RingVoteNet, encoding: Tensor, border: Border, candidates: Sequence[Candidate]
) -> tuple[Tensor, int, int]:
    """Evidence of a part of the image that holds some candidates of one ratio and band.

    Args:
        encoding: (1, channels, h, w) of the image.

    Returns:
        (KINDS, h, w) evidence, nats, and its top and left in the image, px.
    """
    reach = max(math.ceil(one.r) for one in candidates) + ROOM
    spans = []
    for centres, lines in (
        ([one.y for one in candidates], border.rows),
        ([one.x for one in candidates], border.cols),
    ):
        first = max(0, min(centres) - reach) // CELL * CELL
        spans.append((first, min(len(lines), max(centres) + reach + 1)))
    (top, bottom), (left, right) = spans
    part = encoding[:, :, top // CELL : -(-bottom // CELL), left // CELL : -(-right // CELL)]
    evidence = evidence_of(network, part, candidates[0].ratio, candidates[0].r)
    evidence = evidence[:, : bottom - top, : right - left]
    return border.suppress(evidence, top, left), top, left


@torch.inference_mode()
def find_candidates(
    network: RingVoteNet, image: np.ndarray, known: Known = NOTHING
) -> tuple[Tensor, Border, list[Candidate]]:
    """(H, W, 3) uint8 -> its encoding (1, channels, h, w), border and candidates, best first.

    Args:
        known: the possible radii and ratios.
    """
    encoding = encode_image(network, image)
    border = Border.of(image)
    coarse = coarse_evidence_of(network, encoding, border)
    proposed = propose(network, coarse, image.shape[:2], known)[:REFINED]
    refined: list[Candidate] = []
    for group in group_by_condition(proposed).values():
        evidence, top, left = evidence_window(network, encoding, border, group)
        for first in range(0, len(group), CHUNK):
            chunk = [one.translate(-left, -top) for one in group[first : first + CHUNK]]
            for reach, step in REFINEMENTS:
                within = known.r or ANY_RADIUS
                chunk = refine(network.aggregation, evidence, chunk, reach, step, within)
            refined += [one.translate(left, top) for one in chunk]
    refined = [one for one in refined if one.logit > -math.inf]
    refined += squares_at_corners(network, encoding, border, refined, known)
    candidates = non_max_suppression(refined, REFINED, SAME)
    if network.uses_tta:
        candidates = rescore(candidates, image, known.ratio, encoding.device)
    return encoding, border, candidates


def squares_at_corners(
    network: RingVoteNet,
    encoding: Tensor,
    border: Border,
    candidates: Sequence[Candidate],
    known: Known,
) -> list[Candidate]:
    """Candidates -> the best squares at the corners of the likeliest squares among them.

    Args:
        encoding: (1, channels, h, w) of the image.
    """
    height, width = len(border.rows), len(border.cols)
    radii = search_radii(height, width, known.r)
    if not radii or radii[0] == radii[-1]:
        return []
    likely = non_max_suppression(candidates, CORNERED, SAME)
    squares = [one for one in likely if one.square]
    found: list[Candidate] = []
    for group in group_by_condition(squares).values():
        evidence = evidence_of(network, encoding, group[0].ratio, group[0].r)
        sides = accumulate_sides(border.suppress(evidence[:, :height, :width]))
        found += search_corners(network.aggregation, sides, group, (radii[0], radii[-1]))
    return found


def measure_log_ratio(luma: np.ndarray, x: float, y: float, r: float, square: bool) -> float:
    """(H, W) grey levels and a region, px -> the logarithm of the ratio across its edge.

    The median over pairs of pixels along the edge, which is robust against other edges.
    """
    rows, cols, _ = SHAPES[square](r)
    sides = []
    for scale in ((r - EDGE_DISTANCE) / r, (r + EDGE_DISTANCE) / r):
        ys = np.clip(np.rint(y + rows * scale).astype(int), 0, luma.shape[0] - 1)
        xs = np.clip(np.rint(x + cols * scale).astype(int), 0, luma.shape[1] - 1)
        sides.append(np.log(luma[ys, xs] + 1))
    return float(np.median(sides[0] - sides[1]))


@torch.inference_mode()
def search(
    network: RingVoteNet, image: np.ndarray, known: Known = NOTHING, gaps: bool = False
) -> Finding:
    """(H, W, 3) uint8 -> the region's centre and radius, px, and ratio.

    The score is the log odds that there is such a region.

    Args:
        known: the possible radii and ratios.
        gaps: whether rounding gaps add to the logits.
    """
    encoding, border, candidates = find_candidates(network, image, known)
    if gaps:
        candidates = add_gap_evidence(candidates, image, known.ratio)
    height, width = image.shape[:2]
    score = network.platt(image_only=True).log_odds(inputs(candidates))
    if not candidates:  # the image is too small for any possible region
        return Finding((width - 1) / 2, (height - 1) / 2, score=score)
    best = best_of(candidates, (height, width))
    evidence, top, left = evidence_window(network, encoding, border, [best])
    best, aggregation = best.translate(-left, -top), network.aggregation
    x, y = refine_centre(aggregation, evidence, best)
    r = refine_radius(aggregation, evidence, x, y, best, known.r or ANY_RADIUS)
    x, y = refine_centre(aggregation, evidence, dataclasses.replace(best, r=r))
    x, y = x + left, y + top
    luma = image.astype(np.float32) @ LUMA
    ratio = math.exp(measure_log_ratio(luma, x, y, r, best.square))
    return Finding(x, y, r=r, ratio=ratio, score=score, gap_evidence=best.gaps if gaps else None)
