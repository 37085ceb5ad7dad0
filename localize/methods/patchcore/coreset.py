"""Greedy k-centre selection: the rows that cover all others best.

Each step picks the row farthest from all rows picked so far. Plainly done, a step reads every
row once. Here a step needs no pass of its own: the next few picks are almost always among the
rows that are farthest *now*, and among these few all distances are cheap. So picks are made
in bunches, and one matrix product per bunch updates the distances of all rows.

Source: Gonzalez (1985), the greedy algorithm; Roth et al. (2022), its use in PatchCore;
Li, Hastie and Church (2006), very sparse random projections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch

Progress = Callable[[int, int], None]

EPS = 0.9  # distortion that the projection may cause
CANDIDATES = 128  # farthest rows that are looked at together
FEW = 16  # of these, whose distances to all candidates are in memory at a time
CHUNK = 1024  # rows whose distances are updated at a time: as float64 they fit a core's cache
SLACK = 64 * torch.finfo(torch.float64).eps  # rounding of |x|2 - 2xc + |c|2, relative to |x|2
ROUNDING = 16 * torch.finfo(torch.float32).eps  # of the plain algorithm's squares, relative


def dimension(rows: int, eps: float = EPS) -> int:
    """Columns that keep the distances among ``rows`` rows within a factor of 1 ± eps.

    Source: Johnson and Lindenstrauss (1984); Dasgupta and Gupta (2003).

    >>> dimension(61_440)
    272
    """
    return max(1, int(4 * math.log(max(rows, 2)) / (eps**2 / 2 - eps**3 / 3)))


def sparse_projection(rows: int, columns: int, generator: torch.Generator) -> torch.Tensor:
    """-> (d, columns) float32, d = :func:`dimension` (rows).

    Each of its d vectors has Binomial(columns, 1/sqrt(columns)) entries of
    ±columns^¼/sqrt(d) at random places, the rest are 0.
    """
    d, density = dimension(rows), 1 / math.sqrt(columns)
    # Independent entries, each there with this probability, are such a binomial number.
    there = torch.rand((d, columns), generator=generator) < density
    sign = torch.randint(0, 2, (d, columns), generator=generator) * 2 - 1
    return there * sign * (math.sqrt(1 / density) / math.sqrt(d))


def dense_projection(columns: int, generator: torch.Generator, d: int = 128) -> torch.Tensor:
    """-> (d, columns) float32, uniform in ±1/sqrt(columns): an untrained linear layer."""
    uniform = torch.rand((d, columns), generator=generator)
    return (2 * uniform - 1) / math.sqrt(columns)


def mean_distance(rows: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
    """(N, d), (s,) indices -> (N,): each row's mean distance to the rows ``starts``."""
    total = torch.zeros(len(rows), device=rows.device)
    for start in starts:
        total += torch.linalg.norm(rows - rows[start], dim=1)
    return total / len(starts)


def k_centre(
    rows: torch.Tensor,
    k: int,
    start: int | None = None,
    initial: torch.Tensor | None = None,
    progress: Progress | None = None,
) -> torch.Tensor:
    """(N, d) float32 -> (k,) int64: indices in the order of picking.

    The order is that of the plain algorithm in float32: of equally far rows the first is
    picked, and a picked row's distance becomes 0.

    Args:
        start: this row is picked first.
        initial: (N,) distances to begin with, instead of a first row.
    """
    if (start is None) == (initial is None):
        raise ValueError("give either a start or initial distances")
    search = _Search(rows, initial)
    picked: list[int] = []
    if start is not None and k:
        picked = [start]
        search.update(torch.tensor(picked, device=rows.device))
    while len(picked) < k:
        bunch = search.bunch(k - len(picked))
        picked += bunch.tolist()
        if len(picked) < k:
            search.update(bunch)
        if progress:
            progress(len(picked), k)
    return torch.tensor(picked, dtype=torch.int64)


