"""The method as one network for export: image of any size -> score and map.

It computes what :mod:`preprocessing`, :mod:`embedding` and :mod:`scoring` compute. Resizing to the
square and from it are products of matrices that are made in the network for the size of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from localize.methods.patchcore import embedding, preprocessing
from localize.methods.patchcore.backbones import Backbone
from localize.methods.patchcore.options import Convention
from localize.methods.patchcore.preprocessing import SIDE
from localize.methods.patchcore.scoring import Bank


@dataclass(frozen=True)
class Resizing:
    """An axis of an image: ``length`` px, resized to ``resized`` px; the square has ``side`` px.

    All are numbers or symbols of the export; the square starts at ``offset``.
    """

    length: int
    resized: int
    offset: int
    side: int

    def to_square(self) -> Tensor:
        """-> (side, length) float32: the weight of each pixel of the image; antialiased."""
        scale = torch.arange(1, self.length + 1, dtype=torch.float64)[-1:] / self.resized
        support = scale.clamp_min(1)
        places = (torch.arange(self.side) + self.offset + 0.5) * scale
        pixels = torch.arange(self.length, dtype=torch.float64) + 0.5
        weights = (1 - (pixels - places[:, None]).abs() / support).clamp_min(0)
        return (weights / weights.sum(1, keepdim=True)).float()

    def from_square(self) -> tuple[Tensor, Tensor]:
        """-> (length, side) float32: weights; (length,): whether a pixel lies in the square."""
        scale = self.resized / torch.arange(1, self.length + 1, dtype=torch.float64)[-1:]
        places = (torch.arange(self.length) + 0.5) * scale - 0.5 - self.offset
        inside = (places >= -0.5) & (places <= self.side - 0.5)
        distance = (places.clamp(0, self.side - 1)[:, None] - torch.arange(self.side)).abs()
        return (1 - distance).clamp_min(0).float(), inside


class PatchDistances(nn.Module):
    """(1, 3, H, W) uint8 -> (1,) score; (1, H, W) map.

    Args:
        neighbours: as of :func:`localize.methods.patchcore.scoring.score`.
    """

    def __init__(
        self, backbone: Backbone, bank: Bank, convention: Convention, neighbours: int
    ) -> None:
        super().__init__()
        self.backbone, self.convention = backbone, convention
        self.neighbours = min(neighbours, len(bank.rows))
        self.register_buffer("bank", bank.rows.contiguous())
        self.register_buffer("squares", bank.squares)
        (square, _) = preprocessing.axes((SIDE, SIDE), convention, backbone.multiple)
        self.side = square.side
        with torch.no_grad():
            fine, _ = backbone(torch.zeros((1, 3, self.side, self.side)))
        self.cells = fine.shape[2]
        enlarging = preprocessing.enlarging(self.side, self.cells, convention)
        self.register_buffer("enlarge", enlarging.float())

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        y, x = self._axes(image.shape[2], image.shape[3])
        square = y.to_square() @ (image[0].float() / 255) @ x.to_square().T
        both = embedding.parts(self.backbone(square[None]), self.convention)
        score, patches = self._score(embedding.join(both))
        return score[None], self._map(patches.view(self.cells, self.cells), y, x)[None]

    def _axes(self, height: int, width: int) -> tuple[Resizing, Resizing]:
        """The axes of the image, y first, as :func:`preprocessing.axes` computes them."""
        if self.convention == "anomalib":
            return Resizing(height, self.side, 0, self.side), Resizing(
                width, self.side, 0, self.side
            )
        short = torch.sym_min(height, width)

        def axis(length: int) -> Resizing:
            resized = SIDE * length // short
            half, odd = (resized - self.side) // 2, (resized - self.side) % 2
            return Resizing(length, resized, half + odd * (half % 2), self.side)  # round half even

        return axis(height), axis(width)

    def _score(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """(cells², D) patches -> () score of the image, (cells²,) scores of the patches."""
        bank: Tensor = self.bank  # type: ignore[assignment]
        products = self.squares - 2 * rows @ bank.T  # type: ignore[operator]
        if self.convention == "paper":
            nearest = products.topk(self.neighbours, dim=1, largest=False)[1]
            distances = [_norm(rows - bank[nearest[:, k]]) for k in range(self.neighbours)]
            patches = torch.stack(distances).square().mean(0)
            return patches.amax(0), patches
        nearest = products.argmin(1)
        patches = _norm(rows - bank[nearest])
        if self.neighbours == 1:
            return patches.amax(0), patches
        peak = patches.argmax(0)
        centre = bank[nearest[peak]]
        around = _norm(bank - centre).topk(self.neighbours, largest=False)[1]
        gaps = _norm(rows[peak] - bank[around])
        return (1 - gaps.softmax(0)[0]) * patches.amax(0), patches

    def _map(self, patches: Tensor, y: Resizing, x: Resizing) -> Tensor:
        """(cells, cells) -> (H, W); outside the square the least value inside it."""
        (rows, in_rows), (columns, in_columns) = y.from_square(), x.from_square()
        enlarge: Tensor = self.enlarge  # type: ignore[assignment]
        map = (rows @ enlarge) @ patches @ (columns @ enlarge).T
        if self.convention == "anomalib":
            return map
        inside = in_rows[:, None] & in_columns
        return torch.where(inside, map, torch.where(inside, map, torch.inf).amin((0, 1)))


def _norm(vectors: Tensor) -> Tensor:
    """(..., D) -> (...,): lengths."""
    return vectors.square().sum(-1).sqrt()
