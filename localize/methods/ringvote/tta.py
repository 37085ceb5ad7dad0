"""Test-time augmentation: the mean of the evidence of an image and its mirror images.

The network's errors differ between an image and its mirror images, so their mean has fewer. The
encoding of each view is mirrored back at once. After that only the kinds of edge, and the pixels
within a cell, are still in the mirrored order; instead of reordering the evidence, the weights
of the heads are reordered, so that the heads give the mean of all views in one step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from localize.methods.hough.mirroring import FLIPS as FLIPS
from localize.methods.hough.mirroring import mirrored_kinds

MOST = len(FLIPS)  # views that the methods named `-careful` average


def average_heads(
    weights: Tensor, flips: Sequence[tuple[int, ...]], kinds: int, channels: int
) -> Tensor:
    """The weights of a head for one view -> those for the mean of several views.

    Args:
        weights: one dimension counts the kinds of edge, one the channels of a view; dimensions
            3 and 4 are rows and columns of the pixels in a cell, or of cells.
        flips: of each view, the first of which is the image itself.
        kinds, channels: the numbers of these dimensions.

    Returns:
        the same with as many times the channels, view by view.
    """
    parts = [weights]
    for flip in flips[1:]:
        order = torch.tensor(mirrored_kinds(flip), device=weights.device)
        parts.append(weights.index_select(kinds, order).flip([each + 1 for each in flip]))
    return torch.cat(parts, channels) / len(flips) if len(parts) > 1 else weights
