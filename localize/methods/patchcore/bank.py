"""The memory bank: the clean patches that represent all others best, by k-centre selection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch

from localize.methods.patchcore import coreset
from localize.methods.patchcore.coreset import Progress
from localize.methods.patchcore.embedding import Parts, join
from localize.methods.patchcore.options import Convention

STARTS = 10  # random rows from which the selection of the paper starts
BLOCK_ROWS = 65_536  # rows from which --stream selects at a time


@dataclass
class Reducer:
    """Selects the rows of a memory bank.

    Args:
        convention: determines the projections and the starting points.
        ratio: share of the rows that is kept.
        most: largest number of rows that are kept.
        generator: of the projections and starting points.
        device: device on which distances are computed.
        progress: called with the numbers of selected rows and of rows to select.
    """

    convention: Convention
    ratio: float
    most: int
    generator: torch.Generator
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Progress | None = None

    def size(self, rows: int) -> int:
        """The number of rows that are kept of ``rows`` rows."""
        return max(1, min(int(rows * self.ratio), self.most))

    def reduce(self, blocks: list[Parts]) -> torch.Tensor:
        """Patches of all images -> (M, D) bank, in the order of selection."""
        rows = sum(fine.shape[0] * fine.shape[2] * fine.shape[3] for fine, _ in blocks)
        # Each pass joins a few images at a time: all joined rows would need twice the memory.
        return self._select(lambda: map(join, blocks), rows, self.size(rows))

    def reduce_stream(self, blocks: Iterable[Parts]) -> torch.Tensor:
        """Patches of any number of images, in one pass -> (M, D) bank; bounded memory.

        Each full block is reduced to a bank; two banks of one rank are merged to one of the next
        rank, so that each row takes part in as few reductions as possible.

        Source: merge-and-reduce, Bentley and Saxe (1980), Har-Peled and Mazumdar (2004).
        """
        ranks: dict[int, torch.Tensor] = {}
        pending: list[Parts] = []
        total = rows = 0

        def reduce_pending() -> None:
            bank, rank = self.reduce(pending), 0
            while rank in ranks:
                bank = self._merge([ranks.pop(rank), bank], self.most)
                rank += 1
            ranks[rank] = bank

        for fine, coarse in blocks:
            pending.append((fine, coarse))
            rows += fine.shape[0] * fine.shape[2] * fine.shape[3]
            if rows >= BLOCK_ROWS:
                total += rows
                reduce_pending()
                pending, rows = [], 0
        if pending:
            total += rows
            reduce_pending()
        return self._merge(list(ranks.values()), self.size(total))

    def _merge(self, banks: list[torch.Tensor], most: int) -> torch.Tensor:
        """Banks -> one bank of at most ``most`` rows."""
        total = sum(map(len, banks))
        if len(banks) == 1 and total <= most:
            return banks[0]
        return self._select(lambda: iter(banks), total, min(total, most))

    def _select(
        self, blocks: Callable[[], Iterator[torch.Tensor]], rows: int, keep: int
    ) -> torch.Tensor:
        """A function that returns blocks of rows -> the ``keep`` rows of the k-centre selection."""
        projected = self._project(blocks, rows)
        if projected.device.type == "mps":  # which has no float64
            projected = projected.cpu()
        if self.convention == "anomalib":
            start = int(torch.randint(rows, (1,), generator=self.generator))
            selected = coreset.k_centre(projected, keep, start=start, progress=self.progress)
        else:
            starts = torch.randperm(rows, generator=self.generator)[:STARTS]
            initial = coreset.mean_distance(projected, starts)
            selected = coreset.k_centre(projected, keep, initial=initial, progress=self.progress)
        return gather(blocks(), selected)

    def _project(self, blocks: Callable[[], Iterator[torch.Tensor]], rows: int) -> torch.Tensor:
        """-> (rows, d) on the device: random projections of the rows, for the distances."""
        matrix, projected, start = None, torch.empty(0), 0
        for block in blocks():
            if matrix is None:
                columns = block.shape[1]
                if self.convention == "anomalib":
                    matrix = coreset.sparse_projection(rows, columns, self.generator)
                else:
                    matrix = coreset.dense_projection(columns, self.generator)
                matrix = matrix.to(self.device)
                projected = torch.empty((rows, len(matrix)), device=self.device)
            out = projected[start : start + len(block)]
            torch.mm(block.to(self.device), matrix.T, out=out)
            start += len(block)
        return projected


def gather(blocks: Iterable[torch.Tensor], indices: torch.Tensor) -> torch.Tensor:
    """Blocks of rows, (k,) indices into all of them -> (k, D) rows in that order."""
    rows, start = torch.empty(0), 0
    for block in blocks:
        if not len(rows):
            rows = block.new_empty((len(indices), block.shape[1]))
        end = start + len(block)
        positions = ((indices >= start) & (indices < end)).nonzero().squeeze(1)
        rows[positions] = block[indices[positions] - start]
        start = end
    return rows
