"""Clean patches -> a bank of the few that cover the rest; in bounded memory if asked to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch

from localize.methods.patchcore import coreset
from localize.methods.patchcore.coreset import Progress
from localize.methods.patchcore.embedding import Parts, join
from localize.methods.patchcore.options import Convention

STARTS = 10  # random rows that the paper's selection begins from
BLOCK_ROWS = 65_536  # rows that --stream reduces at a time


@dataclass
class Reducer:
    """How to choose the rows of a bank.

    Args:
        ratio: share of the rows to keep.
        most: rows to keep at most.
        generator: draws the projections and starting points.
    """

    convention: Convention
    ratio: float
    most: int
    generator: torch.Generator
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Progress | None = None

    def size(self, rows: int) -> int:
        """How many of ``rows`` to keep."""
        return max(1, min(int(rows * self.ratio), self.most))

    def whole(self, blocks: list[Parts]) -> torch.Tensor:
        """Patches of all images -> (M, D) bank in the order of picking."""
        rows = sum(fine.shape[0] * fine.shape[2] * fine.shape[3] for fine, _ in blocks)
        # Joined a few images at a time, twice: all joined at once are twice their parts.
        return self._reduced(lambda: map(join, blocks), rows, self.size(rows))

    def stream(self, blocks: Iterable[Parts]) -> torch.Tensor:
        """The same of any number of images, holding a bounded number of rows.

        Full blocks are reduced on their own, and two reduced blocks of the same rank to one of
        the next, so a row goes through as few reductions as can be.

        Source: merge-and-reduce, Bentley and Saxe (1980), Har-Peled and Mazumdar (2004).
        """
        ranks: dict[int, torch.Tensor] = {}
        held: list[Parts] = []
        seen = rows = 0

        def reduce() -> None:
            bank, rank = self.whole(held), 0
            while rank in ranks:
                bank = self._merged([ranks.pop(rank), bank], self.most)
                rank += 1
            ranks[rank] = bank

        for fine, coarse in blocks:
            held.append((fine, coarse))
            rows += fine.shape[0] * fine.shape[2] * fine.shape[3]
            if rows >= BLOCK_ROWS:
                seen += rows
                reduce()
                held, rows = [], 0
        if held:
            seen += rows
            reduce()
        return self._merged(list(ranks.values()), self.size(seen))

    def _merged(self, banks: list[torch.Tensor], most: int) -> torch.Tensor:
        """Banks -> one of at most that many rows."""
        total = sum(map(len, banks))
        if len(banks) == 1 and total <= most:
            return banks[0]
        return self._reduced(lambda: iter(banks), total, min(total, most))

    def _reduced(
        self, blocks: Callable[[], Iterator[torch.Tensor]], rows: int, keep: int
    ) -> torch.Tensor:
        """Blocks of rows, given twice -> the ``keep`` rows that cover the rest best."""
        projected = self._projected(blocks, rows)
        if projected.device.type == "mps":  # which has no float64
            projected = projected.cpu()
        if self.convention == "anomalib":
            start = int(torch.randint(rows, (1,), generator=self.generator))
            picked = coreset.k_centre(projected, keep, start=start, progress=self.progress)
        else:
            starts = torch.randperm(rows, generator=self.generator)[:STARTS]
            initial = coreset.mean_distance(projected, starts)
            picked = coreset.k_centre(projected, keep, initial=initial, progress=self.progress)
        return gather(blocks(), picked)

    def _projected(self, blocks: Callable[[], Iterator[torch.Tensor]], rows: int) -> torch.Tensor:
        """-> (rows, d) on the device: what distances are measured on."""
        matrix, projected, at = None, torch.empty(0), 0
        for block in blocks():
            if matrix is None:
                columns = block.shape[1]
                if self.convention == "anomalib":
                    matrix = coreset.sparse_projection(rows, columns, self.generator)
                else:
                    matrix = coreset.dense_projection(columns, self.generator)
                matrix = matrix.to(self.device)
                projected = torch.empty((rows, len(matrix)), device=self.device)
            out = projected[at : at + len(block)]
            torch.mm(block.to(self.device), matrix.T, out=out)
            at += len(block)
        return projected


def gather(blocks: Iterable[torch.Tensor], wanted: torch.Tensor) -> torch.Tensor:
    """Blocks of rows, (k,) indices into all of them -> (k, D) rows in that order."""
    rows, at = torch.empty(0), 0
    for block in blocks:
        if not len(rows):
            rows = block.new_empty((len(wanted), block.shape[1]))
        here = ((wanted >= at) & (wanted < at + len(block))).nonzero().squeeze(1)
        rows[here] = block[wanted[here] - at]
        at += len(block)
    return rows
