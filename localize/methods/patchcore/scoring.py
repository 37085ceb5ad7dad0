"""Patches and a memory bank -> distances, image scores; bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from localize.methods.patchcore.embedding import Parts, enlarge, join, to_rows
from localize.methods.patchcore.options import Convention

BLOCK = 1 << 20  # distances in memory at a time
GROUP = 32  # distances whose minimum is computed first where only the nearest row is needed


class Bank(NamedTuple):
    """(M, D) clean patches and their (M,) squared lengths, which are computed once."""

    rows: torch.Tensor
    squares: torch.Tensor

    @classmethod
    def of(cls, rows: torch.Tensor) -> Bank:
        """A bank of these rows."""
        return cls(rows, torch.linalg.vecdot(rows, rows))

    def part(self, start: int, length: int) -> Bank:
        """The bank of ``length`` rows from ``start`` on."""
        return Bank(self.rows[start : start + length], self.squares[start : start + length])


Search = Callable[[Bank], torch.Tensor]  # part of the bank -> |c|² - 2x·c for all x, (N, part)


def nearest_rows(rows: torch.Tensor, bank: Bank, k: int) -> tuple[torch.Tensor, ...]:
    """(N, D), bank -> (N, k) L2 distances, nearest first, and (N, k) indices into the bank."""
    doubled = rows * -2
    indices = _search(len(rows), bank, k, lambda part: part.squares.addmm(doubled, part.rows.T))
    return _exact_distances(rows, bank, indices)


def nearest(both: Parts, bank: Bank, k: int) -> tuple[torch.Tensor, ...]:
    """Parts of B images, bank -> (B·h·w, k) L2 distances, (B·h·w, k) indices.

    Equal to :func:`nearest_rows` of the joined rows with half the arithmetic: the products of the
    coarse part with the bank are interpolated instead of the part itself.
    """
    fine, coarse = both
    b, c, h, w = fine.shape
    if coarse.shape[2:] == fine.shape[2:]:
        return nearest_rows(join(both), bank, k)
    fine_rows, coarse_rows = to_rows(fine) * -2, to_rows(coarse) * -2

    def search(part: Bank) -> torch.Tensor:
        # |c|² is equal in all cells, so interpolation does not change it.
        small = part.squares.addmm(coarse_rows, part.rows[:, c:].T)
        small = small.view(b, *coarse.shape[2:], -1)
        large = enlarge(small.permute(0, 3, 1, 2), (h, w)).permute(0, 2, 3, 1)
        return large.reshape(b * h * w, -1).addmm_(fine_rows, part.rows[:, :c].T)

    indices = _search(b * h * w, bank, k, search)
    return _exact_distances(join(both), bank, indices)


def _search(count: int, bank: Bank, k: int, search: Search) -> torch.Tensor:
    """-> (count, k): indices of the nearest bank rows, by |c|² - 2x·c, part by part of the bank.

    |x|² is left out: it is constant in each row and does not change the order.
    """
    length = len(bank.rows)
    k = min(k, length)
    step = max(k, BLOCK // max(count, 1) // GROUP * GROUP)
    best = torch.full((count, 0), torch.inf, device=bank.rows.device)
    which = torch.zeros((count, 0), dtype=torch.int64, device=bank.rows.device)
    for i in range(0, length, step):
        values, index = _least(search(bank.part(i, step)), k)
        values, index = torch.cat([best, values], 1), torch.cat([which, index + i], 1)
        order = values.argsort(dim=1, stable=True)[:, :k]
        best, which = values.gather(1, order), index.gather(1, order)
    return which


def _least(values: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, m) -> (N, k) least values of each row, at most k, and their (N, k) columns."""
    count, m = values.shape
    if k > 1:
        return values.topk(min(k, m), dim=1, largest=False)
    if m % GROUP:
        return values.min(dim=1, keepdim=True)
    # amin is many times faster than min with an index: first the group, then the column in it.
    groups = values.view(count, -1, GROUP)
    group = groups.amin(dim=2).argmin(dim=1, keepdim=True)
    values_of_group = groups.gather(1, group[..., None].expand(-1, -1, GROUP))[:, 0]
    least, column = values_of_group.min(dim=1, keepdim=True)
    return least, group * GROUP + column


def _exact_distances(
    rows: torch.Tensor, bank: Bank, which: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Distances to rows of the bank without the rounding of the search, nearest first."""
    distances = torch.stack(
        [torch.linalg.norm(rows - bank.rows[column], dim=1) for column in which.T], dim=1
    )
    distances, order = distances.sort(dim=1, stable=True)
    return distances, which.gather(1, order)


def image_scores(
    patches: torch.Tensor,
    peaks: torch.Tensor,
    nearest_to_peaks: torch.Tensor,
    bank: Bank,
    neighbours: int,
) -> torch.Tensor:
    """The image score of anomalib: the highest patch score, weighted by the density of the bank.

    Args:
        patches: (B, n) patch scores.
        peaks: (B, D) rows of the patches with the highest score.
        nearest_to_peaks: (B,) the bank rows nearest to them.
        neighbours: number of rows around that bank row that determine the weight; 1: no weight.
    """
    highest = patches.amax(dim=1)
    if neighbours == 1:
        return highest
    _, around = nearest_rows(bank.rows[nearest_to_peaks], bank, neighbours)
    gaps = torch.linalg.norm(peaks[:, None] - bank.rows[around], dim=2)
    return (1 - gaps.softmax(dim=1)[:, 0]) * highest


def score(
    both: Parts, bank: Bank, convention: Convention, neighbours: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Parts of B images, bank -> (B, h, w) patch scores, (B,) image scores."""
    b, _, h, w = both[0].shape
    if convention == "paper":
        patches = nearest(both, bank, neighbours)[0].square().mean(dim=1).view(b, h * w)
        return patches.view(b, h, w), patches.amax(dim=1)
    distances, which = (each.view(b, h * w) for each in nearest(both, bank, 1))
    peak = distances.argmax(dim=1)
    image = torch.arange(b, device=bank.rows.device)
    rows = join(both).view(b, h * w, -1)[image, peak]
    scores = image_scores(distances, rows, which[image, peak], bank, neighbours)
    return distances.view(b, h, w), scores
