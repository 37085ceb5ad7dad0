"""Greedy k-centre selection: rows such that no other row is far from all of them.

Each step selects the row that is farthest from all rows selected so far. The plain algorithm
reads all rows in each step. The next few selections are almost always among the rows that are
farthest now, and the distances among these few are cheap. So several rows are selected at a time,
and one matrix product per batch of them updates the distances of all rows.

Source: Gonzalez (1985), the greedy algorithm; Roth et al. (2022), its use in PatchCore;
Li, Hastie and Church (2006), very sparse random projections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch

Progress = Callable[[int, int], None]

EPS = 0.9  # relative error of distances that the projection may cause
CANDIDATES = 128  # farthest rows among which a batch is selected
GROUP = 16  # candidates whose distances to all others are computed at a time
CHUNK = 1024  # rows whose distances are updated at a time; as float64 they fit the cache of a core
SLACK = 64 * torch.finfo(torch.float64).eps  # rounding of |x|2 - 2xc + |c|2, relative to |x|2
ROUNDING = 16 * torch.finfo(torch.float32).eps  # of squares in the plain algorithm, relative


def dimension(rows: int, eps: float = EPS) -> int:
    """The columns of a projection that keeps distances of ``rows`` rows within a factor 1 ± eps.

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
    # The number of independent entries with this probability has that distribution.
    nonzero = torch.rand((d, columns), generator=generator) < density
    sign = torch.randint(0, 2, (d, columns), generator=generator) * 2 - 1
    return nonzero * sign * (math.sqrt(1 / density) / math.sqrt(d))


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
    """(N, d) float32 -> (k,) int64: indices in the order of selection.

    The order is that of the plain algorithm in float32: of equally far rows the first is
    selected, and the distance of a selected row becomes 0.

    Args:
        start: the row that is selected first.
        initial: (N,) initial distances, instead of a first row.
    """
    if (start is None) == (initial is None):
        raise ValueError("give either a start or initial distances")
    search = _Search(rows, initial)
    selected: list[int] = []
    if start is not None and k:
        selected = [start]
        search.update(torch.tensor(selected, device=rows.device))
    while len(selected) < k:
        batch = search.batch(k - len(selected))
        selected += batch.tolist()
        if len(selected) < k:
            search.update(batch)
        if progress:
            progress(len(selected), k)
    return torch.tensor(selected, dtype=torch.int64)


class _Search:
    """The nearest selected row of each row, and its squared distance up to rounding."""

    def __init__(self, rows: torch.Tensor, initial: torch.Tensor | None) -> None:
        self.rows = rows
        self.initial = initial
        # |x|2 - 2xc + |c|2 cancels: in float32, rows closer than a thousandth of |x| are noise.
        # One chunk at a time is converted: all rows in float64 would take twice their memory.
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
        """The rows in float64, a chunk at a time in the same memory, each with its first index."""
        for i in range(0, len(self.rows), CHUNK):
            rows = self.rows[i : i + CHUNK]
            yield i, self.wide[: len(rows)].copy_(rows)

    def update(self, selected: torch.Tensor) -> None:
        """Update the distances with rows that were just selected."""
        columns, norms = self.rows[selected].double().T * -2, self.norms[selected]
        for i, rows in self.chunks():
            out = self.buffer[: len(rows) * len(selected)].view(len(rows), len(selected))
            least, which = torch.mm(rows, columns, out=out).add_(norms).min(dim=1)
            least.add_(self.norms[i : i + CHUNK]).clamp_min_(0)
            squares, nearest = self.squares[i : i + CHUNK], self.nearest[i : i + CHUNK]
            torch.where(least < squares, selected[which], nearest, out=nearest)
            torch.minimum(squares, least, out=squares)
        self.squares[selected] = 0
        self.nearest[selected] = selected

    def exact(self, candidates: torch.Tensor) -> torch.Tensor:
        """(n,) indices -> (n,) distances of these rows as the plain algorithm computes them."""
        nearest = self.nearest[candidates]
        gaps = torch.linalg.norm(self.rows[candidates] - self.rows[nearest.clamp_min(0)], dim=1)
        if self.initial is None:
            return gaps
        return torch.where(
            nearest < 0, self.initial[candidates], torch.minimum(gaps, self.initial[candidates])
        )

    def batch(self, most: int) -> torch.Tensor:
        """The next selections, at least one: as many as are certain without the other rows."""
        count = min(CANDIDATES, len(self.rows))
        values, candidates = self.squares.topk(min(count + 1, len(self.rows)))
        # No row outside the candidates is farther than ``rest``.
        most_far, rest = float(values[0]), -1.0
        if count < len(self.rows):
            rest = float(values[-1]) * (1 + ROUNDING) + self.slack
        candidates = candidates[:count].sort().values
        if most_far * (1 - ROUNDING) <= rest:  # more rows are equally far than there are candidates
            lowest = most_far * (1 - 2 * ROUNDING) - self.slack
            candidates = (self.squares >= lowest).nonzero().squeeze(1)
            return candidates[self.exact(candidates).argmax()][None]
        far, points = self.exact(candidates), self.rows[candidates]
        # A few at a time, because all differences at once take much memory.
        between = points.new_empty((count, count))
        for group, part in zip(points.split(GROUP), between.split(GROUP), strict=True):
            torch.linalg.norm(points - group[:, None], dim=2, out=part)
        between, far = between.cpu(), far.cpu()
        chosen: list[int] = []
        while len(chosen) < min(most, count):
            best = int(far.argmax())
            if chosen and float(far[best]) ** 2 <= rest:
                break
            chosen.append(best)
            torch.minimum(far, between[best], out=far)
            far[best] = 0
        return candidates[chosen]
