"""Predicts the centre of a region whose radius and ratio are told."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from localize.localizer import Finding, Told
from localize.methods.hough.border import Border
from localize.methods.hough.candidates import Candidate, best_of, fit_radius
from localize.methods.hough.centre_scores import rank_centres
from localize.methods.hough.refinement import refine_centre
from localize.methods.ringvote.evidence import encode_image, evidence_of
from localize.methods.ringvote.network import RingVoteNet
from localize.methods.ringvote.platt import inputs
from localize.methods.ringvote.wrapped import find_wrapped_pixels

CANDIDATES = 32  # local maxima of the logits from which the score is computed


@torch.inference_mode()
def find_candidates(
    network: RingVoteNet, image: np.ndarray, told: Told
) -> tuple[Tensor, list[Candidate], np.ndarray]:
    """(H, W, 3) uint8 -> (KINDS, H, W) evidence, candidates, best first, (H, W) logits."""
    height, width = image.shape[:2]
    r = fit_radius(told.r, (height, width))
    encoding = encode_image(network, image)
    evidence = evidence_of(network, encoding, told.discolor_ratio, r)[:, :height, :width]
    evidence = Border.of(image).suppress(evidence)
    wrapped = find_wrapped_pixels(network.wrapped_head, image)
    added = torch.from_numpy(wrapped.map(r)).to(evidence.device) if wrapped else None
    return evidence, *rank_centres(network.aggregation, evidence, told, CANDIDATES, added)


@torch.inference_mode()
def find(network: RingVoteNet, image: np.ndarray, told: Told) -> Finding:
    """(H, W, 3) uint8 -> the likeliest centre of a region of the told radius and ratio, px.

    The score is the log odds that there is such a region.
    """
    evidence, candidates, logits = find_candidates(network, image, told)
    score = network.platt(image_only=False).log_odds(inputs(candidates))
    best = best_of(candidates, evidence.shape[1:])
    x, y = refine_centre(network.aggregation, evidence, best)
    return Finding(x, y, r=told.r, ratio=told.discolor_ratio, score=score, map=logits)
