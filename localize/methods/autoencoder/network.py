"""The network: a square of 128 px to a short latent vector, and back to 128 px."""

from __future__ import annotations

import math

from torch import Tensor, nn

PATCH = 128  # px, side of the squares that the network reconstructs
WIDTH = 32  # channels of the widest level; deeper levels have multiples
SLOPE = 0.2  # of the leaky ReLU
BOTTOM = 8  # px, side of the smallest feature map before the latent vector
MIDDLE = 0.5  # colour values are centred on this before the network, which learns faster that way


class Autoencoder(nn.Module):
    """(B, 3, PATCH, PATCH) float32 in 0 to 1 -> the same shape: the reconstruction.

    The layers are those of Bergmann et al. (2018), table 1, with three colours. Between encoder and
    decoder lies a vector of ``latent`` numbers, and no connection bypasses it.

    Args:
        latent: length of the latent vector.
        width: channels of the first layers.
    """

    def __init__(self, latent: int, width: int = WIDTH) -> None:
        super().__init__()
        # (channels in, channels out, kernel, stride); padding keeps or halves the side.
        layers = [
            (3, width, 4, 2),
            (width, width, 4, 2),
            (width, width, 3, 1),
            (width, 2 * width, 4, 2),
            (2 * width, 2 * width, 3, 1),
            (2 * width, 4 * width, 4, 2),
            (4 * width, 2 * width, 3, 1),
            (2 * width, width, 3, 1),
        ]
        encoder: list[nn.Module] = []
        for before, after, kernel, stride in layers:
            encoder += [nn.Conv2d(before, after, kernel, stride, 1), nn.LeakyReLU(SLOPE)]
        decoder: list[nn.Module] = [nn.ConvTranspose2d(latent, width, BOTTOM, BOTTOM)]
        for before, after, kernel, stride in reversed(layers):
            decoder += [nn.LeakyReLU(SLOPE), nn.ConvTranspose2d(after, before, kernel, stride, 1)]
        self.encoder = nn.Sequential(*encoder, nn.Conv2d(width, latent, BOTTOM))
        self.decoder = nn.Sequential(*decoder)
        self.apply(_initialise)

    def forward(self, patches: Tensor) -> Tensor:
        reconstruction: Tensor = self.decoder(self.encoder(patches - MIDDLE)) + MIDDLE
        return reconstruction


def _initialise(layer: nn.Module) -> None:
    """Set the weights of a layer such that its outputs have about the variance of its inputs.

    With torch's own weights, the output of so many layers hardly depends on the image, and the
    training remains at a constant reconstruction.
    """
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return
    inputs = layer.in_channels * layer.kernel_size[0] ** 2  # that each output is computed from
    if isinstance(layer, nn.ConvTranspose2d):
        inputs //= layer.stride[0] ** 2
    nn.init.normal_(layer.weight, std=math.sqrt(2 / (1 + SLOPE**2) / inputs))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
