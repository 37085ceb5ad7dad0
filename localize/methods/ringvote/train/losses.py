"""The losses: cross-entropy of a region's centre over all possible centres, and of its edge pixels.

For every region of a batch the network's evidence is summed and aggregated as at prediction,
which gives a logit for each pixel as the centre; the loss is the negative logarithm of the right
pixels' share. A hard negative, a radius and ratio at which the image has no region, competes with
the right answer. A second loss trains the evidence of each pixel directly.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from localize.methods.hough.aggregation import VoteAggregation
from localize.methods.hough.outlines import KINDS, PLANES
from localize.methods.hough.voting import transform_kernels
from localize.methods.ringvote.network import POOL, RingVoteNet
from localize.methods.ringvote.train.targets import Batch, CentreTargets, EdgeTargets

RIGHT = 1.5  # px from the centre within which a pixel is a right answer
# Likelihood of the right answer below which the loss saturates, so that regions that cannot be
# found do not dominate it.
LEAST_LIKELIHOOD = 3e-3
NEAR = 8.0  # px around the centres of the image's other regions that are not wrong answers
PIXEL_WEIGHT = 0.5  # of the loss of single pixels, beside that of centres
COARSE_WEIGHT = 0.5  # of both losses of the coarse head, beside those of the evidence head
NEGATIVES = 20  # conditions of a search that the one hard negative of an image represents
EXCLUDED = -1e9  # logit of a pixel that is no possible answer


class CentreTerms(NamedTuple):
    """The (n, H, W) logits of n centres, reduced to the terms of the loss.

    Args:
        every: (n,), log of the sum over all possible centres.
        right: (n,), log of the sum over the right ones.
        distance: (n,), px from the true centre to the pixel with the highest logit.
    """

    every: Tensor
    right: Tensor
    distance: Tensor


def batch_loss(network: RingVoteNet, batch: Batch, chunk: int = 1) -> tuple[Tensor, Tensor]:
    """The mean loss of a batch on the network's device.

    Args:
        chunk: centres whose votes are summed at a time; more need more memory and are faster on
            a GPU.

    Returns:
        () the loss, nats; and (N,) distances from each region's centre to the best pixel, px;
        none for images with so many regions that only their edges are targets.
    """
    height, width = batch.images.shape[2:]
    bands, edges_only = batch.mix.shape[1] - 1, len(batch.centres) == 0
    encoding = network.encode(batch.images.float())
    evidence = network.evidence(encoding, batch.mix[:, :bands] if edges_only else batch.mix)
    evidence = evidence[..., :height, :width]
    loss = PIXEL_WEIGHT * pixel_loss(evidence[:, :bands], batch.edges)
    if edges_only:
        return loss, loss.new_empty(0)
    votes, distances = vote_loss(network.aggregation, evidence, batch.centres, chunk=chunk)
    coarse = network.coarse_evidence(encoding).flatten(0, 2)
    first = torch.arange(len(encoding), device=encoding.device)[:, None]
    first = first * (len(coarse) // len(encoding))
    coarse = coarse.index_select(0, (first + batch.coarse_planes).flatten())
    coarse = coarse.unflatten(0, batch.coarse_planes.shape)
    coarse_votes, _ = vote_loss(
        network.coarse_aggregation, coarse, batch.coarse_centres, POOL, chunk
    )
    coarse_pixels = pixel_loss(coarse[:, :bands], batch.coarse_edges)
    return loss + votes + COARSE_WEIGHT * (coarse_votes + coarse_pixels), distances


def pixel_loss(evidence: Tensor, edges: EdgeTargets) -> Tensor:
    """(B, bands, KINDS, H, W) -> () binary cross-entropy, edge pixels against all pixels, nats.

    Both have the same total weight, in every image and band.
    """
    pixels = evidence.permute(0, 1, 3, 4, 2).reshape(-1, KINDS).index_select(0, edges.at)
    along_edge = (pixels * edges.weights).sum(1)
    everywhere = F.softplus(evidence).mean((2, 3, 4))
    return F.softplus(-along_edge) @ edges.shares + (everywhere * edges.bands).sum()


def vote_loss(
    aggregation: VoteAggregation,
    evidence: Tensor,
    targets: CentreTargets,
    unit: int = 1,
    chunk: int = 1,
) -> tuple[Tensor, Tensor]:
    """(B, planes, KINDS, H, W) -> () loss, nats; (N,) distances of the best pixels, px / unit.

    Args:
        unit: px of the image along a pixel of the evidence.
        chunk: centres whose votes are summed at a time.
    """
    size = evidence.shape[-2], evidence.shape[-1]
    spectrum = torch.fft.rfft2(evidence.contiguous()).flatten(0, 1)
    plane = targets.image * evidence.shape[1] + targets.plane
    chunks = []
    for first in range(0, len(targets), chunk):
        part = slice(first, min(len(targets), first + chunk))
        of_part = spectrum.index_select(0, plane[part])
        logits = centre_logits(aggregation, of_part, targets, part, size, unit)
        chunks.append(centre_terms(logits, targets, part))
    terms = CentreTerms(*(torch.cat(each) for each in zip(*chunks, strict=True)))
    return combine_terms(terms, targets, len(evidence), evidence.shape[1] - 1)


def combine_terms(
    terms: CentreTerms, targets: CentreTargets, images: int, negative_plane: int
) -> tuple[Tensor, Tensor]:
    """(N,) terms -> () loss, nats; distances of the regions without the hard negatives.

    All centres of an image's hard negative are wrong answers for its regions too.

    Args:
        images: number of images.
        negative_plane: the plane of the hard negatives.
    """
    negatives = targets.plane == negative_plane
    wrong = terms.every.new_full((images,), EXCLUDED)
    wrong = wrong.index_copy(
        0, targets.image[negatives], terms.every[negatives] + math.log(NEGATIVES)
    )
    loss = torch.logaddexp(terms.every, wrong[targets.image]) - terms.right
    loss = -torch.logaddexp(-loss, torch.full_like(loss, math.log(LEAST_LIKELIHOOD)))
    return (loss * targets.shares).sum(), terms.distance[~negatives]


def centre_logits(
    aggregation: VoteAggregation,
    spectrum: Tensor,
    targets: CentreTargets,
    part: slice,
    size: tuple[int, int],
    unit: int,
) -> Tensor:
    """(n, KINDS, H, W // 2 + 1) transform of evidence -> (n, H, W) logits of n targets.

    Args:
        part: which of the targets.
        size: H and W.
        unit: px of the image along a pixel of the evidence.
    """
    votes = slice(targets.starts[part.start], targets.starts[part.stop])
    places = targets.at[votes] - part.start * KINDS * size[0] * size[1]
    kernels = transform_kernels(places, targets.weights[votes], len(spectrum) * KINDS, size)
    # One transform for the kinds of both shapes, each target with kernels of its own radius.
    sums = torch.fft.irfft2(spectrum * kernels.unflatten(0, (-1, KINDS)), size)
    arcs = ((shape, sums[:, planes]) for shape, planes in enumerate(PLANES))
    return aggregation.logits(arcs, targets.r[part, None, None] * unit)


def centre_terms(logits: Tensor, targets: CentreTargets, part: slice) -> CentreTerms:
    """(n, H, W) logits of n targets -> (n,) terms of the loss.

    Every pixel within RIGHT px of the centre is right: the evidence may be sharp between pixels.
    """
    y, x = (torch.arange(side, device=logits.device) for side in logits.shape[1:])
    rows, cols = targets.rows[part, :, None], targets.cols[part, :, None]
    row_fits, col_fits = (y >= rows[:, 0]) & (y < rows[:, 1]), (x >= cols[:, 0]) & (x < cols[:, 1])
    logits = logits.masked_fill(~(row_fits[:, :, None] & col_fits[:, None]), EXCLUDED)
    across = (x - targets.others[part, :, :1]).abs() < NEAR
    down = (y - targets.others[part, :, 1:]).abs() < NEAR
    near_other = (down[..., None] & across[:, :, None]).any(1)
    logits = logits.masked_fill(near_other, EXCLUDED)
    gap_x, gap_y = x - targets.centre[part, :1], y - targets.centre[part, 1:]
    squared = gap_x[:, None] ** 2 + gap_y[:, :, None] ** 2
    right = logits.masked_fill(squared > RIGHT**2, EXCLUDED)
    with torch.no_grad():
        best = logits.flatten(1).argmax(1, keepdim=True)
        distance = squared.flatten(1).gather(1, best)[:, 0].sqrt()
    every, right_sum = (torch.logsumexp(each.flatten(1), 1) for each in (logits, right))
    return CentreTerms(every, right_sum, distance)
