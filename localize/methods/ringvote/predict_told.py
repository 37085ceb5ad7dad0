"""Predicts the centre of a region whose radius and ratio are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from localize.localizer import Finding, Told
from localize.methods.hough.border import Border
from localize.methods.hough.candidates import Candidate, best_of, fit_radius
from localize.methods.hough.centre_scores import rank_centres
from localize.methods.hough.gap_scores import gap_map
from localize.methods.hough.refinement import refine_centre
from localize.methods.ringvote.evidence import encode_image, evidence_of
from localize.methods.ringvote.network import RingVoteNet
from localize.methods.ringvote.platt import inputs

CANDIDATES = 32  # local maxima of the logits from which the score is computed


@torch.inference_mode()
def find_candidates(
    network: RingVoteNet, image: np.ndarray, told: Told, gaps: bool = False
) -> tuple[Tensor, list[Candidate], np.ndarray]:
    """(H, W, 3) uint8 -> (KINDS, H, W) evidence, candidates, best first, (H, W) logits.

    Args:
        gaps: whether rounding gaps add to the logits.
    """
    height, width = image.shape[:2]
    r = fit_radius(told.r, (height, width))
    encoding = encode_image(network, image)
    evidence = evidence_of(network, encoding, told.discolor_ratio, r)[:, :height, :width]
    evidence = Border.of(image).suppress(evidence)
    term = gap_map(image, told) if gaps else None
    added = None if term is None else torch.from_numpy(term).to(evidence.device)
    candidates, logits = rank_centres(network.aggregation, evidence, told, CANDIDATES, added)
    if term is not None:
        candidates = [replace(one, gaps=float(term[one.y, one.x])) for one in candidates]
    return evidence, candidates, logits


@torch.inference_mode()
def find(network: RingVoteNet, image: np.ndarray, told: Told, gaps: bool = False) -> Finding:
    """(H, W, 3) uint8 -> the likeliest centre of a region of the told radius and ratio, px.

    The score is the log odds that there is such a region.

    Args:
        gaps: whether rounding gaps add to the logits.
    """
    evidence, candidates, logits = find_candidates(network, image, told, gaps)
    score = network.platt(image_only=False).log_odds(inputs(candidates))
    best = best_of(candidates, evidence.shape[1:])
    x, y = refine_centre(network.aggregation, evidence, best)
    return Finding(
        x, y, r=told.r, ratio=told.discolor_ratio, score=score, map=logits,
        gap_evidence=best.gaps if gaps else None,
    )  # fmt: skip
