"""Where in a picture, and how large, might a region be? Squares of pixels vote, coarse to fine.

Small regions are looked for in squares of a few pixels, larger ones in ever larger squares: from
one radius that is tried to the next is always less than a square, so that none falls in between,
and yet the radii are few. What is found is followed down to the smallest squares, where regions of
all sizes are compared.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from localize.localizer import Known, Range
from localize.methods.hough.aggregation import Rules
from localize.methods.hough.candidates import Candidate
from localize.methods.hough.refinement import ANY, middle, settled
from localize.methods.hough.voting import KINDS, TURNS, voters
from localize.methods.ringvote.network import BANDS, HYPOTHESES, POOL, Trunk, band, nearest
from localize.methods.ringvote.predict_told import fitting

SMALLEST = 20.0  # px, radius
LARGEST = 0.47  # of the shorter side: what is larger is mostly the picture's own frame
COARSER = 100.0  # px, radius from which on squares are larger; at twice that, again
STEP = 0.75  # of a square, from one radius to the next
PEAKS = 8  # places that are kept of each radius
FOLLOWED = 48  # candidates of each size of square that are followed down
FOLLOWING = 2  # of the smaller squares: how far from where they were found
BEYOND = 1  # large squares, in which nothing is seen, on each side of the image
PLACED = 64  # of all
SAME = 8.0  # px between centres or radii, below which candidates are the same


NOTHING = Known()
_ACROSS = [[kind for kind, turn in enumerate(TURNS) if turn % 4 == each] for each in range(4)]
# Kinds of edges, and through which of a square's quarters (0 1 / 2 3) such a one may go.
COURSES = (
    (_ACROSS[0], ((0, 2), (1, 3))),
    (_ACROSS[1], ((1, 2), (0,), (3,))),
    (_ACROSS[2], ((0, 1), (2, 3))),
    (_ACROSS[3], ((0, 3), (1,), (2,))),
)


def ratios(known: Known) -> tuple[float, ...]:
    """Those whose evidence is gathered: the hypotheses that serve what is known.

    Where one serves it all: what lies in the middle.
    """
    if known.ratio is None:
        return HYPOTHESES
    low, high = known.ratio
    least, most = HYPOTHESES[nearest(low)], HYPOTHESES[nearest(high)]
    if least == most:
        return (low if low == high else math.sqrt(low * high),)
    return tuple(ratio for ratio in HYPOTHESES if least <= ratio <= most)


def level(r: float) -> int:
    """A radius, px -> how often the sides of the squares are doubled for it."""
    return max(0, math.floor(math.log2(r / COARSER)) + 1)


def last(r: float) -> int:
    """A radius, px -> the number of its band, counted from the last one, which is -1.

    For levels of large squares have no bands of small radii.
    """
    return band(r) - len(BANDS) - 1


def side(level: int) -> int:
    """The side of a level's squares, px."""
    return POOL << level


def beyond(level: int) -> int:
    """How far a level's squares begin before the image, px."""
    return BEYOND * side(level) if level else 0


def radii(height: int, width: int, within: Range | None = None) -> list[float]:
    """The radii in px that the coarse search tries: of those known, or else of all.

    Where they are known they need only fit, and the smallest is one of them.
    """
    low, high = SMALLEST, LARGEST * min(height, width)
    if within:
        low, high = (fitting(r, (height, width)) for r in within)
        low = max(1.0, low)
    found, r = [], low
    while r <= high:
        found.append(r)
        r += STEP * side(level(r))
    return found


def coarser(planes: Tensor) -> Tensor:
    """(..., KINDS, h, w) evidence of an edge in each square -> the same of squares twice as large.

    An edge goes through two of the four, side by side in its own direction; an oblique one also
    through one in a corner alone. Where is not known: the mean of the likelihoods counts.
    """
    planes = F.pad(planes, (0, planes.shape[-1] % 2, 0, planes.shape[-2] % 2))
    a, b = planes[..., ::2, ::2], planes[..., ::2, 1::2]
    c, d = planes[..., 1::2, ::2], planes[..., 1::2, 1::2]
    found = torch.empty_like(a)
    for kinds, courses in COURSES:
        some = [each[..., kinds, :, :] for each in (a, b, c, d)]
        ways = [functools.reduce(torch.add, (some[n] for n in way)) for way in courses]
        found[..., kinds, :, :] = torch.stack(ways).logsumexp(0) - math.log(len(ways))
    return found


