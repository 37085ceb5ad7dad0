"""Proposes candidates from the coarse evidence, over place, radius and ratio, coarse to fine.

The evidence of squares of POOL px is the finest level of a pyramid; the squares of each next level
are twice as large. Every radius is scored at the level whose squares are small enough for it, and
the radii of a level differ by less than one square. So a few radii cover all, and each candidate
is within a square of its true centre.

All places are scored with the highest evidence of the ratios above 1, and with that of those below,
which bounds the logit for each of these ratios; only the best places are scored for every ratio.
Candidates are then refined level by level down to the finest one, where the logits of all sizes
are comparable.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from localize.localizer import Known, Range
from localize.methods.hough.aggregation import VoteAggregation
from localize.methods.hough.candidates import Candidate, fit_radius, non_max_suppression
from localize.methods.hough.outlines import DIRECTIONS
from localize.methods.hough.refinement import ANY_RADIUS, middle_pixel, refine
from localize.methods.hough.voting import (
    accumulate_sides,
    sum_arcs,
    sum_sides,
    transform_arc_kernels,
    transform_arcs,
)
from localize.methods.ringvote.network import (
    BANDS,
    HYPOTHESES,
    POOL,
    RingVoteNet,
    band,
    nearest_hypothesis,
)

SMALLEST = 20.0  # px, radius
LARGEST = 0.47  # of the shorter side; a larger region is mostly the edge of the image itself
COARSER = 100.0  # px, radius from which on squares are twice as large; at twice that, again
STEP = 0.75  # squares from one radius to the next
PEAKS = 8  # places that are kept of each radius, for ratios above 1 and below
BOUNDED = 96  # places of each level that are scored for every ratio
KEPT = 48  # candidates that are kept of each level
REACH = 1  # squares of the finer level around a candidate within which it is refined
PADDING = 1  # squares without evidence around the image, at all levels but the finest
PROPOSED = 64  # candidates of all levels
SAME = 8.0  # px between centres and radii of candidates up to which they are duplicates

NOTHING = Known()
_AXES = [[kind for kind, each in enumerate(DIRECTIONS) if each % 4 == axis] for axis in range(4)]
# Kinds of edge, and the quarters (0 1 / 2 3) of a square that such an edge may pass through.
PATHS = (
    (_AXES[0], ((0, 2), (1, 3))),
    (_AXES[1], ((1, 2), (0,), (3,))),
    (_AXES[2], ((0, 1), (2, 3))),
    (_AXES[3], ((0, 3), (1,), (2,))),
)


def search_ratios(known: Known) -> tuple[float, ...]:
    """The ratios whose evidence is searched: the hypotheses nearest to any possible ratio.

    If a single hypothesis is nearest to all of them, the geometric middle of the range instead.
    """
    if known.ratio is None:
        return HYPOTHESES
    low, high = known.ratio
    least, most = HYPOTHESES[nearest_hypothesis(low)], HYPOTHESES[nearest_hypothesis(high)]
    if least == most:
        return (low if low == high else math.sqrt(low * high),)
    return tuple(ratio for ratio in HYPOTHESES if least <= ratio <= most)


def is_above_one(ratio: float) -> bool:
    """Whether a region of that ratio is brighter than without it."""
    return ratio > 1


def level_of(r: float) -> int:
    """A radius, px -> its level of the pyramid; 0 is the finest."""
    return max(0, math.floor(math.log2(r / COARSER)) + 1)


def band_from_end(r: float) -> int:
    """A radius, px -> the number of its band as a negative index; the largest is -1.

    Coarse levels hold only the bands of large radii.
    """
    return band(r) - len(BANDS) - 1


def square_side(level: int) -> int:
    """The side of a level's squares, px."""
    return POOL << level


def padding(level: int) -> int:
    """How far the squares of a level begin before the image, px."""
    return PADDING * square_side(level) if level else 0


def search_radii(height: int, width: int, within: Range | None = None) -> list[float]:
    """The radii to score in an image, px, rising.

    Args:
        within: the smallest and the largest possible radius, px; the smallest is then one of
            them, and they need only fit into the image.
    """
    low, high = SMALLEST, LARGEST * min(height, width)
    if within:
        low, high = (fit_radius(r, (height, width)) for r in within)
        low = max(1.0, low)
    radii, r = [], low
    while r <= high:
        radii.append(r)
        r += STEP * square_side(level_of(r))
    return radii


def coarsen(planes: Tensor) -> Tensor:
    """(..., KINDS, h, w) evidence of squares -> (..., KINDS, h / 2, w / 2) of twice their side.

    An edge passes through two of the four squares, side by side in its own direction; an
    oblique one may also pass through one in a corner alone. Which is unknown, so the
    logarithm of the mean of the paths' likelihoods is the evidence.
    """
    planes = F.pad(planes, (0, planes.shape[-1] % 2, 0, planes.shape[-2] % 2))
    a, b = planes[..., ::2, ::2], planes[..., ::2, 1::2]
    c, d = planes[..., 1::2, ::2], planes[..., 1::2, 1::2]
    coarse = torch.empty_like(a)
    for kinds, paths in PATHS:
        quarters = [each[..., kinds, :, :] for each in (a, b, c, d)]
        sums = [functools.reduce(torch.add, (quarters[n] for n in path)) for path in paths]
        coarse[..., kinds, :, :] = torch.stack(sums).logsumexp(0) - math.log(len(sums))
    return coarse


