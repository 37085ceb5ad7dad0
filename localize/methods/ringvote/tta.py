"""Several looks at one picture, as it is and mirrored, of which evidence is the mean.

A network is not quite as good with what it sees as with its mirror image, and wrong in other
places: the mean is wrong less often. What was seen is mirrored back at once; then only the
directions of edges, and the pixels within a cell, are still exchanged, and that is done to the
weights that make evidence of what was seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from localize.methods.hough.voting import ARCS, SIDES

ROWS, COLS = 2, 3  # dimensions of (B, C, H, W)
FLIPS: tuple[tuple[int, ...], ...] = ((), (ROWS, COLS), (COLS,), (ROWS,))
MOST = len(FLIPS)


def exchanged(flip: tuple[int, ...]) -> list[int]:
    """Which kind of edge each kind is in the mirrored picture: (KINDS,) numbers.

    >>> exchanged((COLS,))  # right is left; down stays
    [4, 3, 2, 1, 0, 7, 6, 5, 10, 9, 8, 11]
    """
    kinds, first = [], 0
    for count in (ARCS, SIDES):
        turn = count // 2 if COLS in flip else 0
        sign = -1 if len(flip) == 1 else 1
        kinds += [first + (turn + sign * kind) % count for kind in range(count)]
        first += count
    return kinds


def of_all(weights: Tensor, flips: Sequence[tuple[int, ...]], kinds: int, channels: int) -> Tensor:
    """Weights that make evidence of one look -> those that make the mean of all looks' of them.

    Args:
        weights: of whatever shape: one dimension counts ``kinds`` of edges, one the ``channels``
            of a look (those of the looks follow each other), dimensions 3 and 4 are rows and
            columns of pixels in a cell, or of cells.
    """
    parts = [weights]
    for flip in flips[1:]:
        order = torch.tensor(exchanged(flip), device=weights.device)
        parts.append(weights.index_select(kinds, order).flip([each + 1 for each in flip]))
    return torch.cat(parts, channels) / len(flips) if len(parts) > 1 else weights