class _Search:
    """Each row's distance to the nearest picked row, squared and up to rounding, and which."""

    def __init__(self, rows: torch.Tensor, initial: torch.Tensor | None) -> None:
        self.rows = rows
        self.initial = initial
        # |x|2 - 2xc + |c|2 cancels: in float32, rows closer than a thousandth of |x| are noise.
        # A chunk at a time becomes float64, for all rows would be twice their memory.
        self.wide = rows.new_empty((min(CHUNK, len(rows)), rows.shape[1]), dtype=torch.float64)
        self.norms = torch.cat([chunk.square_().sum(dim=1) for _, chunk in self.chunks()])
        self.slack = SLACK * float(self.norms.max())
        self.squares = (
            torch.full_like(self.norms, torch.inf) if initial is None else initial.double() ** 2
        )
        if initial is not None:  # here the squares may be larger than any distance
            self.slack += SLACK * float(self.squares.max())
        self.nearest = torch.full((len(rows),), -1, dtype=torch.int64, device=rows.device)
        self.buffer = self.wide.new_empty(min(CHUNK, len(rows)) * CANDIDATES)

    def chunks(self) -> Iterator[tuple[int, torch.Tensor]]:
        """The rows in float64, a chunk at a time, each in the same memory; with their place."""
        for i in range(0, len(self.rows), CHUNK):
            rows = self.rows[i : i + CHUNK]
            yield i, self.wide[: len(rows)].copy_(rows)

    def update(self, picked: torch.Tensor) -> None:
        """Lower the distances to those of the rows just picked."""
        columns, norms = self.rows[picked].double().T * -2, self.norms[picked]
        for i, rows in self.chunks():
            out = self.buffer[: len(rows) * len(picked)].view(len(rows), len(picked))
            least, which = torch.mm(rows, columns, out=out).add_(norms).min(dim=1)
            least.add_(self.norms[i : i + CHUNK]).clamp_min_(0)
            squares, nearest = self.squares[i : i + CHUNK], self.nearest[i : i + CHUNK]
            torch.where(least < squares, picked[which], nearest, out=nearest)
            torch.minimum(squares, least, out=squares)
        self.squares[picked] = 0
        self.nearest[picked] = picked

    def exact(self, some: torch.Tensor) -> torch.Tensor:
        """(n,) indices -> (n,): their distances as the plain algorithm computes them."""
        nearest = self.nearest[some]
        gaps = torch.linalg.norm(self.rows[some] - self.rows[nearest.clamp_min(0)], dim=1)
        if self.initial is None:
            return gaps
        return torch.where(nearest < 0, self.initial[some], torch.minimum(gaps, self.initial[some]))

    def bunch(self, most: int) -> torch.Tensor:
        """The next picks, at least one: as many as are certain without a look at all rows."""
        count = min(CANDIDATES, len(self.rows))
        values, some = self.squares.topk(min(count + 1, len(self.rows)))
        # No row outside the candidates is farther than this.
        most_far, rest = float(values[0]), -1.0
        if count < len(self.rows):
            rest = float(values[-1]) * (1 + ROUNDING) + self.slack
        some = some[:count].sort().values
        if most_far * (1 - ROUNDING) <= rest:  # too many are equally far for so few candidates
            lowest = most_far * (1 - 2 * ROUNDING) - self.slack
            some = (self.squares >= lowest).nonzero().squeeze(1)
            return some[self.exact(some).argmax()][None]
        far, points = self.exact(some), self.rows[some]
        # A few at a time: all differences at once would be the largest thing in memory.
        between = points.new_empty((count, count))
        for few, part in zip(points.split(FEW), between.split(FEW), strict=True):
            torch.linalg.norm(points - few[:, None], dim=2, out=part)
        between, far = between.cpu(), far.cpu()
        chosen: list[int] = []
        while len(chosen) < min(most, count):
            best = int(far.argmax())
            if chosen and float(far[best]) ** 2 <= rest:
                break
            chosen.append(best)
            torch.minimum(far, between[best], out=far)
            far[best] = 0
        return some[chosen]