@torch.inference_mode()
def propose(
    network: RingVoteNet, evidence: Tensor, size: Sequence[int], known: Known
) -> list[Candidate]:
    """Coarse evidence of an image of (H, W) px -> its candidates, the likeliest first.

    Args:
        evidence: (HYPOTHESES, bands, KINDS, H / POOL, W / POOL), nats.
        known: the possible radii and ratios.
    """
    aggregation = network.coarse_aggregation
    radii: dict[int, list[float]] = {}
    for r in search_radii(size[0], size[1], known.r):
        radii.setdefault(level_of(r), []).append(r)
    pyramid = [evidence[[nearest_hypothesis(ratio) for ratio in search_ratios(known)]]]
    for _ in range(max(radii, default=0)):
        pyramid.append(coarsen(pyramid[-1][:, band_from_end(COARSER) :]))
    # A region that touches the image's edge may reach into the square beyond it.
    pyramid[1:] = (F.pad(planes, (PADDING,) * 4) for planes in pyramid[1:])
    candidates: list[Candidate] = []
    for level in sorted(radii, reverse=True):
        group = score_level(aggregation, pyramid[level], radii[level], known, level)
        for finer, reach in ((level, 0), *((each, REACH) for each in reversed(range(level)))):
            group = refine_level(aggregation, pyramid[finer], group, known, finer, reach)
            group = non_max_suppression(group, KEPT, STEP * square_side(finer))
        candidates += group
    return non_max_suppression(candidates, PROPOSED, SAME)


@torch.inference_mode()
def score_level(
    aggregation: VoteAggregation, planes: Tensor, radii: Sequence[float], known: Known, level: int
) -> list[Candidate]:
    """(ratios, bands, KINDS, h, w) of a level, radii in px -> candidates of the best places.

    Each of the BOUNDED places has one for every ratio on its side of 1. They have the same logit,
    which is an upper bound of the logit of each.
    """
    sides_of_one = [list(each) for _, each in itertools.groupby(search_ratios(known), is_above_one)]
    of_side = planes.split([len(ratios) for ratios in sides_of_one])
    highest = torch.stack([each.amax(0) for each in of_side])
    peaks = [
        (r, peak)
        for number, of_band in itertools.groupby(radii, band_from_end)
        for r, peak in score_radii(aggregation, highest[:, number], of_band, square_side(level))
    ]
    if not peaks:
        return []
    # All are read from the device at once.
    logits, rows, cols = torch.cat([peak for _, peak in peaks], 2).cpu().numpy()
    of_place = np.repeat([r for r, _ in peaks], [peak.shape[2] for _, peak in peaks])
    candidates: list[Candidate] = []
    for number in np.argsort(-logits, axis=None, kind="stable")[:BOUNDED]:
        which, place = divmod(int(number), len(of_place))
        x, y = (
            middle_pixel(int(at[which, place]), square_side(level)) - padding(level)
            for at in (cols, rows)
        )
        r, logit = float(of_place[place]), float(logits[which, place])
        candidates += [Candidate(x, y, r, logit, ratio=ratio) for ratio in sides_of_one[which]]
    return candidates


def score_radii(
    aggregation: VoteAggregation, evidence: Tensor, radii: Iterable[float], side: int
) -> Iterator[tuple[float, Tensor]]:
    """(n, KINDS, h, w) -> each radius that fits, px, and (3, n, PEAKS) its best places.

    Their logits, rows and columns.

    Args:
        radii: of one band, px.
        side: of the squares, px.
    """
    size = evidence.shape[2], evidence.shape[3]
    spectrum, sides = transform_arcs(evidence), accumulate_sides(evidence)
    for r in radii:
        low = math.ceil(r / side)
        if low >= min(size) - low:
            continue
        rows, cols = (slice(low, length - low) for length in size)
        kernels = transform_arc_kernels(r / side, spectrum.shape[2:], spectrum.device)
        arcs = sum_arcs(spectrum, kernels, size, rows, cols)
        logits = aggregation.logits(
            itertools.chain(arcs, sum_sides(sides, r / side, rows, cols)), r
        )
        best, places = logits.flatten(1).topk(min(PEAKS, logits[0].numel()))
        width = logits.shape[2]
        yield r, torch.stack([best, places // width + low, places % width + low])


def refine_level(
    aggregation: VoteAggregation,
    planes: Tensor,
    candidates: Sequence[Candidate],
    known: Known,
    level: int,
    reach: int,
) -> list[Candidate]:
    """Candidates -> the same with the logits of this level, refined if ``reach`` is not 0.

    Args:
        planes: (ratios, bands, KINDS, h, w) of this level.
        reach: squares around a candidate within which its centre and radius are refined.
    """
    side, before, ratios = square_side(level), padding(level), search_ratios(known)
    within = known.r if known.r and reach else ANY_RADIUS
    refined: list[Candidate] = []
    for (ratio, number), group in group_by_condition(candidates).items():
        evidence = planes[ratios.index(ratio), number]
        group = [one.translate(before, before) for one in group]
        refined += refine(aggregation, evidence, group, reach, within=within, unit=side)
    return [one.translate(-before, -before) for one in refined if one.logit > -math.inf]


def group_by_condition(
    candidates: Iterable[Candidate],
) -> dict[tuple[float, int], list[Candidate]]:
    """Candidates by what their evidence depends on: the ratio and the band of the radius."""
    groups: dict[tuple[float, int], list[Candidate]] = {}
    for one in candidates:
        groups.setdefault((one.ratio, band_from_end(one.r)), []).append(one)
    return groups
