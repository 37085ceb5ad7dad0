"""The method as one network for export: image of any size -> score and map.

It computes what :mod:`reconstruction` and :mod:`error_map` compute, with tensors alone: loops
over tiles would fix their number at the time of the export.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from localize.methods.autoencoder import error_map, similarity
from localize.methods.autoencoder.network import PATCH, Autoencoder
from localize.methods.autoencoder.options import Error
from localize.methods.autoencoder.reconstruction import STRIDE

COVER = 3  # tiles that can cover a pixel along an axis: two regular ones and the last


class ErrorMap(nn.Module):
    """(1, 3, H, W) uint8 -> (1,) score, the maximum of the map; (1, H, W) map.

    Args:
        error: of the reconstruction, as in the options.
    """

    def __init__(self, network: Autoencoder, error: Error) -> None:
        super().__init__()
        self.network, self.error = network, error
        steps = (torch.arange(PATCH) + 0.5) / PATCH
        self.register_buffer("window", torch.sin(torch.pi * steps) ** 2)
        radius = round(4 * error_map.SIGMA)
        self.register_buffer("blur", _gaussian(radius, error_map.SIGMA).float())
        self.register_buffer("ssim_window", _gaussian(similarity.RADIUS, similarity.SIGMA))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        reconstruction = self._reconstruct(image[0].float() / 255).double()
        errors = self._errors(image[0].double() / 255, reconstruction).float()
        map = _filter(errors[None], self.blur)  # type: ignore[arg-type]
        return map.amax((1, 2)), map

    def _reconstruct(self, image: Tensor) -> Tensor:
        """(3, H, W) -> (3, H, W): the blended reconstructions of overlapping tiles."""
        (rows, from_row, row_weights), (columns, from_column, column_weights) = (
            self._tiles(length) for length in image.shape[1:]
        )
        down, across = rows.shape[0], columns.shape[0]
        tiles = image[:, rows.flatten()][:, :, columns.flatten()]
        tiles = tiles.reshape(3, down, PATCH, across, PATCH).permute(1, 3, 0, 2, 4)
        tiles = self.network(tiles.reshape(down * across, 3, PATCH, PATCH))
        tiles = tiles.reshape(down, across, 3, PATCH, PATCH).permute(2, 0, 3, 1, 4)
        tiles = tiles.reshape(3, down * PATCH, across * PATCH)
        rows_joined = torch.stack(
            [tiles[:, from_row[k]] * row_weights[k][:, None] for k in range(COVER)]
        ).sum(0)
        return torch.stack(
            [rows_joined[:, :, from_column[k]] * column_weights[k] for k in range(COVER)]
        ).sum(0)

    def _tiles(self, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """The tiles along an axis.

        Returns:
            (tiles, PATCH): the pixel of the image behind each pixel of a tile, mirrored beyond
            the end; for each pixel of the image and the three tiles that can cover it, (3, length):
            its place in all tiles, and the weight of the tile.
        """
        last = torch.sym_max(length - PATCH, 0)
        count = (last + STRIDE - 1) // STRIDE + 1
        starts = (torch.arange(count) * STRIDE).clamp_max(last)
        pixels = torch.arange(length)
        nearest = pixels // STRIDE  # tile of the regular ones; the last tile ends with the axis
        tiles = torch.stack([nearest, nearest - 1, torch.full_like(pixels, count - 1)])
        is_regular = (tiles[:2] >= 0) & (tiles[:2] < count - 1)
        exists = torch.cat([is_regular, torch.ones_like(is_regular[:1])])
        tiles = tiles.clamp(0, count - 1)
        inside = pixels - starts[tiles]
        covers = exists & (inside >= 0) & (inside < PATCH)
        inside = inside.clamp(0, PATCH - 1)
        weights = self.window[inside] * covers  # type: ignore[index]
        sources = _mirror(starts[:, None] + torch.arange(PATCH), length)
        return sources, tiles * PATCH + inside, weights / weights.sum(0)

    def _errors(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """(3, H, W), (3, H, W) float64 -> (H, W)."""
        if self.error == "mse":
            return (image - reconstruction).square().mean(0)
        products = [image * image, reconstruction * reconstruction, image * reconstruction]
        planes = torch.cat([image, reconstruction, *products])
        means = _filter(planes, self.ssim_window)  # type: ignore[arg-type]
        mean1, mean2, square1, square2, product = means.split(3)
        variances = square1 + square2 - mean1 * mean1 - mean2 * mean2
        covariance = product - mean1 * mean2
        numerator = (2 * mean1 * mean2 + similarity.C1) * (2 * covariance + similarity.C2)
        scale = mean1 * mean1 + mean2 * mean2 + similarity.C1
        return 1 - (numerator / (scale * (variances + similarity.C2))).mean(0)


def _gaussian(radius: int, sigma: float) -> Tensor:
    """-> (2 radius + 1,) float64 weights that add up to 1."""
    weights = torch.exp(-((torch.arange(-radius, radius + 1).double() / sigma) ** 2) / 2)
    return weights / weights.sum()


def _mirror(pixels: Tensor, length: int) -> Tensor:
    """Places on an axis, also beyond its ends -> pixels of the image, mirrored at its ends."""
    period = torch.full((1,), 2, dtype=torch.int64) * torch.ones(length, dtype=torch.int64).sum()
    pixels = torch.remainder(pixels, period)
    return torch.minimum(pixels, period - 1 - pixels)


def _filter(planes: Tensor, weights: Tensor) -> Tensor:
    """(N, H, W) -> (N, H, W): the weighted mean of a square window; mirrored beyond the edges."""
    radius = len(weights) // 2
    height, width = planes.shape[1:]
    rows, columns = (
        _mirror(torch.arange(length + 2 * radius) - radius, length) for length in (height, width)
    )
    padded = planes[:, rows][:, :, columns]
    if planes.dtype == torch.float64:  # runtimes convolve float32 only
        padded = torch.stack(
            [padded[:, k : k + height] * weights[k] for k in range(len(weights))]
        ).sum(0)
        return torch.stack(
            [padded[:, :, k : k + width] * weights[k] for k in range(len(weights))]
        ).sum(0)
    kernel = weights[None, None, :, None]
    rows_filtered = functional.conv2d(padded[:, None], kernel)
    return functional.conv2d(rows_filtered, kernel.mT)[:, 0]
