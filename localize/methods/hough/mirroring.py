"""How the kinds of edge change places when an image is mirrored."""

from __future__ import annotations

from localize.methods.hough.outlines import ARCS, SIDES

ROWS, COLS = 2, 3  # dimensions of (B, C, H, W)
FLIPS: tuple[tuple[int, ...], ...] = ((), (ROWS, COLS), (COLS,), (ROWS,))  # dimensions to flip


def mirrored_kinds(flip: tuple[int, ...]) -> list[int]:
    """Dimensions that are flipped -> (KINDS,): which kind each kind is in the mirrored image.

    >>> mirrored_kinds((COLS,))  # right becomes left, down stays
    [4, 3, 2, 1, 0, 7, 6, 5, 10, 9, 8, 11]
    """
    kinds, first = [], 0
    for count in (ARCS, SIDES):
        offset = count // 2 if COLS in flip else 0
        sign = -1 if len(flip) == 1 else 1
        kinds += [first + (offset + sign * kind) % count for kind in range(count)]
        first += count
    return kinds