@torch.inference_mode()
def coarse(network: Trunk, squares: Tensor, size: Sequence[int], known: Known) -> list[Candidate]:
    """(HYPOTHESES, bands, KINDS, h, w) of an image (H, W) -> the likeliest, each apart."""
    tried: dict[int, list[float]] = {}
    for r in radii(size[0], size[1], known.r):
        tried.setdefault(level(r), []).append(r)
    pyramid = [squares[[nearest(ratio) for ratio in ratios(known)]]]
    for _ in range(max(tried, default=0)):
        pyramid.append(coarser(pyramid[-1][:, last(COARSER) :]))
    # A region that ends within a large square of the image's edge sticks out by part of one.
    pyramid[1:] = (F.pad(planes, (BEYOND,) * 4) for planes in pyramid[1:])
    found: list[Candidate] = []
    for number in sorted(tried, reverse=True):
        some = listened(network.rough, pyramid[number], tried[number], known, number)
        some = apart(some, FOLLOWED, STEP * side(number))
        for below in reversed(range(number)):
            some = followed(network.rough, pyramid[below], some, known, below)
            some = apart(some, FOLLOWED, STEP * side(below))
        found += some
    return apart(found, PLACED)


def listened(
    rules: Rules, planes: Tensor, tried: Sequence[float], known: Known, number: int
) -> list[Candidate]:
    """(ratios, bands, KINDS, h, w) of a level, radii in px -> the likeliest places of each."""
    found: list[Candidate] = []
    hypotheses = ratios(known)
    for which, some in itertools.groupby(tried, last):
        spectrum = torch.fft.rfft2(planes[:, which])
        for r in some:
            found += likeliest(rules, spectrum, planes.shape[3:], r, hypotheses, side(number))
    return [one.moved(-beyond(number), -beyond(number)) for one in found]


def likeliest(
    rules: Rules,
    spectrum: Tensor,
    sizes: Sequence[int],
    r: float,
    ratios: Sequence[float],
    unit: int,
) -> list[Candidate]:
    """(ratios, KINDS, h, w // 2 + 1) transform of squares' evidence -> the PEAKS of each ratio.

    Args:
        sizes: h and w.
        r: px.
        unit: the squares' side, px.
    """
    low = math.ceil(r / unit)
    if low >= min(sizes) - low:
        return []
    high, wide = sizes
    inside = slice(low, high - low), slice(low, wide - low)
    kernels = list(voters(r / unit, (high, wide), KINDS, spectrum.device))
    # One ratio after the other: its sums stay in a processor's cache.
    together = len(ratios) if spectrum.is_cuda else 1
    found = []
    for begun in range(0, len(ratios), together):
        heard = spectrum[begun : begun + together]
        votes = (
            (shape, torch.fft.irfft2(heard[:, kinds] * kernel, (high, wide))[..., *inside])
            for shape, kinds, kernel in kernels
        )
        logits = rules.logits(votes, r)
        best, places = logits.flatten(1).topk(min(PEAKS, logits[0].numel()))
        some = ratios[begun : begun + together]
        for ratio, values, at in zip(some, best.tolist(), places.tolist(), strict=True):
            for value, place in zip(values, at, strict=True):
                y, x = (middle(i + low, unit) for i in divmod(place, logits.shape[2]))
                found.append(Candidate(x, y, r, value, False, ratio))
    return found


def followed(
    rules: Rules, planes: Tensor, starts: Sequence[Candidate], known: Known, number: int
) -> list[Candidate]:
    """(ratios, bands, KINDS, h, w) of a level, candidates of the one above -> the best around."""
    within, unit, before = known.r or ANY, side(number), beyond(number)
    hypotheses = ratios(known)
    found: list[Candidate] = []
    for (ratio, which), group in by_kind(starts).items():
        theirs = planes[hypotheses.index(ratio), which]
        group = [one.moved(before, before) for one in group]
        found += settled(rules, theirs, group, FOLLOWING, within=within, unit=unit)
    return [one.moved(-before, -before) for one in found if one.logit > -math.inf]


def by_kind(candidates: Iterable[Candidate]) -> dict[tuple[float, int], list[Candidate]]:
    """Candidates by what their evidence depends on: the ratio and the band of radii."""
    kinds: dict[tuple[float, int], list[Candidate]] = {}
    for one in candidates:
        kinds.setdefault((one.ratio, last(one.r)), []).append(one)
    return kinds


def apart(candidates: Iterable[Candidate], most: int, same: float = SAME) -> list[Candidate]:
    """The likeliest, at most one for a place and radius."""
    best: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: -c.logit):
        if all(
            math.hypot(one.x - c.x, one.y - c.y) > same or abs(one.r - c.r) > same for c in best
        ):
            best.append(one)
        if len(best) == most:
            break
    return best
