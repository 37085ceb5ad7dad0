"""How wrong the network is: for each region, which pixel is its centre?"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from localize.methods.hough.aggregation import Rules
from localize.methods.hough.voting import KINDS, PLANES
from localize.methods.ringvote.network import POOL, Trunk
from localize.methods.ringvote.train.targets import Asked, Edges, Lesson

RIGHT = 1.5  # px from the centre within which an answer is right
HOPELESS = 3e-3  # a centre less likely than that is hardly learned from
NEAR = 8.0  # px around the centres of other regions that no answer is asked for
PIXELWISE = 0.5  # weight of the loss that asks each pixel, beside the one that asks the centre
SURVEY = 0.5  # weight of what the search needs
RIVALS = 20  # as many radii and ratios a search asks about, that one drawn at random stands for
TOGETHER = 48  # centres that a GPU looks for at a time, which bounds the memory
NEVER = -1e9  # logit of what is not asked about


def lesson_loss(network: Trunk, lesson: Lesson) -> tuple[Tensor, Tensor]:
    """A batch on the network's device -> () the mean loss of its pictures, nats; (N,) distances.

    These are from each region's centre to the best pixel, in px; none for crowds.
    """
    height, width = lesson.images.shape[2:]
    bands, alone = lesson.mix.shape[1] - 1, len(lesson.fine) == 0
    seen = network.seen(lesson.images.float())
    evidence = network.evidence(seen, lesson.mix[:, :bands] if alone else lesson.mix)
    evidence = evidence[..., :height, :width]
    loss = PIXELWISE * pixel_loss(evidence[:, :bands], lesson.edges)
    if alone:
        return loss, loss.new_empty(0)
    votes, distances = vote_loss(network.fine, evidence, lesson.fine)
    surveyed = network.surveyed(seen).flatten(0, 2)
    first = torch.arange(len(seen), device=seen.device)[:, None] * (len(surveyed) // len(seen))
    squares = surveyed.index_select(0, (first + lesson.planes).flatten())
    squares = squares.unflatten(0, lesson.planes.shape)
    around, _ = vote_loss(network.rough, squares, lesson.rough, POOL)
    crowd = pixel_loss(squares[:, :bands], lesson.squares)
    return loss + votes + SURVEY * (around + crowd), distances


def pixel_loss(evidence: Tensor, edges: Edges) -> Tensor:
    """(B, bands, KINDS, H, W) -> nats: last pixels inside against all pixels, half the weight each.

    All pixels of the bands that regions are of, as many regions as there are.
    """
    last = evidence.permute(0, 1, 3, 4, 2).reshape(-1, KINDS).index_select(0, edges.at)
    along = (last * edges.weights).sum(1)
    everywhere = F.softplus(evidence).mean((2, 3, 4))
    return F.softplus(-along) @ edges.shares + (everywhere * edges.bands).sum()


def vote_loss(rules: Rules, evidence: Tensor, asked: Asked, unit: int = 1) -> tuple[Tensor, Tensor]:
    """(B, planes, KINDS, H, W) -> nats, and the distance of each region's best pixel.

    All that is wrong of a picture's rival, its centre nowhere, is wrong of its regions too.

    Args:
        unit: px of the image that a pixel of the evidence is.
    """
    sizes = evidence.shape[-2:]
    spectrum = torch.fft.rfft2(evidence.contiguous()).flatten(0, 1)
    whose = asked.picture * evidence.shape[1] + asked.plane
    step = TOGETHER if evidence.is_cuda else 1
    found = []
    for first in range(0, len(asked), step):
        some = slice(first, min(len(asked), first + step))
        theirs = spectrum.index_select(0, whose[some])
        logits = voted(rules, theirs, asked, some, (sizes[0], sizes[1]), unit)
        found.append(centres(logits, asked, some))
    all_, right, far = (torch.cat(each) for each in zip(*found, strict=True))
    rivals = asked.plane == evidence.shape[1] - 1
    wrong = all_.new_full((len(evidence),), NEVER)
    wrong = wrong.index_copy(0, asked.picture[rivals], all_[rivals] + math.log(RIVALS))
    lost = torch.logaddexp(all_, wrong[asked.picture]) - right
    # A region that nobody could find must not drown what can be learned from the others.
    lost = -torch.logaddexp(-lost, torch.full_like(lost, math.log(HOPELESS)))
    return (lost * asked.shares).sum(), far[~rivals]


def voted(
    rules: Rules, spectrum: Tensor, asked: Asked, some: slice, sizes: tuple[int, int], unit: int
) -> Tensor:
    """(n, KINDS, H, W // 2 + 1) transform of evidence -> (n, H, W) logits of the n asked."""
    first, each = some.start * KINDS, sizes[0] * sizes[1]
    used = slice(asked.starts[some.start], asked.starts[some.stop])
    kernels = asked.weights.new_zeros(len(spectrum) * KINDS * each)
    kernels[asked.at[used] - first * each] = asked.weights[used]
    voters = torch.fft.rfft2(kernels.view(-1, KINDS, *sizes)).conj()
    sums = torch.fft.irfft2(spectrum * voters, sizes)
    counted = ((number, sums[:, planes]) for number, planes in enumerate(PLANES))
    return rules.logits(counted, asked.r[some, None, None] * unit)


def centres(logits: Tensor, asked: Asked, some: slice) -> tuple[Tensor, Tensor, Tensor]:
    """(n, H, W) of the asked -> three of (n,): logit of all centres, of the right ones, distance.

    Any of the pixels beside the centre will do: asking for a blur would forbid sharpness.
    """
    y, x = (torch.arange(side, device=logits.device) for side in logits.shape[1:])
    rows, cols = asked.rows[some, :, None], asked.cols[some, :, None]
    high, wide = (y >= rows[:, 0]) & (y < rows[:, 1]), (x >= cols[:, 0]) & (x < cols[:, 1])
    logits = logits.masked_fill(~(high[:, :, None] & wide[:, None]), NEVER)
    across = (x - asked.others[some, :, :1]).abs() < NEAR
    down = (y - asked.others[some, :, 1:]).abs() < NEAR
    near = (down[..., None] & across[:, :, None]).any(1)
    logits = logits.masked_fill(near, NEVER)
    gap_x, gap_y = x - asked.centre[some, :1], y - asked.centre[some, 1:]
    away = gap_x[:, None] ** 2 + gap_y[:, :, None] ** 2
    right = logits.masked_fill(away > RIGHT**2, NEVER)
    with torch.no_grad():
        best = logits.flatten(1).argmax(1, keepdim=True)
        far = away.flatten(1).gather(1, best)[:, 0].sqrt()
    return torch.logsumexp(logits.flatten(1), 1), torch.logsumexp(right.flatten(1), 1), far
