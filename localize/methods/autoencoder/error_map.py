"""The error of a reconstruction: the loss of the training and the map of an image."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from localize.methods.autoencoder.network import Autoencoder
from localize.methods.autoencoder.options import Error
from localize.methods.autoencoder.reconstruction import reconstruct
from localize.methods.autoencoder.similarity import RADIUS, ssim

SIGMA = 4.0  # px: blur of the map, as in PatchCore
BAND = 1 << 21  # px of an image whose errors are computed at a time, which bounds the memory


def errors(images: Tensor, reconstructions: Tensor, error: Error) -> Tensor:
    """(B, 3, H, W), (B, 3, H, W) values in 0 to 1 -> (B, H, W): the mean error of the colours.

    ``mse`` is the squared difference, ``ssim`` 1 - SSIM (0 to 2).
    """
    if error == "mse":
        return (images - reconstructions).square().mean(1)
    # One colour at a time needs a third of the memory.
    pairs = zip(images.split(1, 1), reconstructions.split(1, 1), strict=True)
    return 1 - torch.cat([ssim(*pair) for pair in pairs], 1).mean(1)


def error_map(network: Autoencoder, image: np.ndarray, error: Error) -> np.ndarray:
    """(H, W, 3) uint8 -> (H, W) float32: the blurred error of the reconstruction."""
    height, width = image.shape[:2]
    map = np.empty((height, width), np.float32)
    step = max(1, BAND // width)
    for top in range(0, height, step):
        bottom = min(top + step, height)
        first, last = max(0, top - RADIUS), min(height, bottom + RADIUS)  # rows that SSIM needs
        rows, reconstruction = (
            torch.from_numpy(each).double().permute(2, 0, 1)[None]
            for each in (image[first:last] / 255, reconstruct(network, image, first, last))
        )
        band = errors(rows, reconstruction, error)[0, top - first : bottom - first]
        map[top:bottom] = band.numpy()
    size = 2 * round(4 * SIGMA) + 1
    return cv2.GaussianBlur(map, (size, size), SIGMA, borderType=cv2.BORDER_REFLECT)
